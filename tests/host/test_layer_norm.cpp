// tests/host/test_layer_norm.cpp — LayerNorm against a double reference.
#include <omp.h>

#include "engine/autograd.h"
#include "kernels/layer_norm/layer_norm.h"
#include "layers/functional/layer_norm.h"
#include "tests/support/gradcheck.h"
#include "tests/support/layer_norm_cases.h"
#include "tests/support/simd_targets.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// The CPU backend, as the shared cases call it.
struct Cpu {
  template <class T>
  void fwd(const kernels::LayerNormFwd<T>& a) const { kernels::cpu::layer_norm_fwd<T>(a); }
  template <class T>
  void bwd(const kernels::LayerNormBwd<T>& a) const { kernels::cpu::layer_norm_bwd<T>(a); }
};

template <class T>
void compare(float x_mean, double rtol, double atol) {
  compare_layer_norm<T>(Cpu(), x_mean, rtol, atol);
}

}  // namespace

TEST_CASE_TEMPLATE("layer_norm matches the double reference", T, float, bf16) {
  for_each_simd_target([] { compare<T>(0, 2e-5, 2e-5); });
}
TEST_CASE("layer_norm survives a large mean") { compare<float>(300, 2e-3, 2e-3); }  // a one-pass variance does not
TEST_CASE("layer_norm survives a large mean in bf16") { compare<bf16>(300, 2e-3, 2e-3); }

TEST_CASE_TEMPLATE("layer_norm adds to, or leaves alone, what is in a gradient", T, float, bf16) {
  layer_norm_obeys_modes<T>(Cpu());
}

TEST_CASE("layer_norm does not depend on the number of threads") {
  const int C = 24, before = omp_get_max_threads();
  const std::int64_t rows = 3001;
  const auto x = Buffer<float>::random(rows * C, 1), dy = Buffer<float>::random(rows * C, 4);
  const auto gamma = Buffer<float>::random(C, 2), beta = Buffer<float>::random(C, 3);
  omp_set_num_threads(1);
  const auto one = run_layer_norm(Cpu(), x, gamma, beta, dy, rows, C);
  omp_set_num_threads(2);
  const auto two = run_layer_norm(Cpu(), x, gamma, beta, dy, rows, C);
  omp_set_num_threads(before);
  expect_bitwise("y", one.y, two.y);
  expect_bitwise("dx", one.dx, two.dx);
  expect_bitwise("dgamma", one.dgamma, two.dgamma);
  expect_bitwise("dbeta", one.dbeta, two.dbeta);
}

TEST_CASE("layer_norm explains wrong arguments") {
  Context ctx;
  const Tensor x = Tensor::zeros(ctx, {4, 7}), eight = Tensor::zeros(ctx, {8}), seven = Tensor::zeros(ctx, {7});
  expect_throw("gamma 8, beta 7, C 7", [&] { fn::layer_norm(x, eight, seven); });
  expect_throw("gamma 7, beta 8, C 7", [&] { fn::layer_norm(x, seven, eight); });
  expect_throw("expected [..., C]", [&] { fn::layer_norm(Tensor::zeros(ctx, {4, 0}), seven, seven); });
  Buffer<float> b(14), work(10);
  expect_throw("workspace of 10 floats, expected 14", [&] {
    kernels::cpu::layer_norm_bwd<float>({.dy = b.cspan(),
                                         .x = b.cspan(),
                                         .gamma = b.cspan().slice(0, 7),
                                         .mean = b.cspan().slice(0, 2),
                                         .rstd = b.cspan().slice(0, 2),
                                         .dx = b.span(),
                                         .dgamma = b.span().slice(0, 7),
                                         .dbeta = b.span().slice(7, 7),
                                         .workspace = work.span(),
                                         .rows = 2,
                                         .C = 7});
  });
}

TEST_CASE("layer_norm gradient check") {
  Context ctx;
  const Tensor gamma = random_leaf(ctx, {24}, 2, 1, 0.2f), beta = random_leaf(ctx, {24}, 3);
  const Tensor image = random_leaf(ctx, {2, 3, 4, 24}, 1), rows = random_leaf(ctx, {5, 24}, 4);
  check_gradients({image, gamma, beta},
                  [&] { return fn::layer_norm(fn::layer_norm(image, gamma, beta), gamma, beta); });
  check_gradients({rows, gamma, beta}, [&] { return fn::layer_norm(rows, gamma, beta, 0.1f); });
}
