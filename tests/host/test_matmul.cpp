// tests/host/test_matmul.cpp — the three products of a linear layer against sums in double.
#include <omp.h>

#include <utility>

#include "engine/context.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/gemm_tile.h"
#include "layers/functional/linear.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Sizes {
  std::int64_t rows, in, out;
};
// 0 rows, ones, primes, one past a vector, sides that are cut into tiles with a rest, rows that are partitioned.
const std::vector<Sizes> kSizes = {{0, 3, 2},      {1, 1, 1},       {1, 5, 1},       {7, 1, 3},
                                   {13, 17, 33},   {129, 33, 65},   {300, 64, 1},    {517, 70, 301},
                                   {97, 200, 460}, {193, 301, 150}, {4700, 24, 130}, {4099, 40, 70}};

template <class T>
struct Linear {
  Sizes s;
  Buffer<T> x, w, dy;
  Buffer<float> b;
  explicit Linear(Sizes z)
      : s(z),
        x(Buffer<T>::random(z.rows * z.in, 1)),
        w(Buffer<T>::random(z.out * z.in, 2)),
        dy(Buffer<T>::random(z.rows * z.out, 3)),
        b(Buffer<float>::random(z.out, 4)) {}

  Buffer<T> forward(bool bias = true) const {
    Buffer<T> y(s.rows * s.out);
    kernels::cpu::linear_fwd<T>({.x = x.cspan(),
                                 .w = w.cspan(),
                                 .b = bias ? b.cspan() : Span<const float>(),
                                 .y = y.span(),
                                 .rows = s.rows,
                                 .in = s.in,
                                 .out = s.out});
    return y;
  }
  Buffer<T> backward_data(GradMode mode, Buffer<T> dx) const {
    kernels::cpu::linear_bwd_data<T>(
        {.dy = dy.cspan(), .w = w.cspan(), .dx = dx.span(), .dx_mode = mode, .rows = s.rows, .in = s.in, .out = s.out});
    return dx;
  }
  void backward_weight(GradMode mode, Buffer<float>& dw, Buffer<float>& db) const {
    Buffer<float> work(kernels::linear_bwd_weight_workspace(s.rows, s.in, s.out));
    kernels::cpu::linear_bwd_weight<T>({.dy = dy.cspan(),
                                        .x = x.cspan(),
                                        .dw = dw.span(),
                                        .db = db.span(),
                                        .dw_mode = mode,
                                        .db_mode = mode,
                                        .workspace = work.span(),
                                        .rows = s.rows,
                                        .in = s.in,
                                        .out = s.out});
    work.check_guards("workspace");
  }

  // References; `magnitude` holds the sum of absolute values, which is what f32 rounding errors scale with.
  struct Sum {
    std::vector<double> value, magnitude;
  };
  template <class F>
  static Sum sums(std::int64_t m, std::int64_t n, std::int64_t k, F&& term) {
    Sum r{std::vector<double>(std::size_t(m * n)), std::vector<double>(std::size_t(m * n))};
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t l = 0; l < k; ++l) {
          const double t = term(i, j, l);
          r.value[std::size_t(i * n + j)] += t, r.magnitude[std::size_t(i * n + j)] += std::abs(t);
        }
    return r;
  }
  Sum y() const {
    const Buffer<T>&X = x, &W = w;
    return sums(s.rows, s.out, s.in, [&](auto r, auto o, auto i) { return X[r * s.in + i] * W[o * s.in + i]; });
  }
  Sum dx() const {
    const Buffer<T>&D = dy, &W = w;
    return sums(s.rows, s.in, s.out, [&](auto r, auto i, auto o) { return D[r * s.out + o] * W[o * s.in + i]; });
  }
  Sum dw() const {
    const Buffer<T>&D = dy, &X = x;
    return sums(s.out, s.in, s.rows, [&](auto o, auto i, auto r) { return D[r * s.out + o] * X[r * s.in + i]; });
  }
  Sum db() const {
    const Buffer<T>& D = dy;
    return sums(1, s.out, s.rows, [&](auto, auto o, auto r) { return D[r * s.out + o]; });
  }
};

