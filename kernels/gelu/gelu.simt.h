// kernels/gelu/gelu.simt.h — GELU, the bodies of its CUDA kernels: 16 bytes per thread and access, in any order.
#pragma once
#include <cmath>

#include "kernels/gelu/gelu.h"
#include "kernels/simt/block.h"

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

inline constexpr int kGeluThreads = 256;

template <class T>
LaunchShape elementwise_shape(std::int64_t n) {
  return {.grid = {ceil_div<std::int64_t>(n, kGeluThreads * kWidest<T>)}, .block = {kGeluThreads}};
}

// From -15 down Phi is 0 in f32, and phi is from 15 up: the clamps keep infinity times zero away, and let NaN pass in
// Phi.
BF_DEVICE float normal_cdf(float x) { return 0.5f * erfcf(x * -0.70710678f); }
BF_DEVICE float gelu(float x) { return fmaxf(x, -15.0f) * normal_cdf(x); }
BF_DEVICE float gelu_derivative(float x) {
  const float c = fminf(fmaxf(x, -15.0f), 15.0f);
  return normal_cdf(x) + c * (0.39894228f * expf(-0.5f * c * c));
}

// Calls f(i, count) for the elements of this thread: once with a whole vector where the arrays allow it, else one by
// one. `count` is a compile-time number.
template <int N>
struct Count {
  static constexpr int value = N;
};
template <class T, Block B, class F>
BF_DEVICE void for_own_elements(B& block, std::int64_t n, bool vectors, F&& f) {
  constexpr int N = kWidest<T>;
  const std::int64_t first = (std::int64_t(block.bx()) * block.dx() + block.tx()) * N;
  if (vectors && first + N <= n) {
    f(first, Count<N>());
  } else {
    for (std::int64_t i = first; i < n && i < first + N; ++i) f(i, Count<1>());
  }
}

struct GeluFwdKernel {
  static constexpr const char* kName = "gelu_fwd";
  static constexpr int kMaxThreads = kGeluThreads;
  template <class T>
  static LaunchShape shape(const GeluFwd<T>& a) {
    return elementwise_shape<T>(a.x.len);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const GeluFwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const bool vectors = block.template aligned<kWide>(a.x) && block.template aligned<kWide>(a.y);
    for_own_elements<T>(block, a.x.len, vectors, [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      auto v = block.template load_vector<N>(a.x, i);
      for (int k = 0; k < N; ++k) v[k] = from_f32<T>(gelu(to_f32(v[k])));
      block.store_vector(a.y, i, v);
    });
  }
};

struct GeluBwdKernel {
  static constexpr const char* kName = "gelu_bwd";
  static constexpr int kMaxThreads = kGeluThreads;
  template <class T>
  static LaunchShape shape(const GeluBwd<T>& a) {
    return elementwise_shape<T>(a.x.len);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const GeluBwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const bool vectors = block.template aligned<kWide>(a.x) && block.template aligned<kWide>(a.dy) &&
                         block.template aligned<kWide>(a.dx);
    const bool add = a.dx_mode == GradMode::add;
    for_own_elements<T>(block, a.x.len, vectors, [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const auto dy = block.template load_vector<N>(a.dy, i), x = block.template load_vector<N>(a.x, i);
      simt::Vector<T, N> dx{};
      if (add) dx = block.template load_vector<N>(a.dx, i);
      for (int k = 0; k < N; ++k) {
        const float d = to_f32(dy[k]) * gelu_derivative(to_f32(x[k]));
        dx[k] = from_f32<T>(add ? to_f32(dx[k]) + d : d);
      }
      block.store_vector(a.dx, i, dx);
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
