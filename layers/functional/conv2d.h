// layers/functional/conv2d.h — general 2-D convolution on tensors.
#pragma once
#include "engine/tensor.h"
#include "kernels/window.h"

namespace bonafide::fn {

// x [N, H, W, Cin], f32 or bf16; w [Cout, Cin / groups, kernel_h, kernel_w], read through w.as(x.dtype()); b [Cout]
// f32, or an empty Tensor for none. window: the kernel of w, its stride and padding (ceil_mode is for pools). The
// result is [N, out_h, out_w, Cout], stored like x. Saves x for backward. kernels/conv2d/conv2d.h.
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const kernels::Window2d& window, int groups = 1);

}  // namespace bonafide::fn
