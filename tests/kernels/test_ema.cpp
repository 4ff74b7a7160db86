// tests/kernels/test_ema.cpp — the moving average against its definition in double.
#include "kernels/ema/ema.h"
#include "tests/support/backend.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("ema: ten steps equal the definition") {
  for (std::int64_t n : {0, 1, 17, 33, kEmulated ? 300 : 1009, kEmulated ? 1031 : 40009})
    for (double decay : {0.0, 0.9, 0.9998, 1.0}) for_each_variant([&] {
      auto e = Buffer<>::random(n, 1, 300);  // a large mean: the average must not drift
      std::vector<double> want;
      for (std::int64_t i = 0; i < n; ++i) want.push_back(e[i]);
      for (unsigned step = 0; step < 10; ++step) {
        const auto p = Buffer<>::random(n, 2 + step, 299);
        backend::ema({.e = e.span(), .p = p.cspan(), .decay = decay});
        for (std::int64_t i = 0; i < n; ++i) want[std::size_t(i)] = decay * want[std::size_t(i)] + (1 - decay) * p[i];
      }
      expect_close("e", e, want, 1e-6, 0);
    });
}

TEST_CASE("ema: weights that stand still are a fixed point, exactly") {
  auto e = Buffer<>::random(1009, 1);
  const auto p = e;
  for (double decay : {0.3, 0.7, 0.99, 0.9998, 0.99999}) {
    backend::ema({.e = e.span(), .p = p.cspan(), .decay = decay});
    expect_bitwise("e", e, p);
  }
}

TEST_CASE("ema: bits depend neither on the order of the work nor on where arrays begin") {
  const std::int64_t n = kEmulated ? 1501 : 100003;
  const auto e = Buffer<>::random(n, 1), p = Buffer<>::random(n, 2);
  const auto averaged = [&](std::int64_t shift) {
    Buffer<> whole(n + shift), weights(n + shift), r(n);
    for (std::int64_t i = 0; i < n; ++i) whole[i + shift] = float(e[i]), weights[i + shift] = float(p[i]);
    backend::ema({.e = whole.span().slice(shift, n), .p = weights.cspan().slice(shift, n), .decay = 0.99});
    for (std::int64_t i = 0; i < n; ++i) r[i] = whole[i + shift];
    return r;
  };
  expect_order_free([&] { return std::tuple{averaged(0)}; });
  if constexpr (kCuda) expect_bitwise("e", averaged(1), averaged(0));  // the CPU's compiler may fuse differently
}

TEST_CASE("ema: wrong arguments are explained") {
  Buffer<> e(3, 1.0f), p(2, 1.0f);
  expect_throw("e has 3 elements, p 2", [&] { backend::ema({.e = e.span(), .p = p.cspan(), .decay = 0.9}); });
  expect_throw("decay 1.5", [&] { backend::ema({.e = e.span(), .p = e.cspan(), .decay = 1.5}); });
}
