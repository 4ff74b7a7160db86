// layers/functional/linear.h — a linear layer on tensors: y = x W^T + b.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// x [..., in] -> [..., out], stored like x. w [out, ...] with in = product of the rest: [out, in], a 1x1 convolution
// [out, in, 1, 1], or a patchify convolution [out, C, k, k] on fn::patchify's columns. w is read through
// w.as(x.dtype()). b [out] (f32), or an empty Tensor for none. Formula and precision: kernels/matmul/matmul.h.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b = {});

}  // namespace bonafide::fn
