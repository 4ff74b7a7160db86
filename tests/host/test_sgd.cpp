// tests/host/test_sgd.cpp — SGD with momentum against its definition in double, over several steps.
#include <omp.h>

#include "kernels/sgd/sgd.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::ElementRange;
using kernels::SgdStep;

TEST_CASE("sgd: four steps equal the definition; the first step ignores what the buffer held") {
  for (std::int64_t n : {0, 1, 17, 33, 1009, 40009})
    for (int kind = 0; kind < 4; ++kind) {
      const bool with_copy = kind & 1, with_ranges = kind & 2;
      std::vector<ElementRange> no_decay;
      if (with_ranges && n >= 17) no_decay = {{1, 4}, {n - 3, n}};
      auto p = Buffer<>::random(n, 1);
      Buffer<> buffer(n);  // NaN
      Buffer<bf16> copy(n);
      std::vector<double> rp, rb(std::size_t(n), 0.0);
      for (std::int64_t i = 0; i < n; ++i) rp.push_back(p[i]);
      for (int step = 0; step < 4; ++step) {
        const auto g = Buffer<>::random(n, 20u + unsigned(step));
        SgdStep s{.p = p.span(), .buffer = buffer.span(), .g = g.cspan(), .no_decay = no_decay, .first = step == 0};
        s.lr = 0.1, s.momentum = 0.9, s.weight_decay = 0.2, s.grad_scale = 1.5;
        if (with_copy) s.copy = copy.span();
        kernels::cpu::sgd(s);
        for (std::int64_t i = 0; i < n; ++i) {
          const bool exempt = with_ranges && n >= 17 && ((i >= 1 && i < 4) || i >= n - 3);
          double& b = rb[std::size_t(i)];
          const double gi = 1.5 * g[i] + (exempt ? 0 : 0.2) * rp[std::size_t(i)];
          b = step == 0 ? gi : 0.9 * b + gi;
          rp[std::size_t(i)] -= 0.1 * b;
        }
      }
      expect_close("p", p, rp, 1e-6, 2e-6);
      expect_close("buffer", buffer, rb, 1e-6, 2e-6);
      copy.check_guards("copy");
      for (std::int64_t i = 0; with_copy && i < n; ++i) REQUIRE(copy.cspan()[i] == bf16(p.cspan()[i]));
    }
}

TEST_CASE("sgd: one and two threads agree bitwise") {
  const std::int64_t n = 100003;
  auto p1 = Buffer<>::random(n, 1), p2 = Buffer<>::random(n, 1), b1 = Buffer<>::random(n, 2),
       b2 = Buffer<>::random(n, 2);
  const auto g = Buffer<>::random(n, 3);
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  kernels::cpu::sgd(
      {.p = p1.span(), .buffer = b1.span(), .g = g.cspan(), .lr = 0.1, .momentum = 0.9, .weight_decay = 0.1});
  omp_set_num_threads(2);
  kernels::cpu::sgd(
      {.p = p2.span(), .buffer = b2.span(), .g = g.cspan(), .lr = 0.1, .momentum = 0.9, .weight_decay = 0.1});
  omp_set_num_threads(before);
  expect_bitwise("p", p1, p2);
  expect_bitwise("buffer", b1, b2);
}

TEST_CASE("sgd: wrong arguments are explained") {
  Buffer<> p(5, 1.0f), b(5, 1.0f), g(5, 1.0f), four(4, 1.0f);
  Buffer<bf16> copy(6);
  const std::vector<ElementRange> outside = {{0, 6}};
  expect_throw("buffer 4", [&] { kernels::cpu::sgd({.p = p.span(), .buffer = four.span(), .g = g.cspan()}); });
  expect_throw("g 4", [&] { kernels::cpu::sgd({.p = p.span(), .buffer = b.span(), .g = four.cspan()}); });
  expect_throw("its copy 6",
               [&] { kernels::cpu::sgd({.p = p.span(), .buffer = b.span(), .g = g.cspan(), .copy = copy.span()}); });
  expect_throw("within 5",
               [&] { kernels::cpu::sgd({.p = p.span(), .buffer = b.span(), .g = g.cspan(), .no_decay = outside}); });
  expect_throw("momentum -1",
               [&] { kernels::cpu::sgd({.p = p.span(), .buffer = b.span(), .g = g.cspan(), .momentum = -1}); });
}
