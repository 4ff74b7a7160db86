// tests/kernels/test_grad_norm.cpp — the global gradient norm: accuracy, order of addition, clipping.
#include "kernels/grad_norm/grad_norm.h"
#include "tests/support/backend.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

double norm(Span<const float> g) {
  std::vector<double> work(std::size_t(kernels::grad_norm_workspace(g.size())), std::nan("")), out = {std::nan("")};
  backend::grad_norm({.g = g, .norm = out, .workspace = work});
  return out[0];
}

}  // namespace

TEST_CASE("grad_norm: equals a long double sum to a few f64 roundings") {
  for (std::int64_t n : {0, 1, 31, 32, 33, 1009, 4095, 4096, 4097, kEmulated ? 40001 : 70001}) for_each_variant([&] {
    const auto g = Buffer<>::random(n, 1, 300);  // float accumulation would be off by 1e-5 here
    long double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += (long double)(g[i]) * g[i];
    const double want = double(std::sqrt(sum));
    CHECK(std::abs(norm(g.cspan()) - want) <= 1e-14 * want);
  });
}

TEST_CASE("grad_norm: huge and tiny values neither overflow nor vanish, NaN is seen") {
  Buffer<> g(100, 3e38f);
  CHECK(norm(g.cspan()) == doctest::Approx(3e39));
  Buffer<> tiny(100, 1e-30f);
  CHECK(norm(tiny.cspan()) == doctest::Approx(1e-29));
  g[99] = std::nanf("");
  CHECK(std::isnan(norm(g.cspan())));
}

// More pieces than a sum over them has lanes, so that every level of the order is there.
TEST_CASE("grad_norm: the order of addition is the one of the header, and nothing else decides the bits") {
  const auto fold = [](std::vector<double> s) {
    for (std::size_t step = 16; step > 0; step /= 2)
      for (std::size_t j = 0; j < step; ++j) s[j] += s[j + step];
    return s[0];
  };
  const std::int64_t large = 257 * kernels::kGradNormPiece + 1;
  // Two orders mostly end in the same f64: twenty arrays tell them apart.
  std::vector<std::pair<std::int64_t, unsigned>> cases = {{9 * kernels::kGradNormPiece + 77, 1}, {large, 1}};
  for (unsigned draw = 1; draw <= 20; ++draw) cases.emplace_back(1009, draw);
  for (const auto& [n, draw] : cases) {
    const auto g = Buffer<>::random(n, draw);
    std::vector<double> lanes(kernels::kGradNormLanes), folded(32);
    for (std::int64_t at = 0, piece = 0; at < n; at += kernels::kGradNormPiece, ++piece) {
      std::vector<double> s(32);
      for (std::int64_t i = at; i < std::min(n, at + kernels::kGradNormPiece); ++i) s[std::size_t(i % 32)] += g[i] * g[i];
      lanes[std::size_t(piece % kernels::kGradNormLanes)] += fold(s);
    }
    for (std::size_t k = 0; 32 * k < lanes.size(); ++k)
      folded[k] = fold({lanes.begin() + std::ptrdiff_t(32 * k), lanes.begin() + std::ptrdiff_t(32 * k + 32)});
    const double want = std::sqrt(fold(folded));
    const auto compare = [&] { CHECK(norm(g.cspan()) == want); };
    kEmulated && n == large ? compare() : for_each_order(compare);  // once takes a second
  }
}

TEST_CASE("grad_norm: the clip factor brings the norm to the maximum, and never raises it") {
  CHECK(kernels::clip_factor(0, 1) == 1);
  CHECK(kernels::clip_factor(0.5, 1) == 1);
  CHECK(kernels::clip_factor(4, 0) == 1);  // no maximum
  CHECK(kernels::clip_factor(4, 1) == doctest::Approx(0.25));
  CHECK(kernels::clip_factor(1, 1) == 1 / (1 + 1e-6));  // torch's guard makes it just less than one
  CHECK(kernels::clip_factor(HUGE_VAL, 1) == 0);
  CHECK(std::isnan(kernels::clip_factor(std::nan(""), 1)));
}

TEST_CASE("grad_norm: wrong arguments are explained") {
  std::vector<float> g(20000);
  std::vector<double> one(1), two(2);
  expect_throw("workspace of 1 doubles, expected 5",
               [&] { backend::grad_norm({.g = g, .norm = one, .workspace = one}); });
  expect_throw("norm has 2", [&] { backend::grad_norm({.g = g, .norm = two, .workspace = two}); });
}
