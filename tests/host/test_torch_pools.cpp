// tests/host/test_torch_pools.cpp — batch norm, PReLU, pooling and area resizing, forward and backward, against PyTorch
// in float64 (tests/reference/make_operations_pool.py).
#include "layers/functional/area_resize.h"
#include "layers/functional/avg_pool2d.h"
#include "layers/functional/batch_norm.h"
#include "layers/functional/max_pool2d.h"
#include "layers/functional/prelu.h"
#include "tests/support/torch_case.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

void run(const std::string& operation, int count, const std::function<Tensor(TorchCase&)>& f) {
  run_torch_cases("operations_pool.json", operation, count, 3e-6, f);
}
Tensor image(TorchCase& c) { return c.leaf("x", {c.shape[0], c.shape[1], c.shape[2], c.shape[3]}); }
kernels::Window2d window(const TorchCase& c) {
  const auto& v = c.want["window"];
  return {v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
}
// The result's shape is PyTorch's.
Tensor shaped(const TorchCase& c, Tensor y) {
  const std::vector<std::int64_t> want = c.want["y_shape"];
  CHECK_MESSAGE(y.shape() == Shape(std::span(want)), c.name);
  return y;
}

}  // namespace

TEST_CASE("torch: batch norm, training and inference, and its running statistics") {
  run("batch_norm", 6, [](TorchCase& c) {
    const Tensor x = image(c), w = c.leaf("w", {c.shape[3]}), b = c.leaf("b", {c.shape[3]});
    const auto statistic = [&](const char* what, float offset) {
      return Tensor::from_host(c.ctx, {c.shape[3]}, formula(c.name + what, c.shape[3], 0.5f, offset));
    };
    const Tensor mean = statistic(".mean", c.want["offset"]), var = statistic(".var", 1);
    const Tensor y = fn::batch_norm(
        x, w, b, mean, var, {.eps = c.want["eps"], .momentum = c.want["momentum"], .training = c.want["training"]});
    c.close("running_mean", mean, 1e-6), c.close("running_var", var, 1e-6);
    return shaped(c, y);
  });
}
TEST_CASE("torch: PReLU, one slope and one for each channel") {
  run("prelu", 3, [](TorchCase& c) {
    return shaped(c, fn::prelu(image(c), c.leaf("slope", {c.want["slopes"].get<std::int64_t>()})));
  });
}
TEST_CASE(
    "torch: max pooling, also of equal values; average pooling, padding counted or not; sizes rounded up and down") {
  run("max_pool2d", 16, [](TorchCase& c) { return shaped(c, fn::max_pool2d(image(c), window(c))); });
  run("avg_pool2d", 16,
      [](TorchCase& c) { return shaped(c, fn::avg_pool2d(image(c), window(c), c.want["count_include_pad"])); });
}
TEST_CASE("torch: area resize, smaller and larger") {
  run("area_resize", 6,
      [](TorchCase& c) { return shaped(c, fn::area_resize(image(c), c.want["to"][0], c.want["to"][1])); });
}
