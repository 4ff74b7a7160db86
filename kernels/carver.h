// kernels/carver.h — divides a workspace.
#pragma once
#include "engine/base.h"

namespace bonafide::kernels {

// Hands out pieces of a workspace, each at a cache line. Over an empty one it only counts.
class Carver {
 public:
  explicit Carver(Span<float> from = {}) : from_(from) {}
  template <class P = float>
  Span<P> span(std::int64_t n) {
    float* p = from_ ? from_.ptr + used_ : nullptr;
    used_ += ceil_div<std::int64_t>(n * std::int64_t(sizeof(P)), 64) * 16;
    return {reinterpret_cast<P*>(p), n};
  }
  template <class P = float>
  P* take(std::int64_t n) {
    return span<P>(n).ptr;
  }
  std::int64_t used() const { return used_; }

 private:
  Span<float> from_;
  std::int64_t used_ = 0;
};

}  // namespace bonafide::kernels
