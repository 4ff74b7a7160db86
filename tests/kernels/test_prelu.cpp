// tests/kernels/test_prelu.cpp — x above zero, slope x below; a slope for each channel or one for all.
#include <array>
#include <limits>

#include "kernels/prelu/prelu.h"
#include "layers/functional/prelu.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

template <class T>
struct Result {
  Buffer<T> y, dx;
  Buffer<float> dslope;
};
// Elements by which arrays are shifted, so that they do not begin where a vector may.
struct Shift {
  std::int64_t x = 0, dy = 0, y = 0, dx = 0;
};
template <class T>
Result<T> run(const Buffer<T>& x, const Buffer<T>& dy, const Buffer<float>& slope, std::int64_t rows, std::int64_t C,
              std::array<GradMode, 2> modes = {GradMode::write, GradMode::write}, float start = 5, Shift by = {}) {
  const std::int64_t n = rows * C;
  Result<T> r{Buffer<T>(n + by.y, start), Buffer<T>(n + by.dx, start), Buffer<float>(slope.size(), start)};
  Buffer<T> x1(n + by.x, start), dy1(n + by.dy, start);
  for (std::int64_t i = 0; i < n; ++i) x1[i + by.x] = x.cspan()[i], dy1[i + by.dy] = dy.cspan()[i];
  Buffer<float> work(modes[1] == GradMode::skip ? 0 : kernels::prelu_bwd_workspace(rows, C));
  backend::prelu_fwd<T>(
      {.x = x1.cspan().slice(by.x, n), .slope = slope.cspan(), .y = r.y.span().slice(by.y, n), .rows = rows, .C = C});
  backend::prelu_bwd<T>({.dy = dy1.cspan().slice(by.dy, n),
                         .x = x1.cspan().slice(by.x, n),
                         .slope = slope.cspan(),
                         .dx = r.dx.span().slice(by.dx, n),
                         .dslope = r.dslope.span(),
                         .dx_mode = modes[0],
                         .dslope_mode = modes[1],
                         .workspace = work.span(),
                         .rows = rows,
                         .C = C});
  work.check_guards("workspace");
  return r;
}

struct Ref {
  std::vector<double> y, dx, dslope;
};
template <class T>
Ref reference(const Buffer<T>& x, const Buffer<T>& dy, const Buffer<float>& slope, std::int64_t rows, std::int64_t C) {
  Ref r{{}, {}, std::vector<double>(std::size_t(slope.size()))};
  for (std::int64_t i = 0; i < rows * C; ++i) {
    const std::int64_t s = slope.size() == 1 ? 0 : i % C;
    r.y.push_back(x[i] > 0 ? x[i] : slope[s] * x[i]);
    r.dx.push_back(x[i] > 0 ? dy[i] : slope[s] * dy[i]);
    if (!(x[i] > 0)) r.dslope[std::size_t(s)] += dy[i] * x[i];
  }
  return r;
}

// No rows, one value, a prime, one past a vector, several pieces of the rows, more channels than a turn of the CPU's
// loops, more than a strip of CUDA's.
const std::pair<std::int64_t, std::int64_t> kShapes[] = {{0, 8},  {1, 1},  {300, 1}, {31, 7},
                                                         {9, 17}, {5, 33}, {520, 8}, {3, 261}};

}  // namespace

TEST_CASE_TEMPLATE("prelu: both passes against double, a slope for each channel and one for all", T, float, bf16) {
  for_each_variant([] {
    for (const auto& [rows, C] : kShapes)
      for (const std::int64_t slopes : {C, std::int64_t(1)}) {
        auto x = Buffer<T>::random(rows * C, 1);
        if (rows * C > 2) x[2] = T(0.0f);
        const auto dy = Buffer<T>::random(rows * C, 2);
        const auto slope = Buffer<float>::random(slopes, 3, 0.25f, 0.1f);
        const Ref want = reference<T>(x, dy, slope, rows, C);
        const auto got = run(x, dy, slope, rows, C);
        const std::string at = str("rows=", rows, " C=", C, " slopes=", slopes, " ");
        const double rtol = 2e-7 + storage_rtol<T>();
        expect_close(at + "y", got.y, want.y, rtol, 1e-30);
        expect_close(at + "dx", got.dx, want.dx, rtol, 1e-30);
        expect_close(at + "dslope", got.dslope, want.dslope, 2e-5, 2e-5);
      }
  });
}

TEST_CASE_TEMPLATE("prelu: arrays that begin between vectors", T, float, bf16) {
  const std::int64_t rows = 21, C = 8;
  const auto x = Buffer<T>::random(rows * C, 1), dy = Buffer<T>::random(rows * C, 2);
  const auto slope = Buffer<float>::random(C, 3);
  const auto want = run(x, dy, slope, rows, C);
  for (const Shift& by : {Shift{.x = 1}, Shift{.dy = 1}, Shift{.y = 1}, Shift{.dx = 1}}) {
    const auto got = run(x, dy, slope, rows, C, {GradMode::write, GradMode::write}, 5, by);
    for (std::int64_t i = 0; i < rows * C; ++i)
      BF_CHECK(got.y.cspan()[i + by.y] == want.y.cspan()[i] && got.dx.cspan()[i + by.dx] == want.dx.cspan()[i],
               "element ", i);
    got.y.check_guards("y"), got.dx.check_guards("dx");
    expect_bitwise("dslope", got.dslope, want.dslope);
  }
}

