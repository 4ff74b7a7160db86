// tests/kernels/test_batch_norm.cpp — batch normalisation, training and inference, against a double reference.
#include <array>

#include "engine/autograd.h"
#include "kernels/batch_norm/batch_norm.h"
#include "layers/functional/batch_norm.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

constexpr float kEps = 1e-3f, kMomentum = 0.2f;

// What goes in: the same for the reference and for the kernels.
template <class T>
struct Input {
  std::int64_t rows, C;
  bool training;
  Buffer<T> x, dy;
  Buffer<float> gamma, beta, running_mean, running_var;
  Input(std::int64_t r, std::int64_t c, bool t, float x_mean = 0)
      : rows(r),
        C(c),
        training(t),
        x(Buffer<T>::random(r * c, 1, x_mean)),
        dy(Buffer<T>::random(r * c, 2)),
        gamma(Buffer<float>::random(c, 3, 1, 0.2f)),
        beta(Buffer<float>::random(c, 4)),
        running_mean(Buffer<float>::random(c, 5, x_mean, 0.1f)),
        running_var(c) {
    for (std::int64_t i = 0; i < c; ++i) running_var[i] = 0.5f + float(i % 5);
  }
};

struct Ref {
  std::vector<double> y, mean, rstd, running_mean, running_var, dx, dgamma, dbeta;
};
template <class T>
Ref reference(const Input<T>& in) {
  const auto n = std::size_t(in.rows * in.C), m = std::size_t(in.C);
  Ref r{std::vector<double>(n), {}, {}, {}, {}, std::vector<double>(n), std::vector<double>(m), std::vector<double>(m)};
  const double rows = double(in.rows);
  for (std::int64_t c = 0; c < in.C; ++c) {
    double mean = in.running_mean[c], var = in.running_var[c], running_mean = mean, running_var = var;
    if (in.training) {
      mean = var = 0;
      for (std::int64_t i = 0; i < in.rows; ++i) mean += in.x[i * in.C + c] / rows;
      for (std::int64_t i = 0; i < in.rows; ++i)
        var += (in.x[i * in.C + c] - mean) * (in.x[i * in.C + c] - mean) / rows;
      running_mean += double(kMomentum) * (mean - running_mean);
      running_var += double(kMomentum) * (var * rows / (rows - 1) - running_var);
    }
    const double rstd = 1 / std::sqrt(var + double(kEps));
    r.mean.push_back(mean), r.rstd.push_back(rstd), r.running_mean.push_back(running_mean),
        r.running_var.push_back(running_var);
    double sum = 0, sum_xh = 0;
    const auto xh = [&](std::int64_t i) { return (in.x[i * in.C + c] - mean) * rstd; };
    for (std::int64_t i = 0; i < in.rows; ++i) {
      r.y[std::size_t(i * in.C + c)] = xh(i) * in.gamma[c] + in.beta[c];
      sum += in.dy[i * in.C + c], sum_xh += in.dy[i * in.C + c] * xh(i);
    }
    r.dgamma[std::size_t(c)] = sum_xh, r.dbeta[std::size_t(c)] = sum;
    for (std::int64_t i = 0; i < in.rows; ++i)
      r.dx[std::size_t(i * in.C + c)] =
          in.gamma[c] * rstd * (in.dy[i * in.C + c] - (in.training ? sum / rows + xh(i) * sum_xh / rows : 0));
  }
  return r;
}

using Modes = std::array<GradMode, 3>;
constexpr Modes kWrite = {GradMode::write, GradMode::write, GradMode::write};

