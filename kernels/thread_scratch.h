// kernels/thread_scratch.h — memory at whole cache lines, and memory of that kind that each thread keeps for its next
// use.
#pragma once
#include <cstdlib>
#include <memory>

#include "engine/base.h"

namespace bonafide::kernels {

// Vectors that straddle two cache lines cost a quarter of a product's speed.
class AlignedMemory {
 public:
  AlignedMemory() = default;
  explicit AlignedMemory(std::size_t bytes) : p_(std::aligned_alloc(64, ceil_div<std::size_t>(bytes, 64) * 64)) {
    BF_CHECK(p_, "out of memory: ", bytes, " bytes for a matrix product");
  }
  void* get() const { return p_.get(); }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> p_;
};

// Grows to the largest use and stays. One per Tag: what was got under another one is not touched.
template <class Tag>
void* thread_scratch(std::size_t bytes) {
  static thread_local AlignedMemory memory;
  static thread_local std::size_t size = 0;
  if (size < bytes) memory = AlignedMemory(bytes), size = bytes;
  return memory.get();
}

}  // namespace bonafide::kernels
