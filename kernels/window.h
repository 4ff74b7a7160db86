// kernels/window.h — the window of a 2-D convolution or pooling, and the size of what it leaves.
#pragma once
#include <cstdint>

namespace bonafide::kernels {

struct Window2d { int kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0; bool ceil_mode = false; };
// Output size of one axis, as PyTorch: floor((in + 2 pad - kernel) / stride) + 1; with ceil_mode the quotient is rounded up, but the
// last window must begin inside the input or its left padding. Throws-free: 0 or negative where the window does not fit.
constexpr std::int64_t window_out(std::int64_t in, int kernel, int stride, int pad, bool ceil_mode) {
  const std::int64_t room = in + 2 * std::int64_t(pad) - kernel + (ceil_mode ? stride - 1 : 0);
  if (stride <= 0 || room < 0) return 0;
  const std::int64_t out = room / stride + 1;
  return ceil_mode && (out - 1) * stride >= in + pad ? out - 1 : out;
}

}  // namespace bonafide::kernels