TEST_CASE_TEMPLATE("prelu adds to, or leaves alone, what is in a gradient", T, float, bf16) {
  using enum GradMode;
  const std::int64_t rows = 19, C = 6;
  const auto x = Buffer<T>::random(rows * C, 1), dy = Buffer<T>::random(rows * C, 2);
  for (const std::int64_t slopes : {C, std::int64_t(1)}) {
    const auto slope = Buffer<float>::random(slopes, 3);
    const Ref want = reference(x, dy, slope, rows, C);
    for (const auto& modes : {std::array{add, add}, {skip, write}, {write, skip}, {skip, add}, {skip, skip}}) {
      const auto got = run(x, dy, slope, rows, C, modes, 10);
      const auto expect = [&](const char* what, const auto& b, std::vector<double> v, GradMode m, double rtol) {
        for (double& e : v) e = m == skip ? 10 : m == add ? e + 10 : e;
        expect_close(what, b, v, 1e-5 + rtol, 1e-5);
      };
      expect("dx", got.dx, want.dx, modes[0], storage_rtol<T>());
      expect("dslope", got.dslope, want.dslope, modes[1], 0);
    }
  }
}

TEST_CASE("prelu: zero has the slope, NaN and infinity pass") {
  const float inf = std::numeric_limits<float>::infinity();
  Buffer<float> x(5), dy(5, 2), slope(1, 0.5f);
  const std::vector<float> values{0, -0.0f, std::nanf(""), inf, -inf};
  for (int i = 0; i < 5; ++i) x[i] = values[std::size_t(i)];
  const auto r = run(x, dy, slope, 5, 1, {GradMode::write, GradMode::skip});
  CHECK(std::isnan(r.y.cspan()[2]));
  CHECK(r.y.cspan()[3] == inf);
  CHECK(r.y.cspan()[4] == -inf);
  expect_close("dx", r.dx, {1, 1, 1, 2, 1}, 0, 0.0001);
}

TEST_CASE_TEMPLATE("prelu does not depend on the order of the work", T, float, bf16) {
  const std::int64_t rows = kEmulated ? 530 : 3001, C = kEmulated ? 9 : 24;
  const auto x = Buffer<T>::random(rows * C, 1), dy = Buffer<T>::random(rows * C, 2);
  for (const std::int64_t slopes : {C, std::int64_t(1)}) {
    const auto slope = Buffer<float>::random(slopes, 3);
    expect_order_free([&] {
      const auto r = run(x, dy, slope, rows, C);
      return std::tuple{r.y, r.dx, r.dslope};
    });
  }
}

TEST_CASE("prelu gradient check, and wrong arguments explained") {
  Context ctx(device());
  Tensor x = random_leaf(ctx, {2, 3, 4, 5}, 1);
  auto v = x.to_host();
  for (float& f : v) f += f < 0 ? -0.2f : 0.2f;  // a difference quotient must not cross the corner
  x.copy_from_host(v);
  const Tensor each = random_leaf(ctx, {5}, 2, 0.3f, 0.1f), one = random_leaf(ctx, {1}, 3, 0.3f, 0.1f);
  check_gradients({x, each}, [&] { return fn::prelu(x, each); });
  check_gradients({x, one}, [&] { return fn::prelu(x, one); });
  const Tensor frozen = Tensor::full(ctx, {5}, 0.25f);  // no gradient of the slope, no workspace
  check_gradients({x}, [&] { return fn::prelu(x, frozen); });

  expect_throw("4 slopes for 5 channels", [&] { fn::prelu(x, Tensor::zeros(ctx, {4})); });
  expect_throw("expected [..., C]", [&] { fn::prelu(Tensor::zeros(ctx, {4, 0}), one); });
  Buffer<float> a(4), b(5), s(2), work(3);
  expect_throw("y has 5 elements, expected [2, 2]", [&] {
    backend::prelu_fwd<float>({.x = a.cspan(), .slope = s.cspan(), .y = b.span(), .rows = 2, .C = 2});
  });
  expect_throw("workspace of 3 floats, expected 4", [&] {
    backend::prelu_bwd<float>({.dy = a.cspan(),
                               .x = a.cspan(),
                               .slope = s.cspan(),
                               .dx = a.span(),
                               .dslope = s.span(),
                               .workspace = work.span(),
                               .rows = 2,
                               .C = 2});
  });
  expect_throw("dslope 3, slope 2", [&] {
    backend::prelu_bwd<float>({.dy = a.cspan(),
                               .x = a.cspan(),
                               .slope = s.cspan(),
                               .dx = a.span(),
                               .dslope = work.span(),
                               .workspace = work.span(),
                               .rows = 2,
                               .C = 2});
  });
  expect_throw("dy has 5", [&] {
    backend::prelu_bwd<float>({.dy = b.cspan(), .x = a.cspan(), .slope = s.cspan(), .dx = a.span(), .rows = 2, .C = 2});
  });
  expect_throw("dx has 5", [&] {
    backend::prelu_bwd<float>({.dy = a.cspan(), .x = a.cspan(), .slope = s.cspan(), .dx = b.span(), .rows = 2, .C = 2});
  });
}
