// layers/non_finite.h — where a NaN or an infinity came from: the first layer that made one, in words for a person.
#pragma once
#include <string>

#include "layers/paired_model.h"

namespace bonafide {

// Runs the forward pass of `state` on x again and names the first thing that is not finite: x; else the first layer whose
// result is not, and those of its parameters that are not; else the first parameter, from the loss backwards, whose
// gradient is not; else "". Slow: it reads every layer's result on the host.
std::string first_non_finite(const PairedModel&, const Tensor& x, ForwardState state, bool with_projection);

}  // namespace bonafide
