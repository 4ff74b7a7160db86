// layers/functional/prelu.h — x above zero, slope x below.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// x: [..., C], f32 or bf16; slope: [C], one for each channel, or [1], one for all; f32. The slope counts at 0.
// kernels/prelu/prelu.h.
Tensor prelu(const Tensor& x, const Tensor& slope);

}  // namespace bonafide::fn