template <class T>
struct Result {
  Buffer<T> y, dx;
  Buffer<float> mean, rstd, running_mean, running_var, dgamma, dbeta;
};
// Elements by which the images are shifted, so that they do not begin where a vector may.
struct Shift {
  std::int64_t x = 0, dy = 0, y = 0, dx = 0;
};
template <class T>
Result<T> run(const Input<T>& in, Modes modes = kWrite, float start = 0, Shift by = {}) {
  const std::int64_t n = in.rows * in.C, C = in.C;
  Result<T> r{
      Buffer<T>(n + by.y, 5), Buffer<T>(n + by.dx, start), Buffer<float>(C),       Buffer<float>(C), in.running_mean,
      in.running_var,         Buffer<float>(C, start),     Buffer<float>(C, start)};
  Buffer<T> x(n + by.x, 5), dy(n + by.dy, 5);
  for (std::int64_t i = 0; i < n; ++i) x[i + by.x] = in.x.cspan()[i], dy[i + by.dy] = in.dy.cspan()[i];
  Buffer<float> fwd_work(in.training ? kernels::batch_norm_fwd_workspace(in.rows, C) : 0),
      bwd_work(kernels::batch_norm_bwd_workspace(in.rows, C));
  backend::batch_norm_fwd<T>({.x = x.cspan().slice(by.x, n),
                              .gamma = in.gamma.cspan(),
                              .beta = in.beta.cspan(),
                              .y = r.y.span().slice(by.y, n),
                              .running_mean = r.running_mean.span(),
                              .running_var = r.running_var.span(),
                              .mean = r.mean.span(),
                              .rstd = r.rstd.span(),
                              .workspace = fwd_work.span(),
                              .rows = in.rows,
                              .C = C,
                              .eps = kEps,
                              .momentum = kMomentum,
                              .training = in.training});
  backend::batch_norm_bwd<T>({.dy = dy.cspan().slice(by.dy, n),
                              .x = x.cspan().slice(by.x, n),
                              .gamma = in.gamma.cspan(),
                              .mean = r.mean.cspan(),
                              .rstd = r.rstd.cspan(),
                              .dx = r.dx.span().slice(by.dx, n),
                              .dgamma = r.dgamma.span(),
                              .dbeta = r.dbeta.span(),
                              .dx_mode = modes[0],
                              .dgamma_mode = modes[1],
                              .dbeta_mode = modes[2],
                              .workspace = bwd_work.span(),
                              .rows = in.rows,
                              .C = C,
                              .training = in.training});
  fwd_work.check_guards("workspace"), bwd_work.check_guards("workspace");
  return r;
}

// No rows and one (inference only), two; primes; one past a vector; several pieces, of more rows than a block takes at
// once and than a work item of the CPU; more channels than a strip of CUDA's and than a run of the CPU's.
const std::pair<std::int64_t, std::int64_t> kShapes[] = {{0, 8},   {1, 3},   {2, 1},    {3, 5},   {67, 17},
                                                         {33, 33}, {520, 8}, {1031, 3}, {5, 130}, {9, 261}};

template <class T>
void compare(float x_mean, double rtol, double atol) {
  for (const bool training : {true, false})
    for (const auto& [rows, C] : kShapes) {
      if (training && rows < 2) continue;
      const Input<T> in(rows, C, training, x_mean);
      const Ref want = reference(in);
      const auto got = run(in);
      const std::string at = str(training ? "training" : "inference", " rows=", rows, " C=", C, " ");
      expect_close(at + "mean", got.mean, want.mean, training ? 2e-7 : 0, training ? rtol : 1e-30);
      expect_close(at + "rstd", got.rstd, want.rstd, rtol * 10, atol);
      expect_close(at + "running_mean", got.running_mean, want.running_mean, training ? 1e-6 : 0, 1e-6);
      expect_close(at + "running_var", got.running_var, want.running_var, training ? rtol : 0, training ? atol : 1e-30);
      expect_close(at + "y", got.y, want.y, rtol + storage_rtol<T>(), atol);
      expect_close(at + "dx", got.dx, want.dx, rtol * 10 + storage_rtol<T>(), atol * 10);
      expect_close(at + "dgamma", got.dgamma, want.dgamma, rtol, atol * 10);
      expect_close(at + "dbeta", got.dbeta, want.dbeta, rtol, atol);
    }
}

}  // namespace