// |got - want| <= rtol |want| + 1e-6 (sum of absolute terms): a few f32 roundings of the largest partial sum.
template <class T, class Sum>
void expect_sum(const std::string& what, const Buffer<T>& got, const Sum& want, double offset = 0,
                double rtol = storage_rtol<T>()) {
  got.check_guards(what.c_str());
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const double w = want.value[std::size_t(i)] + offset, e = std::abs(got[i] - w);
    BF_CHECK(e <= rtol * std::abs(w) + 1e-6 * (want.magnitude[std::size_t(i)] + std::abs(offset)), what, "[", i,
             "] = ", got[i], ", expected ", w, " (seed ", seed(), ")");
  }
}

}  // namespace

TEST_CASE_TEMPLATE("linear: three passes against double, written and added", T, float, bf16) {
  for (const Sizes& s : kSizes) {
    CAPTURE(s.rows);
    CAPTURE(s.in);
    CAPTURE(s.out);
    const Linear<T> l(s);
    auto y = l.y();
    expect_sum("y without bias", l.forward(false), y);
    for (std::int64_t i = 0; i < s.rows * s.out; ++i) {
      const double b = std::as_const(l.b)[i % s.out];
      y.value[std::size_t(i)] += b, y.magnitude[std::size_t(i)] += std::abs(b);
    }
    expect_sum("y", l.forward(), y);

    const auto dx = l.dx();
    expect_sum("dx", l.backward_data(GradMode::write, Buffer<T>(s.rows * s.in)), dx);
    expect_sum("dx added", l.backward_data(GradMode::add, Buffer<T>(s.rows * s.in, 8)), dx, 8);
    expect_bitwise("dx skipped", l.backward_data(GradMode::skip, Buffer<T>(s.rows * s.in, 8)),
                   Buffer<T>(s.rows * s.in, 8));

    const auto dw = l.dw(), db = l.db();
    Buffer<float> gw(s.out * s.in), gb(s.out), aw(s.out * s.in, 8), ab(s.out, 8), kw(s.out * s.in, 8), kb(s.out, 8);
    l.backward_weight(GradMode::write, gw, gb);
    expect_sum("dw", gw, dw);
    expect_sum("db", gb, db);
    l.backward_weight(GradMode::add, aw, ab);
    expect_sum("dw added", aw, dw, 8);
    expect_sum("db added", ab, db, 8);
    l.backward_weight(GradMode::skip, kw, kb);
    expect_bitwise("dw skipped", kw, Buffer<float>(s.out * s.in, 8));
    expect_bitwise("db skipped", kb, Buffer<float>(s.out, 8));
  }
}

TEST_CASE_TEMPLATE("linear: one and two threads give the same bits", T, float, bf16) {
  const int before = omp_get_max_threads();
  for (const Sizes& s :
       {Sizes{517, 70, 301}, Sizes{5000, 24, 40}, Sizes{64, 768, 384}, Sizes{9000, 40, 40}, Sizes{3000, 40, 40}}) {
    const Linear<T> l(s);
    const auto all = [&](int threads) {
      omp_set_num_threads(threads);
      kernels::forget_gemm_plans();  // oneDNN looks at the number of threads when it plans, too
      Buffer<float> dw(s.out * s.in), db(s.out);
      l.backward_weight(GradMode::write, dw, db);
      CHECK(omp_get_max_threads() == threads);  // the guard around oneDNN puts the setting back
      return std::make_tuple(l.forward(), l.backward_data(GradMode::write, Buffer<T>(s.rows * s.in)), dw, db);
    };
    const auto one = all(1), two = all(2);
    omp_set_num_threads(before);
    expect_bitwise("y", std::get<0>(one), std::get<0>(two));
    expect_bitwise("dx", std::get<1>(one), std::get<1>(two));
    expect_bitwise("dw", std::get<2>(one), std::get<2>(two));
    expect_bitwise("db", std::get<3>(one), std::get<3>(two));
  }
}

TEST_CASE("linear: a bias gradient of many equal rows keeps its digits") {
  Linear<float> l({200000, 1, 3});
  for (std::int64_t i = 0; i < l.dy.size(); ++i) l.dy[i] = 300.1f;
  Buffer<float> dw(3), db(3);
  l.backward_weight(GradMode::write, dw, db);
  // Runs of 64 additions in f32 may lose 64 half-ulps; 200,000 in a row would lose a thousand times that.
  expect_close("db", db, std::vector<double>(3, 200000 * double(300.1f)), 64 * 0x1p-25, 0);
}

