// tests/host/test_non_finite.cpp — which layer a NaN came from, in words.
#include "layers/non_finite.h"

#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Small {
  Context ctx;
  PairedModel model{ctx, {.backbone = {.name = "test", .depths = {1, 1, 1, 1}, .dims = {4, 4, 8, 8}}, .projection = 4}};
  Tensor x;
  Small() {
    model.parameters().initialise(1);
    x = Tensor::full(ctx, {2, 32, 32, 3}, 0.5f);
  }
  void plant(const std::string& name) {
    Tensor p = model.parameters()[name];
    std::vector<float> v = p.to_host();
    v[0] = std::nanf("");
    p.copy_from_host(v);
  }
  std::string answer() { return first_non_finite(model, x, {}, true); }
};

}  // namespace

TEST_CASE("non_finite: nothing to say of a sound model") { CHECK(Small().answer() == ""); }

TEST_CASE("non_finite: the layer, and those of its own parameters that are to blame") {
  Small s;
  s.plant("backbone.stages.2.blocks.0.norm.bias");
  s.plant("cls.weight");  // later: not named
  CHECK(s.answer() == "64 of 64 values of the result of backbone.stages.2.blocks.0 are not finite; "
                      "1 of 8 values of its parameter backbone.stages.2.blocks.0.norm.bias are not finite");
}

TEST_CASE("non_finite: images come before layers, gradients after them") {
  Small s;
  const auto out = s.model(s.x);
  Tensor loss = weighted_sum(out.logit, {1, std::numeric_limits<float>::infinity()});
  loss.backward();
  CHECK(s.answer().find("values of the gradient of cls.bias are not finite") != std::string::npos);
  s.x = Tensor::full(s.ctx, {2, 32, 32, 3}, std::nanf(""));
  CHECK(s.answer() == "6144 of 6144 values of the images are not finite");
}
