// layers/functional/batch_norm.h — batch normalisation on tensors.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

struct BatchNormOptions {
  float eps = 1e-5f;
  float momentum = 0.1f;  // weight of the new value in the running statistics
  bool training = false;
};

// Each channel over all leading axes. x: [..., C], f32 or bf16; weight, bias, running_mean, running_var: [C] f32.
// Training normalises with the statistics of x, at least 2 values per channel, and updates the running ones in place;
// otherwise the running ones are used and left alone. The result has the shape and dtype of x. Saves x and, per
// channel, mean and 1 / standard deviation (f32). kernels/batch_norm/batch_norm.h.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, const BatchNormOptions& options = {});

}  // namespace bonafide::fn
