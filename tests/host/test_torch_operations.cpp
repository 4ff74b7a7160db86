// tests/host/test_torch_operations.cpp — single operations, forward and backward, against PyTorch in float64. Inputs
// are formula tensors (tests/reference/make_operations.py says which), the fixture holds answers only.
#include "engine/autograd.h"
#include "layers/functional/avg_pool.h"
#include "layers/functional/concat.h"
#include "layers/functional/conv2d.h"
#include "layers/functional/depthwise_conv.h"
#include "layers/functional/gelu.h"
#include "layers/functional/grn.h"
#include "layers/functional/l2_normalize.h"
#include "layers/functional/layer_norm.h"
#include "layers/functional/linear.h"
#include "layers/functional/patchify.h"
#include "tests/support/torch_case.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

using Case = TorchCase;

void run(const std::string& operation, int count, double tolerance, const std::function<Tensor(Case&)>& f) {
  run_torch_cases("operations.json", operation, count, tolerance, f);
}

constexpr double kTolerance = 3e-6;

}  // namespace

TEST_CASE("torch: depthwise convolution") {
  run("dwconv", 4, kTolerance, [](Case& c) {
    const auto& s = c.shape;
    return fn::depthwise_conv(c.leaf("x", {s[0], s[1], s[2], s[3]}), c.leaf("w", {s[3], 1, 7, 7}), c.leaf("b", {s[3]}));
  });
}
TEST_CASE("torch: general convolution: the windows of the face networks, strides, paddings, groups") {
  run("conv2d", 10, kTolerance, [](Case& c) {
    const auto& s = c.shape;
    const auto k = c.want["window"].get<std::vector<int>>();
    const Tensor x = c.leaf("x", {s[0], s[1], s[2], s[3]}), w = c.leaf("w", {s[4], s[3] / s[5], k[0], k[1]});
    return fn::conv2d(x, w, c.want["bias"].get<bool>() ? c.leaf("b", {s[4]}) : Tensor(), {k[0], k[1], k[2], k[3], k[4], k[5]}, int(s[5]));
  });
}
TEST_CASE("torch: concatenation of channels") {
  run("concat", 2, kTolerance, [](Case& c) {
    std::vector<Tensor> parts;
    for (const int width : c.want["widths"].get<std::vector<int>>())
      parts.push_back(c.leaf("x" + std::to_string(parts.size()), {c.shape[0], c.shape[1], c.shape[2], width}));
    return fn::concat(parts);
  });
}
TEST_CASE("torch: LayerNorm, also at a mean of 300") {
  run("layer_norm", 5, kTolerance, [](Case& c) {
    const auto& s = c.shape;
    return fn::layer_norm(c.leaf("x", {s[0], s[1]}), c.leaf("gamma", {s[1]}), c.leaf("beta", {s[1]}));
  });
}
TEST_CASE("torch: GELU, exact") {
  run("gelu", 1, kTolerance, [](Case& c) { return fn::gelu(c.leaf("x", {c.shape[0]})); });
}
TEST_CASE("torch: GRN (timm's layer)") {
  run("grn", 3, kTolerance, [](Case& c) {
    const auto& s = c.shape;
    return fn::grn(c.leaf("x", {s[0], s[1], s[2], s[3]}), c.leaf("gamma", {s[3]}), c.leaf("beta", {s[3]}));
  });
}
TEST_CASE("torch: linear, alone and before GELU") {
  const auto linear = [](Case& c) {
    const auto& s = c.shape;
    return fn::linear(c.leaf("x", {s[0], s[1]}), c.leaf("w", {s[2], s[1]}), c.leaf("b", {s[2]}));
  };
  run("linear", 4, kTolerance, linear);
  run("linear_gelu", 4, kTolerance, [&](Case& c) { return fn::gelu(linear(c)); });
}
TEST_CASE("torch: patchify convolutions 4x4/4 and 2x2/2, also where a border is dropped") {
  for (const int k : {4, 2})
    run("patchify" + std::to_string(k), k == 4 ? 3 : 2, kTolerance, [k](Case& c) {
      const auto& s = c.shape;
      return fn::linear(fn::patchify(c.leaf("x", {s[0], s[1], s[2], s[3]}), k), c.leaf("w", {s[4], s[3], k, k}),
                        c.leaf("b", {s[4]}));
    });
}
TEST_CASE("torch: rows of unit length, global average pool") {
  run("l2_normalize", 3, kTolerance, [](Case& c) { return fn::l2_normalize(c.leaf("x", {c.shape[0], c.shape[1]})); });
  run("pool", 2, kTolerance, [](Case& c) {
    const auto& s = c.shape;
    return fn::avg_pool(c.leaf("x", {s[0], s[1], s[2], s[3]}));
  });
}
