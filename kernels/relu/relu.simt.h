// kernels/relu/relu.simt.h — max(x, 0), the bodies of its CUDA kernels: 16 bytes per thread and access.
#pragma once
#include "kernels/relu/relu.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const ReluFwd<T>& a, F&& f) {
  f("x", a.x), f("y", a.y);
}
template <class T, class F>
void for_each_array(const ReluBwd<T>& a, F&& f) {
  f("dy", a.dy), f("x", a.x), f("dx", a.dx);
}

namespace simt_bodies {
using namespace simt;

struct ReluFwdKernel {
  static constexpr const char* kName = "relu_fwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const ReluFwd<T>& a) {
    return elementwise_shape<kWidest<T>>(a.x.len);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const ReluFwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    for_own_elements<kWide>(block, a.x.len, all_aligned<kWide>(block, a.x, a.y), [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      auto v = block.template load_vector<N>(a.x, i);
      for (int k = 0; k < N; ++k) v[k] = to_f32(v[k]) <= 0 ? from_f32<T>(0) : v[k];
      block.store_vector(a.y, i, v);
    });
  }
};

struct ReluBwdKernel {
  static constexpr const char* kName = "relu_bwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const ReluBwd<T>& a) {
    return elementwise_shape<kWidest<T>>(a.x.len);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const ReluBwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const bool vectors = all_aligned<kWide>(block, a.dy, a.x, a.dx);
    for_own_elements<kWide>(block, a.x.len, vectors, [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const auto dy = block.template load_vector<N>(a.dy, i), x = block.template load_vector<N>(a.x, i);
      store_gradient<N>(block, a.dx_mode, a.dx, i, [&](int k) { return to_f32(x[k]) <= 0 ? 0.0f : to_f32(dy[k]); });
    });
  }
};

template <class Launch, class T>
void relu_fwd(Launch&& launch, const ReluFwd<T>& a) {
  check(a);
  launch(ReluFwdKernel(), a);
}
template <class Launch, class T>
void relu_bwd(Launch&& launch, const ReluBwd<T>& a) {
  check(a);
  if (a.dx_mode != GradMode::skip) launch(ReluBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
