// layers/functional/normalize.h — bytes of images to network input. Records nothing: images need no gradient.
#pragma once
#include <array>

#include "engine/tensor.h"

namespace bonafide::fn {

// images: [N, H, W, 3] u8. The result is (v / 255 - mean[c]) / std[c] as `dtype` (f32 or bf16).
Tensor normalize(const Tensor& images, const std::array<float, 3>& mean, const std::array<float, 3>& std, DType dtype);

}  // namespace bonafide::fn
