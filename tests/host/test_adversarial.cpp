// tests/host/test_adversarial.cpp — adversarial noise: its gradient, its ball, what it does to the logit.
#include "data/adversarial.h"

#include "tests/support/formula_model.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

constexpr int kSize = 32;
constexpr std::size_t kEach = std::size_t(kSize) * kSize * 3;

struct Small {
  Context ctx;
  ModelInfo info;
  std::unique_ptr<PairedModel> model;

  Small() {
    info.architecture = {.backbone = {.name = "small", .depths = {1, 1, 1, 1}, .dims = {8, 16, 16, 24}}, .projection = 8};
    info.input_size = kSize;
    info.mean = {0.4f, 0.5f, 0.3f}, info.std = {0.2f, 0.5f, 1.0f};
    model = std::make_unique<PairedModel>(ctx, info.architecture);
    load_formula(model->parameters());
  }
  PixelAdversary adversary(AdversarialOptions o = {}) { return {*model, info, o}; }
};

// Two smooth pictures with grain; a part of each is black or white, where there is no room on one side.
std::vector<std::uint8_t> pictures(std::size_t n) {
  std::vector<std::uint8_t> p(n * kEach);
  for (std::size_t k = 0; k < n; ++k)
    for (std::size_t i = 0; i < kEach; ++i) {
      const std::size_t x = i / 3 % kSize, y = i / 3 / kSize;
      const auto grain = std::size_t(Random(5, "grain", k, i).below(40));
      p[k * kEach + i] = y < 4 ? 0 : y < 8 ? 255 : y < 12 ? 3 : std::uint8_t(40 + 3 * x + 2 * y + grain + 10 * k);
    }
  return p;
}
std::vector<Random> starts(std::size_t n, std::uint64_t seed = 1) {
  std::vector<Random> s;
  for (std::size_t k = 0; k < n; ++k) s.emplace_back(seed, "start", k);
  return s;
}

}  // namespace

TEST_CASE("adversarial: the gradient of the pixels is the logit's difference quotient, channel by channel") {
  Small small;
  const PixelAdversary adversary = small.adversary();
  const auto bytes = pictures(2);
  const std::vector<float> x(bytes.begin(), bytes.end());
  const auto g = adversary.gradient(x, 2);
  for (std::size_t c = 0; c < 3; ++c) {  // along the sign of the gradient, where the quotient stands out of rounding
    double slope[2] = {0, 0};
    std::vector<float> up = x, down = x;
    constexpr float h = 0.5f;
    for (std::size_t i = c; i < x.size(); i += 3) {
      slope[i / kEach] += std::abs(double(g.by_level[i]));
      const float by = g.by_level[i] > 0 ? h : -h;
      up[i] += by, down[i] -= by;
    }
    const auto a = adversary.gradient(up, 2).logits, b = adversary.gradient(down, 2).logits;
    for (std::size_t k = 0; k < 2; ++k) {
      CAPTURE(c);
      CAPTURE(k);
      CHECK(slope[k] > 1e-4);
      CHECK((double(a[k]) - double(b[k])) / (2 * h) == doctest::Approx(slope[k]).epsilon(0.02));
    }
  }
}

TEST_CASE("adversarial: no value leaves the ball or the byte, and the ball is used") {
  Small small;
  const auto x = pictures(2);
  for (const auto method : {AdversarialOptions::Method::fgsm, AdversarialOptions::Method::pgd})
    for (const int epsilon : {1, 3, 8}) {
      CAPTURE(epsilon);
      const auto r = small.adversary({.method = method, .epsilon = epsilon, .steps = 5}).attack(x, starts(2), true);
      REQUIRE(r.pixels.size() == x.size());
      int furthest = 0;
      std::size_t at_edge = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const int d = std::abs(int(r.pixels[i]) - int(x[i]));
        furthest = std::max(furthest, d), at_edge += std::size_t(d == epsilon);
      }
      CHECK(furthest == epsilon);
      CHECK(at_edge > x.size() / 3);
    }
}

TEST_CASE("adversarial: the logit goes where it is wanted; many steps go further than one") {
  Small small;
  const auto x = pictures(3);
  const std::vector<float> levels(x.begin(), x.end());
  for (const bool toward_attack : {true, false}) {
    CAPTURE(toward_attack);
    const float up = toward_attack ? 1.0f : -1.0f;
    const AdversarialOptions one{.method = AdversarialOptions::Method::fgsm}, many{.steps = 12};
    const auto fgsm = small.adversary(one).attack(x, starts(3), toward_attack);
    const auto pgd = small.adversary(many).attack(x, starts(3), toward_attack);
    CHECK(fgsm.course.size() == 1);
    REQUIRE(pgd.course.size() == 13);
    const auto after = small.adversary().gradient({pgd.pixels.begin(), pgd.pixels.end()}, 3).logits;
    for (std::size_t k = 0; k < 3; ++k) {
      CAPTURE(k);
      CHECK(fgsm.before[k] == pgd.before[k]);
      CHECK(up * (fgsm.after[k] - fgsm.before[k]) > 0);
      CHECK(up * (pgd.after[k] - fgsm.after[k]) > 0);
      CHECK(after[k] == pgd.after[k]);  // of the bytes themselves
      int rises = 0;
      for (std::size_t s = 1; s < pgd.course.size(); ++s) rises += up * (pgd.course[s][k] - pgd.course[s - 1][k]) > 0;
      CHECK(rises >= 8);
      for (const auto& step : pgd.course) CHECK(up * step[k] <= up * pgd.after[k]);
    }
  }
}

TEST_CASE("adversarial: the same start gives the same bytes, another start others") {
  Small small;
  const auto x = pictures(2);
  const PixelAdversary adversary = small.adversary({.steps = 3});
  const auto a = adversary.attack(x, starts(2), true).pixels;
  CHECK(adversary.attack(x, starts(2), true).pixels == a);
  CHECK(adversary.attack(x, starts(2, 2), true).pixels != a);
  CHECK(a != x);
}

TEST_CASE("adversarial: parameters are left alone, wrong arguments are explained") {
  Small small;
  const auto before = small.model->parameters().values().to_host();
  const auto x = pictures(1);
  small.adversary({.steps = 2}).attack(x, starts(1), true);
  CHECK(small.model->parameters().values().to_host() == before);
  expect_throw("epsilon is 1 to 255 levels, not 0", [&] { small.adversary({.epsilon = 0}); });
  expect_throw("steps of an attack: 0", [&] { small.adversary({.steps = 0}); });
  expect_throw("3072 values for 2 images of 32x32", [&] { small.adversary().attack(x, starts(2), true); });
}
