// kernels/area_resize/area_resize.h — each pixel of the result is the mean of the pixels it touches (adaptive average
// pooling; PyTorch's interpolate(mode="area") and adaptive_avg_pool2d).
//
//   bin(i)     = [floor(i in / out), ceil((i + 1) in / out))     neighbours share a pixel where out does not divide in
//   forward    y[n, o, q, c] = mean of x[n, h, w, c] over h in bin(o), w in bin(q)
//   backward   dx[n, h, w, c] = sum of dy[n, o, q, c] / (|bin(o)| |bin(q)|) over the bins that hold (h, w)
//
// The bins that hold an input are the bin of the resize the other way round. Enlarging repeats pixels, with means
// between them. x, dx: [N, H, W, C], y, dy: [N, OH, OW, C] stored as T. Sums are f32: along one axis, then along the
// other. Deterministic: every element of y and of dx is one thread's. Sides up to 65535.
#pragma once
#include "engine/bf16.h"
#include "kernels/backends.h"
#include "kernels/pool_window.h"

namespace bonafide::kernels {

template <class T>
struct AreaResizeFwd {
  Span<const T> x;
  Span<T> y;
  std::int64_t N = 0;
  int H = 0, W = 0, C = 0, OH = 0, OW = 0;
};
template <class T>
struct AreaResizeBwd {
  Span<const T> dy;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
  std::int64_t N = 0;
  int H = 0, W = 0, C = 0, OH = 0, OW = 0;
};

BF_HD constexpr Cells area_bin(int i, int in, int out) {
  const auto u = [](int v) { return std::uint32_t(v); };  // (i + 1) in may need the 32nd bit
  return {int(u(i) * u(in) / u(out)), int(ceil_div(u(i + 1) * u(in), u(out)))};
}

// Bins hold up to one pixel more along each axis than in / out; caches are expected to keep what neighbours share.
template <class T>
constexpr Cost area_resize_fwd_cost(std::int64_t N, int H, int W, int C, int OH, int OW) {
  const double in = double(N) * C * double(H) * W, out = double(N) * C * double(OH) * OW;
  return {sizeof(T) * in, sizeof(T) * out, double(N) * C * double(H + OH) * double(W + OW)};
}
template <class T>
constexpr Cost area_resize_bwd_cost(std::int64_t N, int H, int W, int C, int OH, int OW) {
  const Cost forward = area_resize_fwd_cost<T>(N, H, W, C, OH, OW);
  return {forward.bytes_written, forward.bytes_read, 2 * forward.flops};
}

template <class T>
void check(const AreaResizeFwd<T>&);  // throws; called by every backend
template <class T>
void check(const AreaResizeBwd<T>&);

BF_PASS(area_resize_fwd, AreaResizeFwd);
BF_PASS(area_resize_bwd, AreaResizeBwd);

}  // namespace bonafide::kernels
