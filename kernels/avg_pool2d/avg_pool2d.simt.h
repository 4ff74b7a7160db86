// kernels/avg_pool2d/avg_pool2d.simt.h — the mean of each window, the bodies of its CUDA kernels: a thread owns 16
// bytes of neighbouring channels of a result, of y or of dx, and gathers what belongs to them.
#pragma once
#include "kernels/avg_pool2d/avg_pool2d.h"
#include "kernels/simt/pixel_rows.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const AvgPool2dFwd<T>& a, F&& f) {
  f("x", a.x), f("y", a.y);
}
template <class T, class F>
void for_each_array(const AvgPool2dBwd<T>& a, F&& f) {
  f("dy", a.dy), f("dx", a.dx);
}

namespace simt_bodies {
using namespace simt;

struct AvgPool2dFwdKernel {
  static constexpr const char* kName = "avg_pool2d_fwd";
  static constexpr int kMaxThreads = kElementwiseThreads, kMinBlocks = 4;
  template <class T>
  static LaunchShape shape(const AvgPool2dFwd<T>& a) {
    return pixel_rows_shape<kWidest<T>>(a.pool.N, a.pool.h.out, a.pool.w.out, a.pool.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const AvgPool2dFwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const PoolAxis &h = a.pool.h, &w = a.pool.w;
    const int C = a.pool.C;
    const bool vectors = all_aligned<kWide>(block, a.x, a.y);
    for_own_pixels<kWide>(block, h.out, w.out, C, vectors, [&](PixelAt at, std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Cells rows = h.inputs(at.h), columns = w.inputs(at.w);
      float sum[N] = {};
      for (int u = rows.begin; u < rows.end; ++u)
        for (int v = columns.begin; v < columns.end; ++v) {
          const auto x = block.template load_vector<N>(a.x, ((std::int64_t(at.n) * h.in + u) * w.in + v) * C + at.c);
          for (int k = 0; k < N; ++k) sum[k] += to_f32(x[k]);
        }
      const float size = avg_pool2d_size(a.pool, a.count_include_pad, at.h, at.w);
      simt::Vector<T, N> y;
      for (int k = 0; k < N; ++k) y[k] = from_f32<T>(sum[k] / size);
      block.store_vector(a.y, i, y);
    });
  }
};

struct AvgPool2dBwdKernel {
  static constexpr const char* kName = "avg_pool2d_bwd";
  static constexpr int kMaxThreads = kElementwiseThreads, kMinBlocks = 4;
  template <class T>
  static LaunchShape shape(const AvgPool2dBwd<T>& a) {
    return pixel_rows_shape<kWidest<T>>(a.pool.N, a.pool.h.in, a.pool.w.in, a.pool.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const AvgPool2dBwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const PoolAxis &h = a.pool.h, &w = a.pool.w;
    const int C = a.pool.C;
    const bool vectors = all_aligned<kWide>(block, a.dy, a.dx);
    for_own_pixels<kWide>(block, h.in, w.in, C, vectors, [&](PixelAt at, std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Cells rows = h.outputs(at.h), columns = w.outputs(at.w);
      float sum[N] = {};
      for (int o = rows.begin; o < rows.end; ++o)
        for (int q = columns.begin; q < columns.end; ++q) {
          const auto dy =
              block.template load_vector<N>(a.dy, ((std::int64_t(at.n) * h.out + o) * w.out + q) * C + at.c);
          const float share = 1.0f / avg_pool2d_size(a.pool, a.count_include_pad, o, q);
          for (int k = 0; k < N; ++k) sum[k] += to_f32(dy[k]) * share;
        }
      store_gradient<N>(block, a.dx_mode, a.dx, i, [&](int k) { return sum[k]; });
    });
  }
};

template <class Launch, class T>
void avg_pool2d_fwd(Launch&& launch, const AvgPool2dFwd<T>& a) {
  check(a);
  launch(AvgPool2dFwdKernel(), a);
}
template <class Launch, class T>
void avg_pool2d_bwd(Launch&& launch, const AvgPool2dBwd<T>& a) {
  check(a);
  if (a.dx_mode != GradMode::skip) launch(AvgPool2dBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
