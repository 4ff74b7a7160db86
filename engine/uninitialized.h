// engine/uninitialized.h — a vector whose new elements are not set to zero, for buffers that are filled at once: zeroing
// the pixels of a batch costs as much as decoding one of its photographs.
#pragma once
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace bonafide {

template <class T>
struct UninitializedAllocator : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = UninitializedAllocator<U>;
  };
  template <class U>
  void construct(U* p) noexcept {
    ::new (static_cast<void*>(p)) U;
  }
  template <class U, class... Args>
  void construct(U* p, Args&&... args) {
    ::new (static_cast<void*>(p)) U(std::forward<Args>(args)...);
  }
};
template <class T>
using UninitializedVector = std::vector<T, UninitializedAllocator<T>>;

template <class T>
bool operator==(const UninitializedVector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace bonafide
