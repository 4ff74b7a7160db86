// kernels/avg_pool2d/avg_pool2d.h — the mean of each window. (kernels/avg_pool is the mean over the whole image.)
//
//   forward    y[n, o, q, c] = sum x[n, h, w, c] / size(o, q)       over the inputs (h, w) that window (o, q) covers
//   backward   dx[n, h, w, c] = sum dy[n, o, q, c] / size(o, q)     over the windows that cover (h, w)
//
// size: how many inputs the window covers or, with count_include_pad, how many inputs and zeros of the padding; what a
// last window has beyond the padding (ceil_mode) never counts. As PyTorch. x, dx: [N, H, W, C], y, dy: [N, OH, OW, C]
// stored as T. Sums are f32, in row-major order. Deterministic: every element of y and of dx is one thread's.
#pragma once
#include "engine/bf16.h"
#include "kernels/backends.h"
#include "kernels/pool_window.h"

namespace bonafide::kernels {

template <class T>
struct AvgPool2dFwd {
  Span<const T> x;
  Span<T> y;
  bool count_include_pad = true;
  Pool2d pool;
};
template <class T>
struct AvgPool2dBwd {
  Span<const T> dy;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
  bool count_include_pad = true;
  Pool2d pool;
};

// What the sum of window (o, q) is divided by.
BF_HD constexpr float avg_pool2d_size(const Pool2d& p, bool count_include_pad, int o, int q) {
  return count_include_pad ? float(p.h.padded(o) * p.w.padded(q)) : float(p.h.inputs(o).size() * p.w.inputs(q).size());
}

template <class T>
constexpr Cost avg_pool2d_fwd_cost(const Pool2d& p) {
  const double out = double(p.outputs());
  return {sizeof(T) * double(p.inputs()), sizeof(T) * out, out * (double(p.cells()) + 1)};
}
template <class T>
constexpr Cost avg_pool2d_bwd_cost(const Pool2d& p) {
  const double out = double(p.outputs());
  return {sizeof(T) * out, sizeof(T) * double(p.inputs()), 2 * out * double(p.cells())};
}

template <class T>
void check(const AvgPool2dFwd<T>&);  // throws; called by every backend
template <class T>
void check(const AvgPool2dBwd<T>&);

BF_PASS(avg_pool2d_fwd, AvgPool2dFwd);
BF_PASS(avg_pool2d_bwd, AvgPool2dBwd);

}  // namespace bonafide::kernels
