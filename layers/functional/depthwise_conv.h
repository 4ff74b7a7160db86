// layers/functional/depthwise_conv.h — depthwise 7x7 convolution on tensors.
#pragma once
#include "engine/tensor.h"

namespace bonafide::fn {

// Stride 1, zero padding 3. x: [N, H, W, C], f32 or bf16; weight: [C, 1, 7, 7] f32; bias: [C] f32. The result has the
// shape and dtype of x. Saves x for backward.
Tensor depthwise_conv(const Tensor& x, const Tensor& weight, const Tensor& bias);

// Its gradients alone, for a node that contains the convolution: each goes where its slot says.
void depthwise_conv_backward(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor::GradSlot& dx,
                             const Tensor::GradSlot& dweight, const Tensor::GradSlot& dbias);

}  // namespace bonafide::fn
