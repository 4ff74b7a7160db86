// kernels/max_pool2d/max_pool2d.h — the largest value of each window. Raw API: no Tensor, no autograd.
//
//   forward    y[n, o, q, c] = max x[n, h, w, c] over the inputs (h, w) that window (o, q) covers
//              index         = the cell of the window that it came from, counted row by row, padding included
//   backward   dx[n, h, w, c] = sum of dy[n, o, q, c] over the windows (o, q) whose index is at (h, w)
//
// x, dx: [N, H, W, C], y, dy: [N, OH, OW, C] stored as T; index: like y, bytes, so that a window that wants a gradient
// has at most 256 cells. Padding counts as -infinity. Of equal values the first, row by row; a NaN is larger than any
// number, and of several the last (PyTorch's rule). y is a copy of an x: no rounding. The sum is f32, windows in
// row-major order. Deterministic: every element of y and of dx is one thread's.
#pragma once
#include "engine/bf16.h"
#include "kernels/backends.h"
#include "kernels/pool_window.h"

namespace bonafide::kernels {

template <class T>
struct MaxPool2dFwd {
  Span<const T> x;
  Span<T> y;
  Span<std::uint8_t> index;  // for backward; empty: not wanted
  Pool2d pool;
};
template <class T>
struct MaxPool2dBwd {
  Span<const T> dy;
  Span<const std::uint8_t> index;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
  Pool2d pool;
};

// A comparison and a choice per cell.
template <class T>
constexpr Cost max_pool2d_fwd_cost(const Pool2d& p, bool index) {
  const double out = double(p.outputs());
  return {sizeof(T) * double(p.inputs()), (sizeof(T) + (index ? 1.0 : 0.0)) * out, out * double(p.cells())};
}
template <class T>
constexpr Cost max_pool2d_bwd_cost(const Pool2d& p) {
  const double out = double(p.outputs());
  return {(sizeof(T) + 1.0) * out, sizeof(T) * double(p.inputs()), out * double(p.cells())};
}

template <class T>
void check(const MaxPool2dFwd<T>&);  // throws; called by every backend
template <class T>
void check(const MaxPool2dBwd<T>&);

BF_PASS(max_pool2d_fwd, MaxPool2dFwd);
BF_PASS(max_pool2d_bwd, MaxPool2dBwd);

}  // namespace bonafide::kernels
