// tests/host/test_torch_losses.cpp — losses and their gradients against PyTorch in float64 (tests/reference/common.py
// has them in plain tensor operations, differentiated by autograd).
#include "engine/autograd.h"
#include "layers/functional/l2_normalize.h"
#include "layers/functional/losses.h"
#include "tests/support/fixture.h"
#include "tests/support/formula.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// Every case `form.*` of the fixture, `count` of them: x = formula, loss = f(x, labels), dx.
void run(const std::string& form, int count, double atol,
         const std::function<Tensor(const Tensor&, const Tensor&)>& f) {
  const auto all = fixture("operations.json");
  for (const auto& [name, want] : all.items()) {
    if (!name.starts_with(form + ".")) continue;
    Context ctx;
    const auto labels = want[want.contains("labels") ? "labels" : "targets"].get<std::vector<float>>();
    const std::int64_t n = std::int64_t(labels.size());
    const Shape shape = want.contains("shape") ? Shape{n, want["shape"][1].get<std::int64_t>()} : Shape{n};
    const Tensor x =
        Tensor::from_host(ctx, shape, formula(name + ".x", shape.numel(), want.value("scale", 1.0f))).require_grad();
    Tensor loss = f(x, Tensor::from_host(ctx, {n}, labels));
    CHECK_MESSAGE(
        std::abs(loss.item() - want["loss"].get<double>()) <= 1e-6 * std::max(1.0, want["loss"].get<double>()), name,
        ": ", loss.item(), ", expected ", want["loss"].get<double>());
    loss.backward();
    const auto dx = numbers(want["dx"]);
    double largest = 0;
    for (const double v : dx) largest = std::max(largest, std::abs(v));
    expect_close(name + ".dx", x.grad().to_host(), dx, 2e-6, 2e-6 * largest + atol);
    --count;
  }
  CHECK(count == 0);
}

constexpr float kTemperature = 0.141f;
// Where every gradient of a SupCon case is 0 in exact arithmetic, what is left is float's rounding of q - p, over T.
constexpr double kRounding = 5e-7;

}  // namespace

TEST_CASE("torch: BCE, plain and with the published label smoothing") {
  run("bce", 4, 0, [](const Tensor& z, const Tensor& y) { return fn::bce(z, y); });
  run("bce_smoothed", 4, 0, [](const Tensor& z, const Tensor& y) { return fn::bce(z, y, 0.1f); });
}
TEST_CASE("torch: focal, published and canonical") {
  run("focal_published", 4, 0,
      [](const Tensor& z, const Tensor& y) { return fn::focal(z, y, fn::FocalForm::detached_one_sided, 0.528, 0.73); });
  run("focal_canonical", 4, 0,
      [](const Tensor& z, const Tensor& y) { return fn::focal(z, y, fn::FocalForm::canonical, 0.25, 2); });
}
TEST_CASE("torch: SupCon, published, canonical and for mixtures, also with anchors that have no positive") {
  const auto supcon = [](fn::SupConForm form) {
    return [form](const Tensor& v, const Tensor& y) { return fn::supcon(fn::l2_normalize(v), y, form, kTemperature); };
  };
  run("supcon_published", 7, kRounding, supcon(fn::SupConForm::log_outside));
  run("supcon_canonical", 7, kRounding, supcon(fn::SupConForm::l_out));
  run("supcon_soft", 2, kRounding, supcon(fn::SupConForm::soft));
}
