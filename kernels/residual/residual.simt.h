// kernels/residual/residual.simt.h — the scaled sum, the bodies of its CUDA kernels: blocks that belong to one sample,
// so that the scale is a constant inside; 16 bytes per thread and access.
#pragma once
#include "kernels/residual/residual.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const ResidualFwd<T>& a, F&& f) {
  f("x", a.x), f("y", a.y), f("scale", a.scale), f("out", a.out);
}
template <class T, class F>
void for_each_array(const ResidualBwd<T>& a, F&& f) {
  f("dout", a.dout), f("scale", a.scale), f("dx", a.dx), f("dy", a.dy);
}

namespace simt_bodies {
using namespace simt;

template <int N, class A>
LaunchShape residual_shape(const A& a) {
  return {.grid = {a.N * elementwise_blocks<N>(a.S)}, .block = {kElementwiseThreads}};
}

// Calls f(i, count, scale) for the elements of this thread. A sample after the first begins at a vector's address only
// if the samples are whole vectors.
template <int N, Block B, class A, class F>
BF_DEVICE void for_own_of_sample(B& block, const A& a, bool vectors, F&& f) {
  const std::int64_t blocks = elementwise_blocks<N>(a.S), sample = block.bx() / blocks, base = sample * a.S;
  const float scale = a.scale ? block.load(a.scale, sample) : a.one_scale;
  for_own_elements<N>(block, block.bx() % blocks, a.S, vectors && a.S % N == 0,
                      [&](std::int64_t i, auto count) { f(base + i, count, scale); });
}

struct ResidualFwdKernel {
  static constexpr const char* kName = "residual_fwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const ResidualFwd<T>& a) {
    return residual_shape<kWidest<T>>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const ResidualFwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const bool vectors = all_aligned<kWide>(block, a.x, a.y, a.out);
    for_own_of_sample<kWide>(block, a, vectors, [&](std::int64_t i, auto count, float scale) {
      constexpr int N = decltype(count)::value;
      auto x = block.template load_vector<N>(a.x, i);
      const auto y = block.template load_vector<N>(a.y, i);
      for (int k = 0; k < N; ++k) x[k] = from_f32<T>(to_f32(x[k]) + scale * to_f32(y[k]));
      block.store_vector(a.out, i, x);
    });
  }
};

struct ResidualBwdKernel {
  static constexpr const char* kName = "residual_bwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const ResidualBwd<T>& a) {
    return residual_shape<kWidest<T>>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const ResidualBwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const bool vectors = all_aligned<kWide>(block, a.dout, a.dx, a.dy);  // a skipped gradient's null is as good as any
    for_own_of_sample<kWide>(block, a, vectors, [&](std::int64_t i, auto count, float scale) {
      constexpr int N = decltype(count)::value;
      const auto dout = block.template load_vector<N>(a.dout, i);
      store_gradient<N>(block, a.dx_mode, a.dx, i, [&](int k) { return to_f32(dout[k]); });
      store_gradient<N>(block, a.dy_mode, a.dy, i, [&](int k) { return scale * to_f32(dout[k]); });
    });
  }
};

template <class Launch, class T>
void residual_fwd(Launch&& launch, const ResidualFwd<T>& a) {
  check(a);
  launch(ResidualFwdKernel(), a);
}
template <class Launch, class T>
void residual_bwd(Launch&& launch, const ResidualBwd<T>& a) {
  check(a);
  if (a.dx_mode != GradMode::skip || a.dy_mode != GradMode::skip) launch(ResidualBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
