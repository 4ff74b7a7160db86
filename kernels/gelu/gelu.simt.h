// kernels/gelu/gelu.simt.h — GELU, the bodies of its CUDA kernels: 16 bytes per thread and access, in any order.
#pragma once
#include <cmath>

#include "kernels/gelu/gelu.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const GeluFwd<T>& a, F&& f) {
  f("x", a.x), f("y", a.y);
}
template <class T, class F>
void for_each_array(const GeluBwd<T>& a, F&& f) {
  f("dy", a.dy), f("x", a.x), f("dx", a.dx);
}

namespace simt_bodies {
using namespace simt;

// From -15 down Phi is 0 in f32, and phi is from 15 up: the clamps keep infinity times zero away, and let NaN pass in
// Phi.
BF_DEVICE float normal_cdf(float x) { return 0.5f * erfcf(x * -0.70710678f); }
BF_DEVICE float gelu(float x) { return fmaxf(x, -15.0f) * normal_cdf(x); }
BF_DEVICE float gelu_derivative(float x) {
  const float c = fminf(fmaxf(x, -15.0f), 15.0f);
  return normal_cdf(x) + c * (0.39894228f * expf(-0.5f * c * c));
}

struct GeluFwdKernel {
  static constexpr const char* kName = "gelu_fwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const GeluFwd<T>& a) {
    return elementwise_shape<kWidest<T>>(a.x.len);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const GeluFwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    for_own_elements<kWide>(block, a.x.len, all_aligned<kWide>(block, a.x, a.y), [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      auto v = block.template load_vector<N>(a.x, i);
      for (int k = 0; k < N; ++k) v[k] = from_f32<T>(gelu(to_f32(v[k])));
      block.store_vector(a.y, i, v);
    });
  }
};

struct GeluBwdKernel {
  static constexpr const char* kName = "gelu_bwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const GeluBwd<T>& a) {
    return elementwise_shape<kWidest<T>>(a.x.len);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const GeluBwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const bool vectors = all_aligned<kWide>(block, a.dy, a.x, a.dx);
    for_own_elements<kWide>(block, a.x.len, vectors, [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const auto dy = block.template load_vector<N>(a.dy, i), x = block.template load_vector<N>(a.x, i);
      store_gradient<N>(block, a.dx_mode, a.dx, i,
                        [&](int k) { return to_f32(dy[k]) * gelu_derivative(to_f32(x[k])); });
    });
  }
};

// What is launched, in order. Launch: called with a kernel and its arguments.
template <class Launch, class T>
void gelu_fwd(Launch&& launch, const GeluFwd<T>& a) {
  check(a);
  launch(GeluFwdKernel(), a);
}
template <class Launch, class T>
void gelu_bwd(Launch&& launch, const GeluBwd<T>& a) {
  check(a);
  if (a.dx_mode != GradMode::skip) launch(GeluBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
