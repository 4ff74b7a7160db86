// layers/functional/layer_norm.h — LayerNorm on tensors.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// Over the last axis. x: [..., C], f32 or bf16; gamma, beta: [C] f32. The result has the shape and dtype of x.
// Saves x and, per row, mean and 1 / standard deviation (f32).
Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps = 1e-6f);

}  // namespace bonafide::fn
