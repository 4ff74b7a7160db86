// layers/functional/avg_pool2d.h — the mean of each window.
#pragma once
#include "engine/tensor.h"
#include "kernels/window.h"

namespace bonafide::fn {

// x [N, H, W, C], f32 or bf16 -> [N, OH, OW, C] (kernels::window_out). Padding is at most half of the window; its zeros
// are part of the mean unless count_include_pad is false. kernels/avg_pool2d/avg_pool2d.h. The mean over the whole
// image: avg_pool.h.
Tensor avg_pool2d(const Tensor& x, const kernels::Window2d& window, bool count_include_pad = true);

}  // namespace bonafide::fn
