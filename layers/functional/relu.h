// layers/functional/relu.h — max(x, 0).
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// Any shape, f32 or bf16. The gradient at 0 is 0. kernels/relu/relu.h.
Tensor relu(const Tensor& x);

}  // namespace bonafide::fn
