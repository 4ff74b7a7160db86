// tests/kernels/test_layer_norm.cpp — LayerNorm against a double reference.
#include <array>

#include "engine/autograd.h"
#include "kernels/layer_norm/layer_norm.h"
#include "layers/functional/layer_norm.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Ref {
  std::vector<double> y, mean, rstd, dx, dgamma, dbeta;
};
template <class T>
Ref reference(const Buffer<T>& x, const Buffer<float>& gamma, const Buffer<float>& beta, const Buffer<T>& dy,
              std::int64_t rows, int C, double eps = 1e-6) {
  const auto n = std::size_t(rows * C), m = std::size_t(rows), k = std::size_t(C);
  Ref r{std::vector<double>(n), std::vector<double>(m), std::vector<double>(m),
        std::vector<double>(n), std::vector<double>(k), std::vector<double>(k)};
  for (std::int64_t i = 0; i < rows; ++i) {
    double mean = 0, var = 0, sg = 0, sgx = 0;
    for (int c = 0; c < C; ++c) mean += x[i * C + c] / C;
    for (int c = 0; c < C; ++c) var += (x[i * C + c] - mean) * (x[i * C + c] - mean) / C;
    const double rstd = 1 / std::sqrt(var + eps);
    r.mean[std::size_t(i)] = mean, r.rstd[std::size_t(i)] = rstd;
    for (int c = 0; c < C; ++c) {
      const double xh = (x[i * C + c] - mean) * rstd, g = dy[i * C + c] * gamma[c];
      r.y[std::size_t(i * C + c)] = xh * gamma[c] + beta[c];
      sg += g / C, sgx += g * xh / C;
      r.dgamma[std::size_t(c)] += dy[i * C + c] * xh, r.dbeta[std::size_t(c)] += dy[i * C + c];
    }
    for (int c = 0; c < C; ++c)
      r.dx[std::size_t(i * C + c)] = rstd * (dy[i * C + c] * gamma[c] - sg - (x[i * C + c] - mean) * rstd * sgx);
  }
  return r;
}

template <class T>
struct Run {
  Buffer<T> y, dx;
  Buffer<float> mean, rstd, dgamma, dbeta;
};
template <class T>
Run<T> run(const Buffer<T>& x, const Buffer<float>& gamma, const Buffer<float>& beta, const Buffer<T>& dy,
           std::int64_t rows, int C,
           std::array<GradMode, 3> modes = {GradMode::write, GradMode::write, GradMode::write}, float start = 0) {
  Run<T> r{Buffer<T>(rows * C), Buffer<T>(rows * C), Buffer<float>(rows),
           Buffer<float>(rows), Buffer<float>(C),    Buffer<float>(C)};
  if (modes[0] != GradMode::write) r.dx = Buffer<T>(rows * C, start);
  if (modes[1] != GradMode::write) r.dgamma = Buffer<float>(C, start);
  if (modes[2] != GradMode::write) r.dbeta = Buffer<float>(C, start);
  Buffer<float> work(kernels::layer_norm_bwd_workspace(rows, C));
  backend::layer_norm_fwd<T>({.x = x.cspan(),
                                   .gamma = gamma.cspan(),
                                   .beta = beta.cspan(),
                                   .y = r.y.span(),
                                   .mean = r.mean.span(),
                                   .rstd = r.rstd.span(),
                                   .rows = rows,
                                   .C = C});
  backend::layer_norm_bwd<T>({.dy = dy.cspan(),
                                   .x = x.cspan(),
                                   .gamma = gamma.cspan(),
                                   .mean = r.mean.cspan(),
                                   .rstd = r.rstd.cspan(),
                                   .dx = r.dx.span(),
                                   .dgamma = r.dgamma.span(),
                                   .dbeta = r.dbeta.span(),
                                   .dx_mode = modes[0],
                                   .dgamma_mode = modes[1],
                                   .dbeta_mode = modes[2],
                                   .workspace = work.span(),
                                   .rows = rows,
                                   .C = C});
  work.check_guards("workspace");
  return r;
}

// No rows, one column, one past a vector, several pieces of rows.
const std::pair<std::int64_t, int> kShapes[] = {{0, 8},   {1, 1},   {3, 5},    {7, 31},   {5, 32},   {9, 33},
                                                {64, 40}, {65, 96}, {17, 320}, {2, 1025}, {300, 17}, {1031, 24}};

