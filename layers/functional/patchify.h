// layers/functional/patchify.h — non-overlapping k x k patches of an image, the columns of a stride-k convolution.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// x [N, H, W, C] -> [N, H/k, W/k, C k k], columns in the order of a weight [out, C, k, k]; what does not fill a patch
// is dropped. fn::linear(fn::patchify(x, k), w, b) is the convolution of w with stride k. kernels/patchify/patchify.h.
Tensor patchify(const Tensor& x, int k);

}  // namespace bonafide::fn
