// tests/kernels/test_avg_pool2d.cpp — the mean of each window against nested loops in double.
#include "kernels/avg_pool2d/avg_pool2d.h"
#include "layers/functional/avg_pool2d.h"
#include "tests/support/backend.h"
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
// No image; a pixel; overlap, padding, gaps; last windows that reach beyond the padding; channel counts around the
// vectors and beyond one turn of the CPU's loops.
const std::vector<Case> kCases = {
    {0, 4, 4, 3, {2, 2, 2, 2}},
    {1, 1, 1, 1, {}},
    {2, 5, 7, 10, {2, 2, 2, 2, 0, 0, true}},
    {1, 6, 5, 17, {3, 3, 2, 2, 0, 0, true}},
    {1, 7, 5, 33, {3, 2, 2, 1, 1, 1, false}},
    {2, 6, 6, 8, {3, 3, 1, 1, 1, 1, false}},
    {1, 7, 7, 24, {4, 4, 3, 3, 2, 1, true}},
    {1, 3, 4, 131, {3, 4, 1, 1, 0, 2, true}},
};

template <class T>
void reference(const Pool2d& p, bool include_pad, const Buffer<T>& x, const Buffer<T>& dy, std::vector<double>& y,
               std::vector<double>& dx) {
  y.assign(std::size_t(p.outputs()), 0.0), dx.assign(std::size_t(p.inputs()), 0.0);
  for (std::int64_t n = 0; n < p.N; ++n)
    for (std::int64_t o = 0; o < p.h.out; ++o)
      for (std::int64_t q = 0; q < p.w.out; ++q) {
        double cells = 0;
        for (const bool sum : {false, true})
          for (int k = 0; k < p.h.kernel; ++k)
            for (int l = 0; l < p.w.kernel; ++l) {
              const std::int64_t h = o * p.h.stride - p.h.pad + k, w = q * p.w.stride - p.w.pad + l;
              const bool inside = h >= 0 && h < p.h.in && w >= 0 && w < p.w.in;
              const bool padded = h < p.h.in + p.h.pad && w < p.w.in + p.w.pad;
              if (!sum) cells += include_pad ? padded : inside;
              if (!sum || !inside) continue;
              for (std::int64_t c = 0; c < p.C; ++c) {
                const std::int64_t from = ((n * p.h.in + h) * p.w.in + w) * p.C + c,
                                   to = ((n * p.h.out + o) * p.w.out + q) * p.C + c;
                y[std::size_t(to)] += x[from] / cells, dx[std::size_t(from)] += dy[to] / cells;
              }
            }
      }
}

template <class T>
Buffer<T> forward(const Pool2d& p, bool include_pad, const Buffer<T>& x) {
  Buffer<T> y(p.outputs());
  backend::avg_pool2d_fwd<T>({.x = x.cspan(), .y = y.span(), .count_include_pad = include_pad, .pool = p});
  return y;
}
template <class T>
Buffer<T> backward(const Pool2d& p, bool include_pad, const Buffer<T>& dy, GradMode mode, Buffer<T> dx) {
  backend::avg_pool2d_bwd<T>(
      {.dy = dy.cspan(), .dx = dx.span(), .dx_mode = mode, .count_include_pad = include_pad, .pool = p});
  return dx;
}

}  // namespace

TEST_CASE_TEMPLATE("avg_pool2d: both passes against double, with a large mean", T, float, bf16) {
  for_each_variant([] {
    for (const Case& s : kCases)
      for (const bool include_pad : {true, false}) {
        const Pool2d p = s.pool();
        const auto x = Buffer<T>::random(p.inputs(), 1, 300), dy = Buffer<T>::random(p.outputs(), 2);
        std::vector<double> y, dx;
        reference(p, include_pad, x, dy, y, dx);
        expect_close("y", forward(p, include_pad, x), y, 1e-6 + storage_rtol<T>(), 0);
        const double rtol = 1e-6 + storage_rtol<T>(), atol = 2e-6;
        expect_close("dx", backward(p, include_pad, dy, GradMode::write, Buffer<T>(p.inputs())), dx, rtol, atol);
        for (double& d : dx) d += 8;
        expect_close("dx added", backward(p, include_pad, dy, GradMode::add, Buffer<T>(p.inputs(), 8)), dx, rtol, atol);
        expect_bitwise("dx skipped", backward(p, include_pad, dy, GradMode::skip, Buffer<T>(p.inputs(), 8)),
                       Buffer<T>(p.inputs(), 8));
      }
  });
}

