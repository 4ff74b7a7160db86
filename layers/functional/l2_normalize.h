// layers/functional/l2_normalize.h — rows of unit length.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// x [..., D] f32 -> x / max(|x|, eps) along the last axis. kernels/l2_normalize/l2_normalize.h.
Tensor l2_normalize(const Tensor& x, float eps = 1e-12f);

}  // namespace bonafide::fn
