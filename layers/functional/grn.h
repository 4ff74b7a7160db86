// layers/functional/grn.h — Global Response Normalisation on tensors.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// x: [N, ..., C], f32 or bf16, normalised per sample over everything between the first and the last axis; gamma, beta:
// [C] f32. gamma = beta = 0 is the identity. The result has the shape and dtype of x. Saves x and the norms G [N, C].
Tensor grn(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps = 1e-6f);

}  // namespace bonafide::fn
