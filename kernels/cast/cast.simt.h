// kernels/cast/cast.simt.h — casts, the body of the CUDA kernel: four elements per thread, 16 bytes of f32, 8 of bf16.
#pragma once
#include "kernels/cast/cast.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class From, class To, class F>
void for_each_array(const Cast<From, To>& a, F&& f) {
  f("x", a.x), f("y", a.y);
}

namespace simt_bodies {
using namespace simt;

struct CastKernel {
  static constexpr const char* kName = "cast";
  static constexpr int kMaxThreads = kElementwiseThreads, kWide = 4;
  template <class From, class To>
  static LaunchShape shape(const Cast<From, To>& a) {
    return elementwise_shape<kWide>(a.x.len);
  }
  template <Block B, class From, class To>
  BF_DEVICE static void run(B& block, const Cast<From, To>& a) {
    for_own_elements<kWide>(block, a.x.len, all_aligned<kWide>(block, a.x, a.y), [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const auto x = block.template load_vector<N>(a.x, i);
      store_gradient<N>(block, a.mode, a.y, i, [&](int k) { return to_f32(x[k]); });
    });
  }
};

template <class Launch, class From, class To>
void cast(Launch&& launch, const Cast<From, To>& a) {
  check(a);
  if (a.mode != GradMode::skip) launch(CastKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
