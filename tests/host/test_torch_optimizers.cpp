// tests/host/test_torch_optimizers.cpp — optimiser steps, clipping, EMA and the schedule against PyTorch's own.
#include "kernels/adamw/adamw.h"
#include "kernels/ema/ema.h"
#include "kernels/grad_norm/grad_norm.h"
#include "kernels/sgd/sgd.h"
#include "layers/schedule.h"
#include "tests/support/fixture.h"
#include "tests/support/formula.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {
constexpr int kN = 37;
// The gradient of one step of the fixture: from 1e-3 in the first to 10 in the last.
std::vector<float> gradient(const std::string& name, std::size_t step) {
  return formula(name + ".g" + std::to_string(step), kN, float(std::pow(10.0, double(step) - 3)));
}
}  // namespace

TEST_CASE("torch: five AdamW steps, the paper's constants and unusual ones") {
  const auto all = fixture("operations.json");
  for (const std::string name : {"adamw", "adamw_decay"}) {
    const auto& want = all[name];
    auto p = formula(name + ".p", kN);
    std::vector<float> m(kN), v(kN);
    for (std::size_t k = 0; k < want["after"].size(); ++k) {
      const auto g = gradient(name, k);
      kernels::AdamWStep s{.p = p, .m = m, .v = v, .g = g, .step = std::int64_t(k) + 1, .lr = want["rates"][k]};
      s.weight_decay = want["options"]["weight_decay"];
      if (want["options"].contains("betas"))
        s.beta1 = want["options"]["betas"][0], s.beta2 = want["options"]["betas"][1], s.eps = want["options"]["eps"];
      kernels::cpu::adamw(s);
      expect_close(name + " step " + std::to_string(k), p, numbers(want["after"][k]), 1e-6, 1e-7);
    }
  }
}

TEST_CASE("torch: five SGD steps, with momentum and decay and without") {
  const auto all = fixture("operations.json");
  for (const std::string name : {"sgd", "sgd_plain"}) {
    const auto& want = all[name];
    auto p = formula(name + ".p", kN);
    std::vector<float> buffer(kN, std::nanf(""));
    for (std::size_t k = 0; k < want["after"].size(); ++k) {
      const auto g = gradient(name, k);
      kernels::cpu::sgd({.p = p,
                         .buffer = buffer,
                         .g = g,
                         .first = k == 0,
                         .lr = want["rates"][k],
                         .momentum = want["options"]["momentum"],
                         .weight_decay = want["options"]["weight_decay"]});
      expect_close(name + " step " + std::to_string(k), p, numbers(want["after"][k]), 1e-6, 1e-7);
    }
  }
}

TEST_CASE("torch: clip_grad_norm_ above and below the limit") {
  const auto all = fixture("operations.json");
  for (const std::string name : {"clip.above", "clip.below"}) {
    const auto& want = all[name];
    std::vector<float> g = formula(name + ".a", kN, want["scale"]);
    for (const float x : formula(name + ".b", 5, want["scale"])) g.push_back(x);
    std::vector<double> norm(1), workspace(std::size_t(kernels::grad_norm_workspace(std::int64_t(g.size()))));
    kernels::cpu::grad_norm({g, norm, workspace});
    CHECK(norm[0] == doctest::Approx(want["norm"].get<double>()).epsilon(1e-9));
    for (float& x : g) x = float(double(x) * kernels::clip_factor(norm[0], want["max_norm"]));
    auto clipped = numbers(want["a"]);
    for (const double x : numbers(want["b"])) clipped.push_back(x);
    expect_close(name, g, clipped, 1e-6, 1e-9);
  }
}

TEST_CASE("torch: exponential moving average") {
  const auto want = fixture("operations.json")["ema"];
  auto e = formula("ema.p", kN);
  for (int k = 0; k < 3; ++k) {
    const auto p = formula("ema.p" + std::to_string(k), kN);
    kernels::cpu::ema({e, p, want["decay"]});
  }
  expect_close("ema", e, numbers(want["after"]), 1e-6, 1e-7);
}

TEST_CASE("torch: the schedule is LinearLR followed by CosineAnnealingLR") {
  const auto all = fixture("operations.json");
  for (const std::string name : {"schedule.2460", "schedule.30", "schedule.10"}) {
    const auto& want = all[name];
    const CosineSchedule s{want["max"], want["min"], want["warmup"], want["total"]};
    for (const auto& [k, rate] : want["rates"].items())
      CHECK_MESSAGE(learning_rate(s, std::stoll(k)) == doctest::Approx(rate.get<double>()).epsilon(1e-12), name, " at ",
                    k);
  }
  CHECK(warmup_steps(2460) == 123);
  CHECK(warmup_steps(30) == 1);
}