TEST_CASE_TEMPLATE("batch_norm matches the double reference", T, float, bf16) {
  for_each_variant([] { compare<T>(0, 2e-5, 2e-5); });
}
TEST_CASE("batch_norm survives a large mean") { compare<float>(300, 2e-3, 2e-3); }  // one pass over squares does not
TEST_CASE("batch_norm survives a large mean in bf16") { compare<bf16>(300, 2e-3, 2e-3); }

TEST_CASE("batch_norm: many pieces, a first row far from the others") {
  const std::int64_t rows =
      kEmulated ? 4400 : 140000;  // more pieces than a block reads at a time; 512 of more than 256 rows
  Input<float> in(rows, 2, true, 3);
  in.x[0] = 1000, in.x[1] = -1000;
  const Ref want = reference(in);
  const auto got = run(in);
  expect_close("mean", got.mean, want.mean, 0, 5e-4);  // what is relative to row 0 is rounded at 1000, some 500 times
  expect_close("rstd", got.rstd, want.rstd, 1e-4, 0);
  expect_close("running_var", got.running_var, want.running_var, 1e-4, 0);
}

TEST_CASE_TEMPLATE("batch_norm: images that begin between vectors", T, float, bf16) {
  for (const bool training : {true, false}) {
    const Input<T> in(21, 16, training);
    const auto want = run(in);
    for (const Shift& by : {Shift{.x = 1}, Shift{.dy = 1}, Shift{.y = 1}, Shift{.dx = 1}}) {
      const auto got = run(in, kWrite, 0, by);
      for (std::int64_t i = 0; i < 21 * 16; ++i)
        BF_CHECK(got.y.cspan()[i + by.y] == want.y.cspan()[i] && got.dx.cspan()[i + by.dx] == want.dx.cspan()[i],
                 "element ", i);
      expect_bitwise("running_var", got.running_var, want.running_var);
      expect_bitwise("dgamma", got.dgamma, want.dgamma);
      got.y.check_guards("y"), got.dx.check_guards("dx");
    }
  }
}

TEST_CASE_TEMPLATE("batch_norm adds to, or leaves alone, what is in a gradient", T, float, bf16) {
  using enum GradMode;
  const Modes cases[] = {{add, add, add},    {skip, skip, skip}, {write, skip, add},
                         {add, write, skip}, {skip, add, write}, {write, skip, skip}};
  for (const bool training : {true, false}) {
    const Input<T> in(21, 9, training);
    const Ref want = reference(in);
    for (const auto& modes : cases) {
      const auto got = run(in, modes, 10);
      const auto expect = [&](const char* what, const auto& b, std::vector<double> v, GradMode m, double rtol) {
        for (double& e : v) e = m == skip ? 10 : m == add ? e + 10 : e;
        expect_close(what, b, v, 1e-4 + rtol, 1e-4);
      };
      expect("dx", got.dx, want.dx, modes[0], storage_rtol<T>());
      expect("dgamma", got.dgamma, want.dgamma, modes[1], 0);
      expect("dbeta", got.dbeta, want.dbeta, modes[2], 0);
    }
  }
}

TEST_CASE_TEMPLATE("batch_norm does not depend on the order of the work", T, float, bf16) {
  for (const bool training : {true, false}) {
    const Input<T> in(kEmulated ? 600 : 3001, kEmulated ? 10 : 24, training);
    expect_order_free([&] {
      const auto r = run(in);
      return std::tuple{r.y, r.dx, r.mean, r.rstd, r.running_mean, r.running_var, r.dgamma, r.dbeta};
    });
  }
}

