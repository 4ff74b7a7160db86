// layers/functional/area_resize.h — each pixel of the result is the mean of the pixels it touches.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// x [N, H, W, C], f32 or bf16 -> [N, h, w, C]: PyTorch's interpolate(mode="area") and adaptive_avg_pool2d, smaller or
// larger. kernels/area_resize/area_resize.h.
Tensor area_resize(const Tensor& x, int h, int w);

}  // namespace bonafide::fn
