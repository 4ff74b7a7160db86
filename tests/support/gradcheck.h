// tests/support/gradcheck.h — <gradient, u> against (f(x + hu) - f(x - hu)) / 2h along random directions, for every leaf.
#pragma once
#include <functional>
#include <vector>

#include "engine/autograd.h"
#include "tests/support/support.h"

namespace bonafide::test {

// loss = sum(x * w) in double: the probe at the end of every gradient check. x: f32 or bf16.
Tensor weighted_sum(const Tensor& x, const std::vector<float>& w);

// A normal tensor, a leaf that wants a gradient.
Tensor random_leaf(Context& ctx, Shape shape, unsigned salt, float mean = 0, float std = 1);

// `f` maps the leaves to a tensor of any shape. Its result is weighted by random numbers and summed; the gradient of every
// leaf is compared with a central difference along one random direction, and gradients must add up when backward runs
// twice. Relative tolerance of the directional derivative, plus `atol`.
void check_gradients(std::vector<Tensor> leaves, const std::function<Tensor()>& f, double rtol = 5e-3, double atol = 5e-3,
                     double step = 1e-2);

}  // namespace bonafide::test
