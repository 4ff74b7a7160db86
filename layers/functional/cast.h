// layers/functional/cast.h — between f32 and bf16.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// x stored as `t`; x itself when it already is. kernels/cast/cast.h.
Tensor cast(const Tensor& x, DType t);

}  // namespace bonafide::fn
