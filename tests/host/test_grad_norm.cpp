// tests/host/test_grad_norm.cpp — the global gradient norm: accuracy, order of addition, clipping.
#include <omp.h>

#include "kernels/grad_norm/grad_norm.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

double norm(Span<const float> g) {
  std::vector<double> work(std::size_t(kernels::grad_norm_workspace(g.size())), std::nan("")), out = {std::nan("")};
  kernels::cpu::grad_norm({.g = g, .norm = out, .workspace = work});
  return out[0];
}

}  // namespace

TEST_CASE("grad_norm: equals a long double sum to a few f64 roundings") {
  for (std::int64_t n : {0, 1, 15, 16, 17, 33, 1009, 16384, 16385, 70001}) {
    const auto g = Buffer<>::random(n, 1, 300);  // float accumulation would be off by 1e-5 here
    long double sum = 0;
    for (std::int64_t i = 0; i < n; ++i) sum += (long double)(g[i]) * g[i];
    const double want = double(std::sqrt(sum));
    CHECK(std::abs(norm(g.cspan()) - want) <= 1e-14 * want);
  }
}

TEST_CASE("grad_norm: huge and tiny values neither overflow nor vanish, NaN is seen") {
  Buffer<> g(100, 3e38f);
  CHECK(norm(g.cspan()) == doctest::Approx(3e39));
  Buffer<> tiny(100, 1e-30f);
  CHECK(norm(tiny.cspan()) == doctest::Approx(1e-29));
  g[99] = std::nanf("");
  CHECK(std::isnan(norm(g.cspan())));
}

TEST_CASE("grad_norm: one and two threads agree bitwise") {
  const auto g = Buffer<>::random(200003, 1);
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const double one = norm(g.cspan());
  omp_set_num_threads(2);
  const double two = norm(g.cspan());
  omp_set_num_threads(before);
  CHECK(one == two);
}

TEST_CASE("grad_norm: the clip factor brings the norm to the maximum, and never raises it") {
  CHECK(kernels::clip_factor(0, 1) == 1);
  CHECK(kernels::clip_factor(0.5, 1) == 1);
  CHECK(kernels::clip_factor(4, 1) == doctest::Approx(0.25));
  CHECK(kernels::clip_factor(1, 1) == 1 / (1 + 1e-6));  // torch's guard makes it just less than one
  CHECK(kernels::clip_factor(HUGE_VAL, 1) == 0);
  CHECK(std::isnan(kernels::clip_factor(std::nan(""), 1)));
}

TEST_CASE("grad_norm: wrong arguments are explained") {
  std::vector<float> g(20000);
  std::vector<double> one(1), two(2);
  expect_throw("workspace of 1 doubles, expected 2",
               [&] { kernels::cpu::grad_norm({.g = g, .norm = one, .workspace = one}); });
  expect_throw("norm has 2", [&] { kernels::cpu::grad_norm({.g = g, .norm = two, .workspace = two}); });
}
