// tests/kernels/test_optimizer.cpp — a step of the optimiser over the arenas: clipping, exempt parameters, steps that must
// not happen, averages.
#include "layers/optimizer.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// A matrix (decayed), a bias (not, when norms and biases are exempt), and a parameter that no gradient reaches.
struct Model {
  Context ctx{device()};
  ParameterSet parameters{ctx, {{"w", {7, 5}, Init::truncated_normal}, {"b", {5}, Init::ones}, {"unused", {2, 3}, Init::ones}},
                          DType::bf16};
  Model() { parameters.initialise(1); }

  std::vector<float> values(const char* name) const { return parameters[name].to_host(); }
  // Gradients that are 0.1, 0.2, ... in w and `b` in b.
  void backward(float b) {
    parameters.zero_grad();
    std::vector<float> w(35);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = 0.1f * float(i + 1);
    weighted_sum(parameters["w"], w).backward();
    weighted_sum(parameters["b"], std::vector<float>(5, b)).backward();
  }
};

constexpr double kNorm = 12.2106511;  // of 0.1 to 3.5 and five times 0.0

}  // namespace

TEST_CASE("optimizer: sgd steps along the clipped gradient, and decays matrices alone") {
  for (const double clip : {0.0, 3.0}) {
    Model m;
    Optimizer optimizer(m.parameters, {.type = "sgd", .weight_decay = 0.5, .momentum = 0, .decay_norm_and_bias = false,
                                       .clip_grad_norm = clip});
    const auto w = m.values("w"), b = m.values("b"), unused = m.values("unused");
    m.backward(2);
    const double norm = std::sqrt(kNorm * kNorm + 5 * 4), factor = clip > 0 ? clip / (norm + 1e-6) : 1;
    CHECK(optimizer.step(0.1) == doctest::Approx(norm).epsilon(1e-7));
    CHECK(optimizer.steps() == 1);
    std::vector<double> want_w;
    for (std::size_t i = 0; i < w.size(); ++i)
      want_w.push_back(double(w[i]) - 0.1 * (factor * 0.1 * double(i + 1) + 0.5 * double(w[i])));
    expect_close("w", m.values("w"), want_w, 1e-6, 1e-7);
    expect_close("b", m.values("b"), std::vector<double>(5, 1 - 0.1 * factor * 2), 1e-6, 0);
    expect_close("unused", m.values("unused"), std::vector<double>(6, 0.95), 1e-6, 0);
    const auto master = m.parameters.values().to_host(), copy = m.parameters.compute_copies().to_host();
    for (std::size_t i = 0; i < master.size(); ++i) REQUIRE(copy[i] == float(bf16(master[i])));
  }
}

TEST_CASE("optimizer: norms and biases decay too, as published, unless they are exempt") {
  for (const char* type : {"adamw", "sgd"})
    for (const bool everything : {true, false}) {
      Model m;
      Optimizer(m.parameters, {.type = type, .weight_decay = 0.5, .momentum = 0, .decay_norm_and_bias = everything}).step(0.1);
      expect_close("unused", m.values("unused"), std::vector<double>(6, 0.95), 1e-6, 0);  // no gradient: decay alone
      expect_close("b", m.values("b"), std::vector<double>(5, everything ? 0.95 : 1), 1e-6, 0);
    }
}

TEST_CASE("optimizer: a gradient that is not finite changes nothing, and does not count as a step") {
  for (const std::string type : {"adamw", "sgd"})
    for (const double clip : {0.0, 1.0}) {
      Model m, undisturbed;
      const OptimizerConfig config{.type = type, .weight_decay = 0.1, .clip_grad_norm = clip};
      Optimizer optimizer(m.parameters, config), other(undisturbed.parameters, config);
      for (const float b : {1.0f, std::nanf(""), HUGE_VALF, -2.0f}) {
        m.backward(b);
        const double norm = optimizer.step(0.01);
        CHECK(std::isfinite(norm) == std::isfinite(b));
        if (!std::isfinite(b)) continue;
        undisturbed.backward(b);
        CHECK(other.step(0.01) == norm);
      }
      CHECK(optimizer.steps() == 2);
      CHECK(m.parameters.values().to_host() == undisturbed.parameters.values().to_host());
      CHECK(m.parameters.compute_copies().to_host() == undisturbed.parameters.compute_copies().to_host());
    }
}

TEST_CASE("optimizer: adamw's first step moves every reached value by the rate") {
  Model m;
  Optimizer optimizer(m.parameters, {.weight_decay = 0});
  m.backward(-3);
  optimizer.step(0.25);
  expect_close("b", m.values("b"), std::vector<double>(5, 1.25), 1e-5, 0);
  expect_close("unused", m.values("unused"), std::vector<double>(6, 1), 1e-6, 0);
}

TEST_CASE("optimizer: averaged weights follow, and change places with the current ones") {
  Model m;
  Ema ema(m.parameters, 0.75);
  Optimizer optimizer(m.parameters, {.type = "sgd", .weight_decay = 0, .momentum = 0});
  m.backward(4);
  optimizer.step(0.1);
  ema.update();
  expect_close("current", m.values("b"), std::vector<double>(5, 0.6), 1e-6, 0);
  ema.swap();
  expect_close("average", m.values("b"), std::vector<double>(5, 0.9), 1e-6, 0);
  ema.swap();
  expect_close("current again", m.values("b"), std::vector<double>(5, 0.6), 1e-6, 0);
}
