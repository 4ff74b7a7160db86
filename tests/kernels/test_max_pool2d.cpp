// tests/kernels/test_max_pool2d.cpp — the largest value of each window, and whose it was, against nested loops.
#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/max_pool2d/max_pool2d.h"
#include "layers/functional/max_pool2d.h"
#include "tests/support/backend.h"
#include "tests/support/bytes.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::Pool2d;
using kernels::Window2d;

namespace {

struct Case {
  std::int64_t N, H, W, C;
  Window2d window;
  Pool2d pool() const { return kernels::pool2d("test", N, H, W, C, window); }
};
// No image; a pixel; MTCNN's pools, rounded up; overlap, padding, gaps, windows as large as the image; channel counts
// around the vectors and beyond one turn of the CPU's loops.
const std::vector<Case> kCases = {
    {0, 4, 4, 3, {2, 2, 2, 2}},
    {1, 1, 1, 1, {}},
    {2, 5, 7, 10, {2, 2, 2, 2, 0, 0, true}},
    {1, 6, 5, 17, {3, 3, 2, 2, 0, 0, true}},
    {1, 7, 5, 33, {3, 2, 2, 1, 1, 1, false}},
    {2, 6, 6, 8, {3, 3, 1, 1, 1, 1, false}},
    {1, 7, 7, 24, {2, 2, 3, 3, 1, 1, true}},
    {1, 3, 4, 131, {3, 4, 1, 1, 0, 2, true}},
    {1, 16, 16, 5, {16, 16, 1, 1, 8, 8, false}},
};

// A window's cells in row-major order, the first of the largest; then every gradient to where its maximum was.
template <class T>
void reference(const Pool2d& p, const Buffer<T>& x, const Buffer<T>& dy, std::vector<double>& y,
               std::vector<double>& index, std::vector<double>& dx) {
  dx.assign(std::size_t(p.inputs()), 0.0);
  for (std::int64_t n = 0; n < p.N; ++n)
    for (std::int64_t o = 0; o < p.h.out; ++o)
      for (std::int64_t q = 0; q < p.w.out; ++q)
        for (std::int64_t c = 0; c < p.C; ++c) {
          double best = -std::numeric_limits<double>::infinity();
          std::int64_t from = -1, cell = -1;
          for (int k = 0; k < p.h.kernel; ++k)
            for (int l = 0; l < p.w.kernel; ++l) {
              const std::int64_t h = o * p.h.stride - p.h.pad + k, w = q * p.w.stride - p.w.pad + l;
              if (h < 0 || h >= p.h.in || w < 0 || w >= p.w.in) continue;
              const std::int64_t at = ((n * p.h.in + h) * p.w.in + w) * p.C + c;
              if (from < 0 || x[at] > best) best = x[at], from = at, cell = k * p.w.kernel + l;
            }
          y.push_back(best), index.push_back(double(cell));
          dx[std::size_t(from)] += dy[std::int64_t(y.size()) - 1];
        }
}

template <class T>
struct Result {
  Buffer<T> y, dx;
  Bytes index;
};
template <class T>
Result<T> run(const Pool2d& p, const Buffer<T>& x, const Buffer<T>& dy, GradMode mode, const Buffer<T>& start) {
  Result<T> r{Buffer<T>(p.outputs()), start, Bytes(p.outputs())};
  backend::max_pool2d_fwd<T>({.x = x.cspan(), .y = r.y.span(), .index = r.index.span(), .pool = p});
  backend::max_pool2d_bwd<T>(
      {.dy = dy.cspan(), .index = r.index.cspan(), .dx = r.dx.span(), .dx_mode = mode, .pool = p});
  return r;
}

}  // namespace