TEST_CASE_TEMPLATE("avg_pool2d: arrays that begin between vectors", T, float, bf16) {
  const Pool2d p = kernels::pool2d("test", 1, 4, 4, 8, {2, 2, 2, 2});
  const std::int64_t n = p.inputs(), m = p.outputs();
  const auto x = Buffer<T>::integers(n, 1), dy = Buffer<T>::integers(m, 2);
  const auto y = forward(p, true, x), dx = backward(p, true, dy, GradMode::write, Buffer<T>(n));
  for (const auto& [sx, sy] : {std::pair{1, 0}, std::pair{0, 1}}) {
    Buffer<T> x1(n + sx, 5), y1(m + sy, 5), dy1(m + sy, 5), dx1(n + sx, 5);
    for (std::int64_t i = 0; i < n; ++i) x1[i + sx] = x.cspan()[i];
    for (std::int64_t i = 0; i < m; ++i) dy1[i + sy] = dy.cspan()[i];
    backend::avg_pool2d_fwd<T>({.x = x1.cspan().slice(sx, n), .y = y1.span().slice(sy, m), .pool = p});
    backend::avg_pool2d_bwd<T>({.dy = dy1.cspan().slice(sy, m), .dx = dx1.span().slice(sx, n), .pool = p});
    for (std::int64_t i = 0; i < m; ++i) BF_CHECK(y1.cspan()[i + sy] == y.cspan()[i], "y ", i);
    for (std::int64_t i = 0; i < n; ++i) BF_CHECK(dx1.cspan()[i + sx] == dx.cspan()[i], "dx ", i);
    y1.check_guards("y"), dx1.check_guards("dx");
  }
}

TEST_CASE("avg_pool2d does not depend on the order of the work") {
  const Pool2d p = kernels::pool2d("test", 2, 9, 9, 20, {3, 3, 1, 1, 1, 1});
  const auto x = Buffer<float>::random(p.inputs(), 1), dy = Buffer<float>::random(p.outputs(), 2);
  expect_order_free([&] { return std::tuple{forward(p, true, x), backward(p, true, dy, GradMode::add, x)}; });
}

TEST_CASE("avg_pool2d gradient check") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {2, 5, 6, 3}, 1);
  check_gradients({x}, [&] { return fn::avg_pool2d(x, {3, 3, 2, 2, 1, 1, true}); });
  check_gradients({x}, [&] { return fn::avg_pool2d(x, {2, 3, 1, 2, 1, 1}, false); });
  const Tensor y = fn::avg_pool2d(Tensor::full(ctx, {1, 2, 2, 1}, 1.5f, DType::bf16), {2, 2, 2, 2, 1, 1});
  CHECK(y.dtype() == DType::bf16);
  CHECK(y.shape() == Shape{1, 2, 2, 1});
  CHECK(y.to_host() == std::vector<float>(4, 0.375f));  // one pixel and three zeros
}

TEST_CASE("avg_pool2d explains wrong arguments") {
  const Pool2d p = kernels::pool2d("test", 1, 2, 2, 3, {2, 2});
  Buffer<float> x(12), y(3), five(5);
  expect_throw("x has 5 elements, expected [1, 2, 2, 3]",
               [&] { backend::avg_pool2d_fwd<float>({.x = five.cspan(), .y = y.span(), .pool = p}); });
  expect_throw("y has 5 elements, expected [1, 1, 1, 3]",
               [&] { backend::avg_pool2d_fwd<float>({.x = x.cspan(), .y = five.span(), .pool = p}); });
  expect_throw("x has 5", [&] { backend::avg_pool2d_bwd<float>({.dy = y.cspan(), .dx = five.span(), .pool = p}); });
  Context ctx(device());
  expect_throw("expected [N, H, W, C]", [&] { fn::avg_pool2d(Tensor::zeros(ctx, {2, 3}), {2, 2}); });
  expect_throw("avg_pool2d: a window of 2 does not fit into 1", [&] {
    fn::avg_pool2d(Tensor::zeros(ctx, {2, 1, 3, 1}), {2, 2});
  });
}
