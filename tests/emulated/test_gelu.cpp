// tests/emulated/test_gelu.cpp — the CUDA kernels of GELU, emulated, against the double reference.
#include "kernels/emulator/emulator.h"
#include "kernels/gelu/gelu.simt.h"
#include "tests/support/gelu_cases.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::simt_bodies::gelu_bwd;
using kernels::simt_bodies::gelu_fwd;

TEST_CASE_TEMPLATE("emulated gelu matches the double reference", T, float, bf16) {
  for (const auto& schedule : simt::kSchedules)
    for (const std::int64_t offset : {0, 1}) {
      const simt::Emulator emulator(schedule);
      compare_gelu<T>([&](const auto& a) { gelu_fwd(emulator, a); }, [&](const auto& a) { gelu_bwd(emulator, a); },
                      offset);
    }
}

TEST_CASE_TEMPLATE("emulated gelu does not depend on the schedule, nor on where an array begins", T, float, bf16) {
  const std::int64_t n = 4099;
  const auto x = Buffer<T>::random(n, 1, 0, 3), dy = Buffer<T>::random(n, 2);
  std::vector<Buffer<T>> ys, dxs;
  for (const auto& schedule : simt::kSchedules)
    for (const std::int64_t offset : {0, 3}) {
      const simt::Emulator emulator(schedule);
      Buffer<T> y(n), dx(n), shifted(n + offset);
      gelu_fwd(emulator, kernels::GeluFwd<T>{.x = x.cspan(), .y = shifted.span().slice(offset, n)});
      for (std::int64_t i = 0; i < n; ++i) y[i] = shifted.cspan()[offset + i];
      gelu_bwd(emulator, kernels::GeluBwd<T>{.dy = dy.cspan(), .x = x.cspan(), .dx = dx.span()});
      ys.push_back(y), dxs.push_back(dx);
    }
  for (std::size_t i = 1; i < ys.size(); ++i) expect_bitwise("y", ys[0], ys[i]), expect_bitwise("dx", dxs[0], dxs[i]);
}

TEST_CASE("emulated gelu at the ends of the line") {
  const float inf = std::numeric_limits<float>::infinity();
  Buffer<float> x(7), y(7), dx(7);
  const float values[] = {0, inf, -inf, std::nanf(""), 3e38f, -3e38f, -20};
  for (int i = 0; i < 7; ++i) x[i] = values[i];
  const Buffer<float> one(7, 1);
  const simt::Emulator emulator({});
  gelu_fwd(emulator, kernels::GeluFwd<float>{.x = x.cspan(), .y = y.span()});
  gelu_bwd(emulator, kernels::GeluBwd<float>{.dy = one.cspan(), .x = x.cspan(), .dx = dx.span()});
  const double want_y[] = {0, inf, 0, NAN, double(3e38f), 0, 0}, want_dx[] = {0.5, 1, 0, NAN, 1, 0, 0};
  for (int i = 0; i < 7; ++i) {
    CAPTURE(i);
    const double got_y = y.cspan()[i], got_dx = dx.cspan()[i];
    CHECK((i == 3 ? std::isnan(got_y) : got_y == want_y[i]));
    CHECK((i == 3 ? std::isnan(got_dx) : got_dx == want_dx[i]));
  }
}

TEST_CASE("emulated gelu leaves a gradient alone that nobody wants, and explains wrong arguments") {
  Buffer<float> x(5, 1), dx(5, 7);
  const simt::Emulator emulator({});
  gelu_bwd(emulator,
           kernels::GeluBwd<float>{.dy = x.cspan(), .x = x.cspan(), .dx = dx.span(), .dx_mode = GradMode::skip});
  expect_bitwise("dx", dx, Buffer<float>(5, 7));
  expect_throw("y has 4 elements, x has 5",
               [&] { gelu_fwd(emulator, kernels::GeluFwd<float>{.x = x.cspan(), .y = dx.span().slice(0, 4)}); });
}
