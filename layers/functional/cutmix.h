// layers/functional/cutmix.h — CutMix of a batch of images and of its labels. data/cutmix.h draws the box.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

struct CutMixBox {
  int x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // pixels, x2 and y2 exclusive
};

// images [M, H, W, C] (u8, f32 or bf16), partner [N] i32 with values in [0, M), N <= M -> [N, H, W, C]. Not
// differentiable: images are data. kernels/cutmix/cutmix.h.
Tensor cutmix(const Tensor& images, const Tensor& partner, CutMixBox box);

// labels [M] f32 -> keep labels[n] + (1 - keep) labels[partner[n]], [N].
Tensor cutmix_labels(const Tensor& labels, const Tensor& partner, float keep);

}  // namespace bonafide::fn
