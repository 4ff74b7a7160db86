// layers/functional/avg_pool.h — global average pool.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// x [N, H, W, C] of any storage -> [N, C] f32, the mean over H and W. kernels/avg_pool/avg_pool.h.
Tensor avg_pool(const Tensor& x);

}  // namespace bonafide::fn
