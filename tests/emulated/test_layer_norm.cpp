// tests/emulated/test_layer_norm.cpp — the CUDA kernels of LayerNorm, emulated, against the double reference.
#include "kernels/emulator/emulator.h"
#include "kernels/layer_norm/layer_norm.simt.h"
#include "tests/support/layer_norm_cases.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Emulated {
  simt::Emulator emulator;
  template <class T>
  void fwd(const kernels::LayerNormFwd<T>& a) const {
    kernels::simt_bodies::layer_norm_fwd(emulator, a);
  }
  template <class T>
  void bwd(const kernels::LayerNormBwd<T>& a) const {
    kernels::simt_bodies::layer_norm_bwd(emulator, a);
  }
};

}  // namespace

TEST_CASE_TEMPLATE("emulated layer_norm matches the double reference", T, float, bf16) {
  for (const auto& schedule : simt::kSchedules)
    compare_layer_norm<T>(Emulated{simt::Emulator(schedule)}, 0, 2e-5, 2e-5);
}
TEST_CASE("emulated layer_norm survives a large mean") {
  compare_layer_norm<float>(Emulated{simt::Emulator({})}, 300, 2e-3, 2e-3);
  compare_layer_norm<bf16>(Emulated{simt::Emulator({})}, 300, 2e-3, 2e-3);
}

TEST_CASE_TEMPLATE("emulated layer_norm adds to, or leaves alone, what is in a gradient", T, float, bf16) {
  for (const auto& schedule : simt::kSchedules) layer_norm_obeys_modes<T>(Emulated{simt::Emulator(schedule)});
}

TEST_CASE_TEMPLATE("emulated layer_norm does not depend on the schedule", T, float, bf16) {
  for (const auto& [rows, C] : {std::pair<std::int64_t, int>{1, 1}, {9, 33}, {300, 70}}) {
    const auto x = Buffer<T>::random(rows * C, 1), dy = Buffer<T>::random(rows * C, 4);
    const auto gamma = Buffer<float>::random(C, 2), beta = Buffer<float>::random(C, 3);
    const auto run = [&](simt::Schedule s) {
      return run_layer_norm(Emulated{simt::Emulator(s)}, x, gamma, beta, dy, rows, C);
    };
    const auto first = run({});
    for (const auto& schedule : simt::kSchedules) {
      const auto again = run(schedule);
      expect_bitwise("y", first.y, again.y);
      expect_bitwise("mean", first.mean, again.mean);
      expect_bitwise("rstd", first.rstd, again.rstd);
      expect_bitwise("dx", first.dx, again.dx);
      expect_bitwise("dgamma", first.dgamma, again.dgamma);
      expect_bitwise("dbeta", first.dbeta, again.dbeta);
    }
  }
}