TEST_CASE_TEMPLATE("max_pool2d: both passes, with ties", T, float, bf16) {
  for_each_variant([] {
    for (const Case& s : kCases) {
      const Pool2d p = s.pool();
      // Small integers: many ties, exact sums. Negative ones only: a window that took a zero of the padding would show.
      const auto x = Buffer<T>::integers(p.inputs(), 1, -7, -1), dy = Buffer<T>::integers(p.outputs(), 2);
      std::vector<double> y, index, dx;
      reference(p, x, dy, y, index, dx);
      const auto r = run(p, x, dy, GradMode::write, Buffer<T>(p.inputs()));
      expect_close("y", r.y, y, 0, 1e-30);
      for (std::size_t i = 0; i < index.size(); ++i) CHECK(double(r.index[std::int64_t(i)]) == index[i]);
      r.index.check_guards("index");
      expect_close("dx", r.dx, dx, 0, 1e-30);
      for (double& d : dx) d += 8;
      expect_close("dx added", run(p, x, dy, GradMode::add, Buffer<T>(p.inputs(), 8)).dx, dx, 0, 1e-30);
      expect_bitwise("dx skipped", run(p, x, dy, GradMode::skip, Buffer<T>(p.inputs(), 8)).dx,
                     Buffer<T>(p.inputs(), 8));
      Buffer<T> alone(p.outputs());  // the same values where no index is wanted
      backend::max_pool2d_fwd<T>({.x = x.cspan(), .y = alone.span(), .pool = p});
      expect_bitwise("y without index", alone, r.y);
    }
  });
}

TEST_CASE("max_pool2d: infinities and NaN as PyTorch has them") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const Pool2d p = kernels::pool2d("test", 1, 1, 8, 1, {.kernel_w = 2, .stride_w = 2});
  Buffer<float> x(8), y(4), dy(4), dx(8);
  const std::vector<float> values{-inf, -inf, nan, 3, 3, nan, inf, nan};
  for (std::size_t i = 0; i < 8; ++i) x[std::int64_t(i)] = values[i];
  for (int i = 0; i < 4; ++i) dy[i] = float(i + 1);
  Bytes index(4);
  backend::max_pool2d_fwd<float>({.x = x.cspan(), .y = y.span(), .index = index.span(), .pool = p});
  backend::max_pool2d_bwd<float>({.dy = dy.cspan(), .index = index.cspan(), .dx = dx.span(), .pool = p});
  CHECK(y.cspan()[0] == -inf);
  for (int i = 1; i < 4; ++i) CHECK(std::isnan(y.cspan()[i]));
  const std::vector<double> want{1, 0, 2, 0, 0, 3, 0, 4};
  expect_close("dx", dx, want, 0, 0.1);
  // All cells -infinity, the first of them in the padding.
  const Pool2d padded = kernels::pool2d("test", 1, 1, 2, 1, {.kernel_w = 2, .stride_w = 2, .pad_w = 1});
  Buffer<float> low(2, -inf), d(2);
  Bytes two(2);
  Buffer<float> out(2), ones(2, 1);
  backend::max_pool2d_fwd<float>({.x = low.cspan(), .y = out.span(), .index = two.span(), .pool = padded});
  backend::max_pool2d_bwd<float>({.dy = ones.cspan(), .index = two.cspan(), .dx = d.span(), .pool = padded});
  expect_close("dx of -infinity", d, {1, 1}, 0, 1e-30);
}

TEST_CASE_TEMPLATE("max_pool2d: arrays that begin between vectors", T, float, bf16) {
  const Pool2d p = kernels::pool2d("test", 1, 4, 4, 8, {3, 3, 2, 2, 1, 1});
  const std::int64_t n = p.inputs(), m = p.outputs();
  const auto x = Buffer<T>::integers(n, 1), dy = Buffer<T>::integers(m, 2);
  const auto want = run(p, x, dy, GradMode::write, Buffer<T>(n));
  for (int shifted = 0; shifted < 4; ++shifted) {  // x, y, index, dx; dy with y
    const std::int64_t sx = shifted == 0, sy = shifted == 1, si = shifted == 2, sd = shifted == 3;
    Buffer<T> x1(n + sx, 5), y(m + sy, 5), dy1(m + sy, 5), dx(n + sd, 5);
    Bytes index(m + si);
    for (std::int64_t i = 0; i < n; ++i) x1[i + sx] = x.cspan()[i];
    for (std::int64_t i = 0; i < m; ++i) dy1[i + sy] = dy.cspan()[i];
    backend::max_pool2d_fwd<T>(
        {.x = x1.cspan().slice(sx, n), .y = y.span().slice(sy, m), .index = index.span().slice(si, m), .pool = p});
    backend::max_pool2d_bwd<T>(
        {.dy = dy1.cspan().slice(sy, m), .index = index.cspan().slice(si, m), .dx = dx.span().slice(sd, n), .pool = p});
    for (std::int64_t i = 0; i < m; ++i) BF_CHECK(y.cspan()[i + sy] == want.y.cspan()[i], "y ", shifted, " ", i);
    for (std::int64_t i = 0; i < n; ++i) BF_CHECK(dx.cspan()[i + sd] == want.dx.cspan()[i], "dx ", shifted, " ", i);
    y.check_guards("y"), dx.check_guards("dx");
  }
}

