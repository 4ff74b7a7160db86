// tests/kernels/test_matmul.cpp — the three products of a linear layer against sums in double.
#include <utility>

#include "engine/context.h"
#include "kernels/matmul/gemm_tile.h"
#include "kernels/matmul/matmul.h"
#include "layers/functional/linear.h"
#include "tests/support/arrays.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Sizes {
  std::int64_t rows, in, out;
};
// 0 rows, ones, primes, one past a vector, sides that are cut into tiles with a rest, rows that are partitioned,
// columns that are whole vectors. The emulator is spared what only oneDNN's tiles are about.
const std::vector<Sizes> kSizes = [] {
  std::vector<Sizes> all = {{0, 3, 2},     {1, 1, 1},    {1, 5, 1},     {7, 1, 3},    {13, 17, 33},
                            {129, 33, 65}, {300, 64, 1}, {700, 9, 168}, {1100, 3, 40}};
  if (!kEmulated)
    for (const Sizes& s : {Sizes{517, 70, 301}, {97, 200, 460}, {193, 301, 150}, {4700, 24, 130}, {4099, 40, 70}})
      all.push_back(s);
  return all;
}();

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

  // Where the activations begin, in elements: at 1 they are nowhere aligned.
  std::int64_t offset = 0;

  Buffer<T> forward(bool bias = true) const {
    const Buffer<T> from = moved(x, offset);
    Buffer<T> y = moved(Buffer<T>(s.rows * s.out), offset);
    backend::linear_fwd<T>({.x = moved(from.cspan(), offset),
                            .w = w.cspan(),
                            .b = bias ? b.cspan() : Span<const float>(),
                            .y = moved(y.span(), offset),
                            .rows = s.rows,
                            .in = s.in,
                            .out = s.out});
    return moved_back(y, offset);
  }
  Buffer<T> backward_data(GradMode mode, const Buffer<T>& before) const {
    const Buffer<T> from = moved(dy, offset);
    Buffer<T> dx = moved(before, offset);
    backend::linear_bwd_data<T>({.dy = moved(from.cspan(), offset),
                                 .w = w.cspan(),
                                 .dx = moved(dx.span(), offset),
                                 .dx_mode = mode,
                                 .rows = s.rows,
                                 .in = s.in,
                                 .out = s.out});
    return moved_back(dx, offset);
  }
  void backward_weight(GradMode mode, Buffer<float>& dw, Buffer<float>& db) const {
    const Buffer<T> from = moved(dy, offset), with = moved(x, offset);
    Buffer<float> work(kernels::linear_bwd_weight_workspace(kBackend, s.rows, s.in, s.out));
    backend::linear_bwd_weight<T>({.dy = moved(from.cspan(), offset),
                                   .x = moved(with.cspan(), offset),
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
// added[i % size]: to every row.
template <class T, class Sum>
void expect_sum(const std::string& what, const Buffer<T>& got, const Sum& want, const std::vector<double>& added = {0},
                double rounded_before = 0) {
  got.check_guards(what.c_str());
  for (std::int64_t i = 0; i < got.size(); ++i) {
    const double sum = want.value[std::size_t(i)], plus = added[std::size_t(i) % added.size()], w = sum + plus;
    const double e = std::abs(got[i] - w), terms = want.magnitude[std::size_t(i)] + std::abs(plus);
    BF_CHECK(e <= storage_rtol<T>() * std::abs(w) + rounded_before * std::abs(sum) + 1e-6 * terms, what, "[", i,
             "] = ", got[i], ", expected ", w, " (seed ", seed(), ")");
  }
}

}  // namespace

TEST_CASE_TEMPLATE("linear: three passes against double, written and added", T, float, bf16) {
  for (const Sizes& s : kSizes)
    for (const std::int64_t offset : {0, 1}) {
      CAPTURE(s.rows);
      CAPTURE(s.in);
      CAPTURE(s.out);
      CAPTURE(offset);
      if (offset && s.rows * s.in * s.out > 2000000) continue;  // the other sizes have seen it
      Linear<T> l(s);
      l.offset = offset;
      const auto y = l.y(), dx = l.dx(), dw = l.dw(), db = l.db();
      std::vector<double> b;
      for (std::int64_t i = 0; i < s.out; ++i) b.push_back(std::as_const(l.b)[i]);
      for_each_variant([&] {
        expect_sum("y without bias", l.forward(false), y);
        // On CUDA the product is stored before the bias is added.
        expect_sum("y", l.forward(), y, b, kCuda && sizeof(T) == 2 ? 1.0 / 256 : 0);

        expect_sum("dx", l.backward_data(GradMode::write, Buffer<T>(s.rows * s.in)), dx);
        expect_sum("dx added", l.backward_data(GradMode::add, Buffer<T>(s.rows * s.in, 8)), dx, {8});
        expect_bitwise("dx skipped", l.backward_data(GradMode::skip, Buffer<T>(s.rows * s.in, 8)),
                       Buffer<T>(s.rows * s.in, 8));

        Buffer<float> gw(s.out * s.in), gb(s.out), aw(s.out * s.in, 8), ab(s.out, 8), kw(s.out * s.in, 8), kb(s.out, 8);
        l.backward_weight(GradMode::write, gw, gb);
        expect_sum("dw", gw, dw);
        expect_sum("db", gb, db);
        l.backward_weight(GradMode::add, aw, ab);
        expect_sum("dw added", aw, dw, {8});
        expect_sum("db added", ab, db, {8});
        l.backward_weight(GradMode::skip, kw, kb);
        expect_bitwise("dw skipped", kw, Buffer<float>(s.out * s.in, 8));
        expect_bitwise("db skipped", kb, Buffer<float>(s.out, 8));
      });
    }
}

TEST_CASE_TEMPLATE("linear does not depend on the order of the work", T, float, bf16) {
  const std::vector<Sizes> sizes =
      kEmulated ? std::vector<Sizes>{{517, 7, 301}, {3000, 4, 40}}
                : std::vector<Sizes>{{517, 70, 301}, {5000, 24, 40}, {64, 768, 384}, {9000, 40, 40}, {3000, 40, 40}};
  for (const Sizes& s : sizes) {
    const Linear<T> l(s);
    expect_order_free([&] {
      const int threads = omp_get_max_threads();
      if constexpr (!kCuda) kernels::forget_gemm_plans();  // oneDNN looks at the number of threads when it plans, too
      Buffer<float> dw(s.out * s.in), db(s.out);
      l.backward_weight(GradMode::write, dw, db);
      CHECK(omp_get_max_threads() == threads);  // the guard around oneDNN puts the setting back
      return std::tuple{l.forward(), l.backward_data(GradMode::write, Buffer<T>(s.rows * s.in)), dw, db};
    });
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
    backend::linear_fwd<float>({.x = x.cspan(), .w = w.cspan(), .y = y.span(), .rows = 2, .in = 3, .out = 2});
  });
  expect_throw("linear: b has 3 elements, expected [1, 4]", [&] {
    backend::linear_fwd<float>(
        {.x = x.cspan(), .w = w.cspan(), .b = b.cspan(), .y = Buffer<float>(12).span(), .rows = 3, .in = 2, .out = 4});
  });
  const Buffer<float> many(600);  // rows enough to be summed in parts, on every backend
  expect_throw("workspace has 0 floats", [&] {
    backend::linear_bwd_weight<float>({.dy = many.cspan(),
                                       .x = many.cspan(),
                                       .dw = Buffer<float>(4).span(),
                                       .db = db.span(),
                                       .rows = 300,
                                       .in = 2,
                                       .out = 2});
  });
  Context ctx(device());
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
  Context ctx(device());
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
  Context ctx(device());
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