TEST_CASE("batch_norm explains wrong arguments") {
  Context ctx(device());
  const auto zeros = [&](std::int64_t n) { return Tensor::zeros(ctx, {n}); };
  const Tensor x = Tensor::zeros(ctx, {4, 7}), seven = zeros(7), eight = zeros(8);
  expect_throw("gamma 8, C 7", [&] { fn::batch_norm(x, eight, seven, seven, seven); });
  expect_throw("beta 8, C 7", [&] { fn::batch_norm(x, seven, eight, seven, seven); });
  expect_throw("running_mean 8, C 7", [&] { fn::batch_norm(x, seven, seven, eight, seven); });
  expect_throw("running_var 8, C 7", [&] { fn::batch_norm(x, seven, seven, seven, eight); });
  expect_throw("expected [..., C]", [&] { fn::batch_norm(Tensor::zeros(ctx, {4, 0}), seven, seven, seven, seven); });
  for (const std::int64_t rows : {0, 1})
    expect_throw(str("training on ", rows, " values per channel"), [&] {
      fn::batch_norm(Tensor::zeros(ctx, {rows, 7}), seven, seven, seven, seven, {.training = true});
    });
  Buffer<float> b(14), work(20), s(7);
  const auto span = s.span();
  expect_throw("workspace of 10 floats, expected 14", [&] {
    backend::batch_norm_fwd<float>({.x = b.cspan(),
                                    .gamma = span,
                                    .beta = span,
                                    .y = b.span(),
                                    .running_mean = span,
                                    .running_var = span,
                                    .mean = span,
                                    .rstd = span,
                                    .workspace = work.span().slice(0, 10),
                                    .rows = 2,
                                    .C = 7,
                                    .training = true});
  });
  expect_throw("workspace of 20 floats, expected 28", [&] {
    backend::batch_norm_bwd<float>({.dy = b.cspan(),
                                    .x = b.cspan(),
                                    .gamma = span,
                                    .mean = span,
                                    .rstd = span,
                                    .dx = b.span(),
                                    .dgamma = span,
                                    .dbeta = span,
                                    .workspace = work.span(),
                                    .rows = 2,
                                    .C = 7});
  });
  expect_throw("dbeta 14, C 7", [&] {
    backend::batch_norm_bwd<float>({.dy = b.cspan(),
                                    .x = b.cspan(),
                                    .gamma = span,
                                    .mean = span,
                                    .rstd = span,
                                    .dx = b.span(),
                                    .dgamma = span,
                                    .dbeta = b.span(),
                                    .rows = 2,
                                    .C = 7});
  });
}

TEST_CASE("batch_norm gradient check, training and inference") {
  Context ctx(device());
  const Tensor weight = random_leaf(ctx, {6}, 2, 1, 0.2f), bias = random_leaf(ctx, {6}, 3);
  const Tensor image = random_leaf(ctx, {2, 3, 4, 6}, 1), rows = random_leaf(ctx, {9, 6}, 4);
  const Tensor mean = Tensor::full(ctx, {6}, 0.3f), var = Tensor::full(ctx, {6}, 2);
  for (const bool training : {true, false}) {
    check_gradients({image, weight, bias},
                    [&] { return fn::batch_norm(image, weight, bias, mean, var, {.training = training}); });
    check_gradients({rows, weight, bias},
                    [&] { return fn::batch_norm(rows, weight, bias, mean, var, {.eps = 0.1f, .training = training}); });
  }
}

TEST_CASE(
    "batch_norm: running statistics are those of training alone, and a later step does not change an earlier "
    "gradient") {
  Context ctx(device());
  const Tensor weight = Tensor::full(ctx, {1}, 1), bias = Tensor::zeros(ctx, {1});
  const Tensor mean = Tensor::zeros(ctx, {1}), var = Tensor::full(ctx, {1}, 1);
  Tensor x = Tensor::from_host(ctx, {2, 1}, std::vector<float>{1, 3}).require_grad();
  Tensor y = fn::batch_norm(x, weight, bias, mean, var, {.eps = 0});  // inference
  CHECK(y.to_host() == std::vector<float>{1, 3});
  CHECK(mean.item() == 0);
  CHECK(var.item() == 1);
  {
    const NoGrad off(ctx);
    fn::batch_norm(x, weight, bias, mean, var, {.momentum = 0.5f, .training = true});
  }
  CHECK(mean.item() == 1);    // half of 2
  CHECK(var.item() == 1.5f);  // half of 1 and half of 2, the unbiased variance
  y.backward(Tensor::full(ctx, {2, 1}, 1));
  CHECK(x.grad().to_host() == std::vector<float>{1, 1});  // with the statistics of its own forward pass
}
