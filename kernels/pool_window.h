// kernels/pool_window.h — the geometry of pooling: which inputs a window covers, which windows cover an input.
//
// Images are [N, H, W, C]. Padding is no more than half of the kernel, as in PyTorch, so that every window covers an input.
#pragma once
#include "engine/base.h"
#include "kernels/interval.h"
#include "kernels/window.h"

namespace bonafide::kernels {

// One axis: window o covers the inputs [o stride - pad, o stride - pad + kernel), where there are any.
struct PoolAxis {
  std::int64_t in = 0, out = 0;
  int kernel = 1, stride = 1, pad = 0;

  BF_HD constexpr std::int64_t start(std::int64_t o) const { return o * stride - pad; }  // may lie in the padding
  BF_HD constexpr Interval inputs(std::int64_t o) const {
    const std::int64_t from = start(o), to = from + kernel;
    return {from > 0 ? from : 0, to < in ? to : in};
  }
  // Cells of the window that lie in the input or its padding: with ceil_mode the last window may reach beyond.
  BF_HD constexpr std::int64_t padded(std::int64_t o) const {
    const std::int64_t from = start(o), to = from + kernel;
    return (to < in + pad ? to : in + pad) - from;
  }
  // The windows that cover input i.
  BF_HD constexpr Interval outputs(std::int64_t i) const {
    const std::int64_t before = i + pad - kernel, last = (i + pad) / stride;
    return {before < 0 ? 0 : before / stride + 1, last < out ? last + 1 : out};
  }
};

struct Pool2d {
  std::int64_t N = 0, C = 0;
  PoolAxis h, w;
  constexpr std::int64_t inputs() const { return N * h.in * w.in * C; }
  constexpr std::int64_t outputs() const { return N * h.out * w.out * C; }
  constexpr std::int64_t cells() const { return std::int64_t(h.kernel) * w.kernel; }
};
constexpr Pool2d pool2d(std::int64_t N, std::int64_t H, std::int64_t W, std::int64_t C, const Window2d& v) {
  return {N, C,
          {H, window_out(H, v.kernel_h, v.stride_h, v.pad_h, v.ceil_mode), v.kernel_h, v.stride_h, v.pad_h},
          {W, window_out(W, v.kernel_w, v.stride_w, v.pad_w, v.ceil_mode), v.kernel_w, v.stride_w, v.pad_w}};
}

// Throws where there is nothing to compute. x and y: elements of the two images.
inline void check_pool(const char* operation, const Pool2d& p, std::int64_t x, std::int64_t y) {
  BF_CHECK(p.N >= 0 && p.C > 0, operation, ": ", p.N, " images of ", p.C, " channels");
  for (const PoolAxis& a : {p.h, p.w}) {
    BF_CHECK(a.kernel > 0 && a.stride > 0, operation, ": window of ", a.kernel, ", stride ", a.stride, ", expected at least 1");
    BF_CHECK(a.pad >= 0 && 2 * a.pad <= a.kernel, operation, ": padding ", a.pad, ", expected at most half of the window of ", a.kernel);
    BF_CHECK(a.in > 0 && a.out > 0, operation, ": a window of ", a.kernel, " does not fit into ", a.in, " with padding ", a.pad);
  }
  BF_CHECK(x == p.inputs(), operation, ": x has ", x, " elements, expected [", p.N, ", ", p.h.in, ", ", p.w.in, ", ", p.C, "]");
  BF_CHECK(y == p.outputs(), operation, ": y has ", y, " elements, expected [", p.N, ", ", p.h.out, ", ", p.w.out, ", ", p.C, "]");
}

// Where element i of an array [N, H, W, C] lies.
struct PixelAt {
  std::int64_t n, h, w, c;
  BF_HD constexpr PixelAt(std::int64_t i, std::int64_t H, std::int64_t W, std::int64_t C)
      : n(i / C / W / H), h(i / C / W % H), w(i / C % W), c(i % C) {}
};

}  // namespace bonafide::kernels
