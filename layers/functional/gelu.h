// layers/functional/gelu.h — GELU on tensors.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// y = x Phi(x) with the exact normal distribution function (not the tanh approximation); y has the shape and dtype of
// x. Saves x for backward.
Tensor gelu(const Tensor& x);

}  // namespace bonafide::fn
