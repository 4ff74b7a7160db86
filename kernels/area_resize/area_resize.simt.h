// kernels/area_resize/area_resize.simt.h — the mean of the pixels that a pixel touches, the bodies of its CUDA kernels:
// a thread owns 16 bytes of neighbouring channels of a result, of y or of dx, and gathers what belongs to them.
#pragma once
#include "kernels/area_resize/area_resize.h"
#include "kernels/simt/pixel_rows.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const AreaResizeFwd<T>& a, F&& f) {
  f("x", a.x), f("y", a.y);
}
template <class T, class F>
void for_each_array(const AreaResizeBwd<T>& a, F&& f) {
  f("dy", a.dy), f("dx", a.dx);
}

namespace simt_bodies {
using namespace simt;

struct AreaResizeFwdKernel {
  static constexpr const char* kName = "area_resize_fwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const AreaResizeFwd<T>& a) {
    return pixel_rows_shape<kWidest<T>>(a.N, a.OH, a.OW, a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const AreaResizeFwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const bool vectors = all_aligned<kWide>(block, a.x, a.y);
    for_own_pixels<kWide>(block, a.OH, a.OW, a.C, vectors, [&](PixelAt at, std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Cells rows = area_bin(at.h, a.H, a.OH), columns = area_bin(at.w, a.W, a.OW);
      float total[N] = {};
      for (int h = rows.begin; h < rows.end; ++h) {
        float sum[N] = {};
        for (int w = columns.begin; w < columns.end; ++w) {
          const auto x = block.template load_vector<N>(a.x, ((std::int64_t(at.n) * a.H + h) * a.W + w) * a.C + at.c);
          for (int k = 0; k < N; ++k) sum[k] += to_f32(x[k]);
        }
        for (int k = 0; k < N; ++k) total[k] += sum[k];
      }
      const float size = float(rows.size() * columns.size());
      simt::Vector<T, N> y;
      for (int k = 0; k < N; ++k) y[k] = from_f32<T>(total[k] / size);
      block.store_vector(a.y, i, y);
    });
  }
};

struct AreaResizeBwdKernel {
  static constexpr const char* kName = "area_resize_bwd";
  static constexpr int kMaxThreads = kElementwiseThreads, kMinBlocks = 3;
  template <class T>
  static LaunchShape shape(const AreaResizeBwd<T>& a) {
    return pixel_rows_shape<kWidest<T>>(a.N, a.H, a.W, a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const AreaResizeBwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const bool vectors = all_aligned<kWide>(block, a.dy, a.dx);
    for_own_pixels<kWide>(block, a.H, a.W, a.C, vectors, [&](PixelAt at, std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Cells rows = area_bin(at.h, a.OH, a.H), columns = area_bin(at.w, a.OW, a.W);
      float total[N] = {};
      for (int o = rows.begin; o < rows.end; ++o) {
        const float share = 1.0f / float(area_bin(o, a.H, a.OH).size());
        for (int q = columns.begin; q < columns.end; ++q) {
          const float of_both = share / float(area_bin(q, a.W, a.OW).size());
          const auto dy =
              block.template load_vector<N>(a.dy, ((std::int64_t(at.n) * a.OH + o) * a.OW + q) * a.C + at.c);
          for (int k = 0; k < N; ++k) total[k] += to_f32(dy[k]) * of_both;
        }
      }
      store_gradient<N>(block, a.dx_mode, a.dx, i, [&](int k) { return total[k]; });
    });
  }
};

template <class Launch, class T>
void area_resize_fwd(Launch&& launch, const AreaResizeFwd<T>& a) {
  check(a);
  launch(AreaResizeFwdKernel(), a);
}
template <class Launch, class T>
void area_resize_bwd(Launch&& launch, const AreaResizeBwd<T>& a) {
  check(a);
  if (a.dx_mode != GradMode::skip) launch(AreaResizeBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
