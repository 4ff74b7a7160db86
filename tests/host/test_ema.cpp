// tests/host/test_ema.cpp — the moving average against its definition in double.
#include <omp.h>

#include "kernels/ema/ema.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("ema: ten steps equal the definition") {
  for (std::int64_t n : {0, 1, 17, 33, 1009, 40009})
    for (double decay : {0.0, 0.9, 0.9998, 1.0}) {
      auto e = Buffer<>::random(n, 1, 300);  // a large mean: the average must not drift
      std::vector<double> want;
      for (std::int64_t i = 0; i < n; ++i) want.push_back(e[i]);
      for (unsigned step = 0; step < 10; ++step) {
        const auto p = Buffer<>::random(n, 2 + step, 299);
        kernels::cpu::ema({.e = e.span(), .p = p.cspan(), .decay = decay});
        for (std::int64_t i = 0; i < n; ++i) want[std::size_t(i)] = decay * want[std::size_t(i)] + (1 - decay) * p[i];
      }
      expect_close("e", e, want, 1e-6, 0);
    }
}

TEST_CASE("ema: weights that stand still are a fixed point, exactly") {
  auto e = Buffer<>::random(1009, 1);
  const auto p = e;
  for (double decay : {0.3, 0.7, 0.99, 0.9998, 0.99999}) {
    kernels::cpu::ema({.e = e.span(), .p = p.cspan(), .decay = decay});
    expect_bitwise("e", e, p);
  }
}

TEST_CASE("ema: one and two threads agree bitwise") {
  auto a = Buffer<>::random(100003, 1), b = a;
  const auto p = Buffer<>::random(100003, 2);
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  kernels::cpu::ema({.e = a.span(), .p = p.cspan(), .decay = 0.99});
  omp_set_num_threads(2);
  kernels::cpu::ema({.e = b.span(), .p = p.cspan(), .decay = 0.99});
  omp_set_num_threads(before);
  expect_bitwise("e", a, b);
}

TEST_CASE("ema: wrong arguments are explained") {
  Buffer<> e(3, 1.0f), p(2, 1.0f);
  expect_throw("e has 3 elements, p 2", [&] { kernels::cpu::ema({.e = e.span(), .p = p.cspan(), .decay = 0.9}); });
  expect_throw("decay 1.5", [&] { kernels::cpu::ema({.e = e.span(), .p = e.cspan(), .decay = 1.5}); });
}
