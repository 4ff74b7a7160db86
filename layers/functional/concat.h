// layers/functional/concat.h — concatenation of tensors along their last axis.
#pragma once
#include <vector>

#include "engine/tensor.h"

namespace bonafide::fn {

// xs: one tensor or more, f32 or bf16 alike, that differ in their last axis at most. The result's last axis is as long
// as theirs together, in this order. A tensor may come more than once. kernels/concat/concat.h.
Tensor concat(const std::vector<Tensor>& xs);

}  // namespace bonafide::fn
