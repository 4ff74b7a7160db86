// layers/functional/max_pool2d.h — the largest value of each window.
#pragma once
#include "engine/tensor.h"
#include "kernels/window.h"

namespace bonafide::fn {

// x [N, H, W, C], f32 or bf16 -> [N, OH, OW, C] (kernels::window_out). Padding counts as -infinity and is at most half
// of the window; the gradient goes to the first of equal values, row by row. Saves a byte per element of the result, so
// a window that wants a gradient has at most 256 cells. kernels/max_pool2d/max_pool2d.h.
Tensor max_pool2d(const Tensor& x, const kernels::Window2d& window);

}  // namespace bonafide::fn
