// kernels/max_pool2d/max_pool2d.simt.h — the largest value of each window, the bodies of its CUDA kernels: a thread
// owns 16 bytes of neighbouring channels of a result, of y or of dx, and gathers what belongs to them.
#pragma once
#include <cmath>

#include "kernels/max_pool2d/max_pool2d.h"
#include "kernels/simt/pixel_rows.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const MaxPool2dFwd<T>& a, F&& f) {
  f("x", a.x), f("y", a.y), f("index", a.index);
}
template <class T, class F>
void for_each_array(const MaxPool2dBwd<T>& a, F&& f) {
  f("dy", a.dy), f("index", a.index), f("dx", a.dx);
}

namespace simt_bodies {
using namespace simt;

struct MaxPool2dFwdKernel {
  static constexpr const char* kName = "max_pool2d_fwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const MaxPool2dFwd<T>& a) {
    return pixel_rows_shape<kWidest<T>>(a.pool.N, a.pool.h.out, a.pool.w.out, a.pool.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const MaxPool2dFwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const PoolAxis &h = a.pool.h, &w = a.pool.w;
    const int C = a.pool.C;
    const bool vectors = all_aligned<kWide>(block, a.x, a.y, a.index);
    for_own_pixels<kWide>(block, h.out, w.out, C, vectors, [&](PixelAt at, std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Cells rows = h.inputs(at.h), columns = w.inputs(at.w);
      const auto cell = [&](int u, int v) { return (u - h.start(at.h)) * w.kernel + v - w.start(at.w); };
      float best[N];
      int from[N];
      for (int k = 0; k < N; ++k) best[k] = -INFINITY, from[k] = cell(rows.begin, columns.begin);
      for (int u = rows.begin; u < rows.end; ++u)
        for (int v = columns.begin; v < columns.end; ++v) {
          const auto x = block.template load_vector<N>(a.x, ((std::int64_t(at.n) * h.in + u) * w.in + v) * C + at.c);
          const int here = cell(u, v);
          for (int k = 0; k < N; ++k) {
            const float value = to_f32(x[k]);
            if (value > best[k] || value != value) best[k] = value, from[k] = here;
          }
        }
      simt::Vector<T, N> y;
      simt::Vector<std::uint8_t, N> index;
      for (int k = 0; k < N; ++k) y[k] = from_f32<T>(best[k]), index[k] = std::uint8_t(from[k]);
      block.store_vector(a.y, i, y);
      if (a.index) block.store_vector(a.index, i, index);
    });
  }
};

struct MaxPool2dBwdKernel {
  static constexpr const char* kName = "max_pool2d_bwd";
  static constexpr int kMaxThreads = kElementwiseThreads, kMinBlocks = 4;
  template <class T>
  static LaunchShape shape(const MaxPool2dBwd<T>& a) {
    return pixel_rows_shape<kWidest<T>>(a.pool.N, a.pool.h.in, a.pool.w.in, a.pool.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const MaxPool2dBwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const PoolAxis &h = a.pool.h, &w = a.pool.w;
    const int C = a.pool.C;
    const bool vectors = all_aligned<kWide>(block, a.dy, a.index, a.dx);
    for_own_pixels<kWide>(block, h.in, w.in, C, vectors, [&](PixelAt at, std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Cells rows = h.outputs(at.h), columns = w.outputs(at.w);
      float sum[N] = {};
      for (int o = rows.begin; o < rows.end; ++o)
        for (int q = columns.begin; q < columns.end; ++q) {
          const std::int64_t out = ((std::int64_t(at.n) * h.out + o) * w.out + q) * C + at.c;
          const auto dy = block.template load_vector<N>(a.dy, out);
          const auto index = block.template load_vector<N>(a.index, out);
          const int here = (at.h - h.start(o)) * w.kernel + at.w - w.start(q);
          for (int k = 0; k < N; ++k) sum[k] += index[k] == here ? to_f32(dy[k]) : 0.0f;
        }
      store_gradient<N>(block, a.dx_mode, a.dx, i, [&](int k) { return sum[k]; });
    });
  }
};

template <class Launch, class T>
void max_pool2d_fwd(Launch&& launch, const MaxPool2dFwd<T>& a) {
  check(a);
  launch(MaxPool2dFwdKernel(), a);
}
template <class Launch, class T>
void max_pool2d_bwd(Launch&& launch, const MaxPool2dBwd<T>& a) {
  check(a);
  if (a.dx_mode != GradMode::skip) launch(MaxPool2dBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