TEST_CASE("linear explains wrong arguments") {
  Buffer<float> x(6), w(8), y(6), b(3), dw(8), db(2);
  expect_throw("linear: w has 8 elements, expected [2, 3]", [&] {
    kernels::cpu::linear_fwd<float>({.x = x.cspan(), .w = w.cspan(), .y = y.span(), .rows = 2, .in = 3, .out = 2});
  });
  expect_throw("linear: b has 3 elements, expected [1, 4]", [&] {
    kernels::cpu::linear_fwd<float>(
        {.x = x.cspan(), .w = w.cspan(), .b = b.cspan(), .y = Buffer<float>(12).span(), .rows = 3, .in = 2, .out = 4});
  });
  expect_throw("workspace has 0 floats", [&] {
    kernels::cpu::linear_bwd_weight<float>({.dy = x.cspan(),
                                            .x = x.cspan(),
                                            .dw = Buffer<float>(4).span(),
                                            .db = db.span(),
                                            .rows = 3,
                                            .in = 2,
                                            .out = 2});
  });
  Context ctx;
  expect_throw("w [4, 5] does not take the last axis of x [2, 3]", [&] {
    fn::linear(Tensor::zeros(ctx, {2, 3}), Tensor::zeros(ctx, {4, 5}));
  });
  const std::int32_t v[] = {1, 2};
  expect_throw("linear: expected f32 or bf16", [&] {
    const Tensor t = Tensor::from_host(ctx, {1, 2}, std::span<const std::int32_t>(v));
    fn::linear(t, Tensor::from_host(ctx, {1, 2}, std::span<const std::int32_t>(v)));
  });
}

TEST_CASE("linear gradient check: every leaf, used twice; convolution weights are accepted by size") {
  Context ctx;
  const Tensor x = random_leaf(ctx, {2, 3, 5}, 1), w = random_leaf(ctx, {5, 5}, 2, 0, 0.4f),
               b = random_leaf(ctx, {5}, 3);
  check_gradients({x, w, b}, [&] { return fn::linear(fn::linear(x, w, b), w, b); });
  check_gradients({x, w}, [&] { return fn::linear(fn::linear(x, w), w); });

  const Tensor conv = random_leaf(ctx, {7, 5, 1, 1}, 4);
  const Tensor y = fn::linear(x, conv, {});
  CHECK(y.shape() == Shape{2, 3, 7});
  CHECK(y.to_host() == fn::linear(x, conv.reshape({7, 5})).to_host());
  check_gradients({x, conv}, [&] { return fn::linear(x, conv); });
  NoGrad guard(ctx);
  CHECK_FALSE(fn::linear(x, w, b).requires_grad());
}

TEST_CASE("linear: bf16 activations read the compute copy, parameter gradients stay f32") {
  Context ctx;
  Tensor w = random_leaf(ctx, {4, 3}, 1), b = random_leaf(ctx, {4}, 2);
  const Tensor zero = Tensor::zeros(ctx, {4, 3}, DType::bf16);
  w.set_compute_copy(zero);
  const std::vector<float> ones(6, 1.0f);
  Tensor x = Tensor::from_host(ctx, {2, 3}, std::span<const float>(ones), DType::bf16).require_grad();
  Tensor y = fn::linear(x, w, b);
  CHECK(y.dtype() == DType::bf16);
  const auto yv = y.to_host(), bv = b.to_host();
  for (int i = 0; i < 8; ++i) CHECK(yv[std::size_t(i)] == float(bf16(bv[std::size_t(i % 4)])));  // the copy is zero
  y.backward(Tensor::full(ctx, {2, 4}, 1, DType::bf16));
  CHECK(w.grad().dtype() == DType::f32);
  CHECK(w.grad().to_host() == std::vector<float>(12, 2.0f));
  CHECK(b.grad().to_host() == std::vector<float>(4, 2.0f));
  CHECK(x.grad().dtype() == DType::bf16);
  CHECK(x.grad().to_host() == std::vector<float>(6, 0.0f));
}