template <class T>
void compare(float x_mean, double rtol, double atol) {
  for (const auto& [rows, C] : kShapes) {
    const auto x = Buffer<T>::random(rows * C, 1, x_mean), dy = Buffer<T>::random(rows * C, 4);
    const auto gamma = Buffer<float>::random(C, 2, 1, 0.2f), beta = Buffer<float>::random(C, 3);
    const Ref want = reference(x, gamma, beta, dy, rows, C);
    const auto got = run(x, gamma, beta, dy, rows, C);
    const std::string at = str("rows=", rows, " C=", C, " ");
    expect_close(at + "mean", got.mean, want.mean, rtol, atol);
    expect_close(at + "rstd", got.rstd, want.rstd, rtol * 10, atol);
    expect_close(at + "y", got.y, want.y, rtol + storage_rtol<T>(), atol);
    if (C > 1) expect_close(at + "dx", got.dx, want.dx, rtol * 10 + storage_rtol<T>(), atol * 10);
    expect_close(at + "dgamma", got.dgamma, want.dgamma, rtol, atol * 10);
    expect_close(at + "dbeta", got.dbeta, want.dbeta, rtol, atol);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("layer_norm matches the double reference", T, float, bf16) {
  for_each_variant([] { compare<T>(0, 2e-5, 2e-5); });
}
TEST_CASE("layer_norm survives a large mean") { compare<float>(300, 2e-3, 2e-3); }  // a one-pass variance does not
TEST_CASE("layer_norm survives a large mean in bf16") { compare<bf16>(300, 2e-3, 2e-3); }

TEST_CASE_TEMPLATE("layer_norm adds to, or leaves alone, what is in a gradient", T, float, bf16) {
  using enum GradMode;
  const int C = 33;
  const std::int64_t rows = 9;
  const auto x = Buffer<T>::random(rows * C, 1), dy = Buffer<T>::random(rows * C, 4);
  const auto gamma = Buffer<float>::random(C, 2), beta = Buffer<float>::random(C, 3);
  const Ref want = reference(x, gamma, beta, dy, rows, C);
  const std::array<std::array<GradMode, 3>, 5> cases{
      {{add, add, add}, {skip, skip, skip}, {write, skip, add}, {add, write, skip}, {skip, add, write}}};
  for (const auto& modes : cases) {
    const auto got = run(x, gamma, beta, dy, rows, C, modes, 10);
    const auto expect = [&](const char* what, const auto& b, std::vector<double> v, GradMode m, double rtol) {
      for (double& e : v) e = m == skip ? 10 : m == add ? e + 10 : e;
      expect_close(what, b, v, 1e-4 + rtol, 1e-4);
    };
    expect("dx", got.dx, want.dx, modes[0], storage_rtol<T>());
    expect("dgamma", got.dgamma, want.dgamma, modes[1], 0);
    expect("dbeta", got.dbeta, want.dbeta, modes[2], 0);
  }
}

TEST_CASE_TEMPLATE("layer_norm does not depend on the order of the work", T, float, bf16) {
  const int C = kEmulated ? 70 : 24;
  const std::int64_t rows = kEmulated ? 300 : 3001;
  const auto x = Buffer<T>::random(rows * C, 1), dy = Buffer<T>::random(rows * C, 4);
  const auto gamma = Buffer<float>::random(C, 2), beta = Buffer<float>::random(C, 3);
  expect_order_free([&] {
    const auto r = run(x, gamma, beta, dy, rows, C);
    return std::tuple{r.y, r.dx, r.mean, r.rstd, r.dgamma, r.dbeta};
  });
}

TEST_CASE("layer_norm explains wrong arguments") {
  Context ctx(device());
  const Tensor x = Tensor::zeros(ctx, {4, 7}), eight = Tensor::zeros(ctx, {8}), seven = Tensor::zeros(ctx, {7});
  expect_throw("gamma 8, beta 7, C 7", [&] { fn::layer_norm(x, eight, seven); });
  expect_throw("gamma 7, beta 8, C 7", [&] { fn::layer_norm(x, seven, eight); });
  expect_throw("expected [..., C]", [&] { fn::layer_norm(Tensor::zeros(ctx, {4, 0}), seven, seven); });
  Buffer<float> b(14), work(10);
  expect_throw("workspace of 10 floats, expected 14", [&] {
    backend::layer_norm_bwd<float>({.dy = b.cspan(),
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
  Context ctx(device());
  const Tensor gamma = random_leaf(ctx, {24}, 2, 1, 0.2f), beta = random_leaf(ctx, {24}, 3);
  const Tensor image = random_leaf(ctx, {2, 3, 4, 24}, 1), rows = random_leaf(ctx, {5, 24}, 4);
  check_gradients({image, gamma, beta},
                  [&] { return fn::layer_norm(fn::layer_norm(image, gamma, beta), gamma, beta); });
  check_gradients({rows, gamma, beta}, [&] { return fn::layer_norm(rows, gamma, beta, 0.1f); });
}
