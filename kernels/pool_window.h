// kernels/pool_window.h — the geometry of pooling: which inputs a window covers, which windows cover an input.
//
// Images are [N, H, W, C]. Padding is no more than half of the kernel, as in PyTorch, so that every window covers an
// input.
#pragma once
#include "engine/base.h"
#include "kernels/interval.h"
#include "kernels/window.h"

namespace bonafide::kernels {

// So that a row of pixels, and the product of two sides, can be counted in 32 bits: GPUs divide those several times as
// fast.
inline constexpr std::int64_t kMaxImageSide = 65535, kMaxImageChannels = 32767;

// One axis: window o covers the inputs [o stride - pad, o stride - pad + kernel), where there are any.
struct PoolAxis {
  int in = 0, out = 0, kernel = 1, stride = 1, pad = 0;

  BF_HD constexpr int start(int o) const { return o * stride - pad; }  // may lie in the padding
  BF_HD constexpr Cells inputs(int o) const {
    const int from = start(o), to = from + kernel;
    return {from > 0 ? from : 0, to < in ? to : in};
  }
  // Cells of the window that lie in the input or its padding: with ceil_mode the last window may reach beyond.
  BF_HD constexpr int padded(int o) const {
    const int from = start(o), to = from + kernel;
    return (to < in + pad ? to : in + pad) - from;
  }
  // The windows that cover input i.
  BF_HD constexpr Cells outputs(int i) const {
    const int before = i + pad - kernel, last = (i + pad) / stride;
    return {before < 0 ? 0 : before / stride + 1, last < out ? last + 1 : out};
  }
};

// Made by pool2d().
struct Pool2d {
  std::int64_t N = 0;
  int C = 0;
  PoolAxis h, w;
  constexpr std::int64_t inputs() const { return N * h.in * w.in * C; }
  constexpr std::int64_t outputs() const { return N * h.out * w.out * C; }
  constexpr std::int64_t cells() const { return std::int64_t(h.kernel) * w.kernel; }
};

// Throws where there is nothing to compute.
inline PoolAxis pool_axis(const char* operation, std::int64_t in, int kernel, int stride, int pad, bool ceil_mode) {
  const std::int64_t out = window_out(in, kernel, stride, pad, ceil_mode);
  BF_CHECK(kernel > 0 && stride > 0, operation, ": window of ", kernel, ", stride ", stride, ", expected at least 1");
  BF_CHECK(pad >= 0 && pad <= kernel / 2, operation, ": padding ", pad, ", expected at most half of the window of ",
           kernel);
  BF_CHECK(in > 0 && out > 0, operation, ": a window of ", kernel, " does not fit into ", in, " with padding ", pad);
  BF_CHECK(in + kernel + stride <= kMaxImageSide, operation, ": a window of ", kernel, ", stride ", stride, " over ",
           in, " pixels");
  return {int(in), int(out), kernel, stride, pad};
}
inline Pool2d pool2d(const char* operation, std::int64_t N, std::int64_t H, std::int64_t W, std::int64_t C,
                     const Window2d& v) {
  BF_CHECK(N >= 0 && C > 0 && C <= kMaxImageChannels, operation, ": ", N, " images of ", C, " channels");
  return {N, int(C), pool_axis(operation, H, v.kernel_h, v.stride_h, v.pad_h, v.ceil_mode),
          pool_axis(operation, W, v.kernel_w, v.stride_w, v.pad_w, v.ceil_mode)};
}

// x and y: elements of the two images.
inline void check_pool(const char* operation, const Pool2d& p, std::int64_t x, std::int64_t y) {
  BF_CHECK(x == p.inputs(), operation, ": x has ", x, " elements, expected [", p.N, ", ", p.h.in, ", ", p.w.in, ", ",
           p.C, "]");
  BF_CHECK(y == p.outputs(), operation, ": y has ", y, " elements, expected [", p.N, ", ", p.h.out, ", ", p.w.out, ", ",
           p.C, "]");
}

}  // namespace bonafide::kernels
