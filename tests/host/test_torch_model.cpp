// tests/host/test_torch_model.cpp — whole models against PyTorch and timm: counts, names and shapes; features, losses
// and every gradient of atto (also at an odd size) and tiny.
#include <map>

#include "layers/paired_loss.h"
#include "layers/paired_model.h"
#include "tests/support/formula_model.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// float32 against float64. PyTorch's own float32 is up to 6e-6 away in the worst tensor's gradient (the fixtures' key
// float32_gradient_error); another order of summation deserves some room.
constexpr double kForwardTolerance = 2e-5, kGradientTolerance = 5e-5;

void expect_relative(const std::string& what, const std::vector<float>& got, const nlohmann::json& want) {
  const auto w = numbers(want);
  expect_close(what, got, w, 0,
               kForwardTolerance * norm(w) / std::sqrt(double(w.size())) * 4);  // 4: the largest of many
}

void compare_with_torch(const std::string& name) {
  const auto want = fixture("model_" + name + ".json");
  const auto labels = want["labels"].get<std::vector<int>>();
  Context ctx;
  PairedModel model(ctx, {.backbone = ConvNeXtV2Config::by_name(want["backbone"])});
  load_formula(model.parameters());
  const Tensor x = formula_batch(ctx, "model." + name, labels, want["height"], want["width"]);
  {
    NoGrad guard(ctx);
    expect_relative("pooled features",
                    ConvNeXtV2(model.config().backbone, model.parameters(), "backbone.")(x).to_host(), want["pooled"]);
  }
  const auto out = model(x, {.training = true}, true);
  expect_relative("logits", out.logit.to_host(), want["logits"]);
  expect_relative("projections", out.projection.to_host(), want["features"]);

  const Tensor y =
      Tensor::from_host(ctx, {std::int64_t(labels.size())}, std::vector<float>(labels.begin(), labels.end()));
  PairedLoss loss = paired_loss({}, out.logit, out.projection, y);
  CHECK(loss.classification.item() == doctest::Approx(want["focal"].get<double>()).epsilon(kForwardTolerance));
  CHECK(loss.contrastive.item() == doctest::Approx(want["supcon"].get<double>()).epsilon(kForwardTolerance));
  CHECK(loss.total.item() == doctest::Approx(want["loss"].get<double>()).epsilon(kForwardTolerance));
  loss.total.backward();

  double worst = 0;
  for (const auto& p : model.parameters().all()) {
    const std::string& n = p.spec.name;
    REQUIRE_MESSAGE(want["gradients"].contains(n), n);
    const auto& w = want["gradients"][n];
    const auto g = to_double(p.value.grad().to_host());
    const double scale = w["norm"], root = std::sqrt(double(g.size()));
    const auto sketch = numbers(w["sketch"]);
    const double error = sketched_difference(n, g, sketch) / scale;
    worst = std::max(worst, error);
    CHECK_MESSAGE(error <= kGradientTolerance, n, ": difference ", error, " of the norm");
    CHECK_MESSAGE(std::abs(norm(g) - scale) <= kGradientTolerance * scale, n, ": norm ", norm(g), ", expected ", scale);
    double sum = 0;
    for (const double v : g) sum += v;
    CHECK_MESSAGE(std::abs(sum - w["sum"].get<double>()) <= kGradientTolerance * scale * root, n, ": sum ", sum);
    std::vector<double> samples;
    for (std::size_t j = 0; j < w["samples"].size(); ++j)
      samples.push_back(g[std::size_t(formula_sample(n, std::int64_t(j), std::int64_t(g.size())))]);
    expect_close(n + " samples", samples, numbers(w["samples"]), kGradientTolerance,
                 10 * kGradientTolerance * scale / root);
  }
  CHECK(want["gradients"].size() == model.parameters().all().size());
  MESSAGE(name, ": worst gradient error ", worst,
          " of the norm (PyTorch's float32: ", want["float32_gradient_error"].get<double>(), ")");
}

}  // namespace

TEST_CASE("torch: parameter and tensor counts of every size are timm's") {
  const auto want = fixture("counts.json");
  CHECK(want["backbone"].size() == 9);
  for (const auto& [name, counts] : want["backbone"].items()) {
    const auto list = convnext_v2_parameters(ConvNeXtV2Config::by_name(name));
    CHECK_MESSAGE(parameter_count(list) == counts["parameters"].get<std::int64_t>(), name);
    CHECK_MESSAGE(list.size() == counts["tensors"].get<std::size_t>(), name);
    const auto paired = paired_model_parameters({.backbone = ConvNeXtV2Config::by_name(name)});
    CHECK_MESSAGE(parameter_count(paired) == want["paired"][name]["parameters"].get<std::int64_t>(), name);
    CHECK_MESSAGE(paired.size() == want["paired"][name]["tensors"].get<std::size_t>(), name);
  }
  std::map<std::string, std::int64_t> parts;
  for (const auto& s : paired_model_parameters({.backbone = ConvNeXtV2Config::by_name("convnextv2_tiny")}))
    for (const auto& [part, n] : want["parts"].items())
      if (s.name.starts_with(part + ".") || s.name.starts_with("backbone." + part + "."))
        parts[part] += s.shape.numel();
  CHECK(parts == want["parts"].get<std::map<std::string, std::int64_t>>());
}

TEST_CASE("torch: names, order and shapes are timm's") {
  const auto want = fixture("counts.json")["shapes"];
  for (const std::string name : {"convnextv2_atto", "convnextv2_tiny"}) {
    std::vector<std::pair<std::string, std::vector<std::int64_t>>> list;
    for (const auto& s : paired_model_parameters({.backbone = ConvNeXtV2Config::by_name(name)}))
      list.emplace_back(s.name, dims(s.shape));
    CHECK(list == want[name].get<decltype(list)>());
  }
}

TEST_CASE("torch: atto, features, losses and every gradient") { compare_with_torch("atto"); }
TEST_CASE("torch: atto at 75x106, neither square nor a multiple of the strides") { compare_with_torch("atto_odd"); }
TEST_CASE("torch: tiny, features, losses and every gradient") { compare_with_torch("tiny"); }
