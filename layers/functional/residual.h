// layers/functional/residual.h — sums of tensors: a residual branch with stochastic depth, a weighted sum.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// x + scale[n] y, n the first axis. x and y: same shape, same dtype. scale [N] f32 (0 drops the branch of a sample), or
// an empty Tensor for 1; it gets no gradient. kernels/residual/residual.h.
Tensor residual(const Tensor& x, const Tensor& y, const Tensor& scale = {});

// a + w b for tensors of one shape and dtype, e.g. total = weighted_add(focal, supcon, 0.306).
Tensor weighted_add(const Tensor& a, const Tensor& b, float w);

}  // namespace bonafide::fn