TEST_CASE("max_pool2d does not depend on the order of the work") {
  const Pool2d p = kernels::pool2d("test", 2, 9, 9, 20, {3, 3, 1, 1, 1, 1});
  const auto x = Buffer<float>::random(p.inputs(), 1), dy = Buffer<float>::random(p.outputs(), 2);
  expect_order_free([&] {
    const auto r = run(p, x, dy, GradMode::add, x);
    return std::tuple{r.y, r.dx};
  });
}

TEST_CASE("max_pool2d gradient check; nothing is kept where no gradient is wanted") {
  Context ctx(device());
  Tensor x = random_leaf(ctx, {2, 5, 6, 3}, 1);
  std::vector<float> v(std::size_t(x.numel()));
  std::iota(v.begin(), v.end(), 0.0f);  // far enough apart that a difference quotient changes no maximum
  std::shuffle(v.begin(), v.end(), std::mt19937(seed()));
  for (float& f : v) f = f * 0.1f - 9;
  x.copy_from_host(v);
  check_gradients({x}, [&] { return fn::max_pool2d(x, {3, 3, 2, 2, 1, 1, true}); });
  check_gradients({x}, [&] { return fn::max_pool2d(x, {2, 3, 1, 2}); });
  CHECK(fn::max_pool2d(x, {3, 3, 2, 2, 0, 0, true}).shape() == Shape{2, 2, 3, 3});
  const Tensor half = fn::max_pool2d(Tensor::full(ctx, {1, 2, 2, 1}, -1.5f, DType::bf16), {2, 2, 2, 2});
  CHECK(half.dtype() == DType::bf16);
  CHECK(half.to_host() == std::vector<float>{-1.5f});
  const Tensor large = Tensor::full(ctx, {1, 17, 17, 1}, 2);
  CHECK(fn::max_pool2d(large, {17, 17}).to_host() == std::vector<float>{2});
}

TEST_CASE("max_pool2d explains wrong arguments") {
  const Pool2d p = kernels::pool2d("test", 1, 2, 2, 3, {2, 2});
  Buffer<float> x(12), y(3), five(5);
  Bytes index(3), two(2);
  expect_throw("x has 5 elements, expected [1, 2, 2, 3]",
               [&] { backend::max_pool2d_fwd<float>({.x = five.cspan(), .y = y.span(), .pool = p}); });
  expect_throw("y has 5 elements, expected [1, 1, 1, 3]",
               [&] { backend::max_pool2d_fwd<float>({.x = x.cspan(), .y = five.span(), .pool = p}); });
  expect_throw("index of 2 elements, expected 3", [&] {
    backend::max_pool2d_fwd<float>({.x = x.cspan(), .y = y.span(), .index = two.span(), .pool = p});
  });
  expect_throw("index of 2", [&] {
    backend::max_pool2d_bwd<float>({.dy = y.cspan(), .index = two.cspan(), .dx = x.span(), .pool = p});
  });
  expect_throw("x has 5", [&] {
    backend::max_pool2d_bwd<float>({.dy = y.cspan(), .index = index.cspan(), .dx = five.span(), .pool = p});
  });
  Context ctx(device());
  expect_throw("expected [N, H, W, C]", [&] { fn::max_pool2d(Tensor::zeros(ctx, {2, 3}), {2, 2}); });
  expect_throw("max_pool2d: a window of 2 does not fit into 1", [&] {
    fn::max_pool2d(Tensor::zeros(ctx, {2, 1, 3, 1}), {2, 2});
  });
  const Tensor leaf = random_leaf(ctx, {1, 17, 17, 1}, 1);
  expect_throw("a window of 17 x 17 cells has no gradient", [&] { fn::max_pool2d(leaf, {17, 17}); });
}
