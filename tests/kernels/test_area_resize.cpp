// tests/kernels/test_area_resize.cpp — the mean of the pixels that a pixel touches, against nested loops in double.
#include "kernels/area_resize/area_resize.h"
#include "layers/functional/area_resize.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Sizes {
  std::int64_t N;
  int H, W, C, OH, OW;
  std::int64_t in() const { return N * H * W * C; }
  std::int64_t out() const { return N * OH * OW * C; }
};
// No image; a pixel; to one pixel and from one; halves; neither side divides the other; larger; the same; channel
// counts around the vectors.
const std::vector<Sizes> kSizes = {{0, 4, 4, 3, 2, 2},  {1, 1, 1, 1, 1, 1},  {2, 7, 5, 17, 1, 1},
                                   {1, 1, 1, 33, 3, 2}, {2, 8, 6, 3, 4, 3},  {1, 11, 13, 3, 7, 5},
                                   {1, 5, 4, 8, 7, 9},  {2, 3, 5, 24, 3, 5}, {1, 9, 2, 131, 2, 3}};

// Output pixel o covers [o, o + 1) H / OH of the axis: every input it overlaps counts the same.
template <class T>
void reference(const Sizes& s, const Buffer<T>& x, const Buffer<T>& dy, std::vector<double>& y,
               std::vector<double>& dx) {
  const auto touches = [](int i, int in, int o, int out) { return i * out < (o + 1) * in && o * in < (i + 1) * out; };
  y.assign(std::size_t(s.out()), 0.0), dx.assign(std::size_t(s.in()), 0.0);
  for (std::int64_t n = 0; n < s.N; ++n)
    for (int o = 0; o < s.OH; ++o)
      for (int q = 0; q < s.OW; ++q) {
        double pixels = 0;
        for (const bool sum : {false, true})
          for (int h = 0; h < s.H; ++h)
            for (int w = 0; w < s.W; ++w) {
              if (!touches(h, s.H, o, s.OH) || !touches(w, s.W, q, s.OW)) continue;
              if (!sum) ++pixels;
              for (int c = 0; sum && c < s.C; ++c) {
                const std::int64_t from = ((n * s.H + h) * s.W + w) * s.C + c,
                                   to = ((n * s.OH + o) * s.OW + q) * s.C + c;
                y[std::size_t(to)] += x[from] / pixels, dx[std::size_t(from)] += dy[to] / pixels;
              }
            }
      }
}

template <class T>
Buffer<T> forward(const Sizes& s, const Buffer<T>& x) {
  Buffer<T> y(s.out());
  backend::area_resize_fwd<T>(
      {.x = x.cspan(), .y = y.span(), .N = s.N, .H = s.H, .W = s.W, .C = s.C, .OH = s.OH, .OW = s.OW});
  return y;
}
template <class T>
Buffer<T> backward(const Sizes& s, const Buffer<T>& dy, GradMode mode, Buffer<T> dx) {
  backend::area_resize_bwd<T>({.dy = dy.cspan(),
                               .dx = dx.span(),
                               .dx_mode = mode,
                               .N = s.N,
                               .H = s.H,
                               .W = s.W,
                               .C = s.C,
                               .OH = s.OH,
                               .OW = s.OW});
  return dx;
}

}  // namespace

TEST_CASE_TEMPLATE("area_resize: both passes against double, with a large mean", T, float, bf16) {
  for_each_variant([] {
    for (const Sizes& s : kSizes) {
      const auto x = Buffer<T>::random(s.in(), 1, 300), dy = Buffer<T>::random(s.out(), 2);
      std::vector<double> y, dx;
      reference(s, x, dy, y, dx);
      const double rtol = 1e-6 + storage_rtol<T>();
      expect_close("y", forward(s, x), y, rtol, 0);
      expect_close("dx", backward(s, dy, GradMode::write, Buffer<T>(s.in())), dx, rtol, 2e-6);
      for (double& d : dx) d += 8;
      expect_close("dx added", backward(s, dy, GradMode::add, Buffer<T>(s.in(), 8)), dx, rtol, 2e-6);
      expect_bitwise("dx skipped", backward(s, dy, GradMode::skip, Buffer<T>(s.in(), 8)), Buffer<T>(s.in(), 8));
    }
  });
}

TEST_CASE("area_resize: large bins keep a large mean") {  // 4225 values in one sum
  const Sizes s{1, 65, 65, 1, 1, 1};
  const auto x = Buffer<float>::random(s.in(), 1, 300);
  double mean = 0;
  for (std::int64_t i = 0; i < s.in(); ++i) mean += x[i] / double(s.in());
  expect_close("y", forward(s, x), {mean}, 1e-6, 0);
}

TEST_CASE_TEMPLATE("area_resize: arrays that begin between vectors", T, float, bf16) {
  const Sizes s{1, 4, 3, 8, 2, 2};
  const std::int64_t n = s.in(), m = s.out();
  const auto x = Buffer<T>::integers(n, 1), dy = Buffer<T>::integers(m, 2);
  const auto y = forward(s, x), dx = backward(s, dy, GradMode::write, Buffer<T>(n));
  for (const auto& [sx, sy] : {std::pair{1, 0}, std::pair{0, 1}}) {
    Buffer<T> x1(n + sx, 5), y1(m + sy, 5), dy1(m + sy, 5), dx1(n + sx, 5);
    for (std::int64_t i = 0; i < n; ++i) x1[i + sx] = x.cspan()[i];
    for (std::int64_t i = 0; i < m; ++i) dy1[i + sy] = dy.cspan()[i];
    backend::area_resize_fwd<T>({.x = x1.cspan().slice(sx, n),
                                 .y = y1.span().slice(sy, m),
                                 .N = s.N,
                                 .H = s.H,
                                 .W = s.W,
                                 .C = s.C,
                                 .OH = s.OH,
                                 .OW = s.OW});
    backend::area_resize_bwd<T>({.dy = dy1.cspan().slice(sy, m),
                                 .dx = dx1.span().slice(sx, n),
                                 .N = s.N,
                                 .H = s.H,
                                 .W = s.W,
                                 .C = s.C,
                                 .OH = s.OH,
                                 .OW = s.OW});
    for (std::int64_t i = 0; i < m; ++i) BF_CHECK(y1.cspan()[i + sy] == y.cspan()[i], "y ", i);
    for (std::int64_t i = 0; i < n; ++i) BF_CHECK(dx1.cspan()[i + sx] == dx.cspan()[i], "dx ", i);
    y1.check_guards("y"), dx1.check_guards("dx");
  }
}

TEST_CASE("area_resize does not depend on the order of the work") {
  const Sizes s = kEmulated ? Sizes{2, 11, 13, 5, 7, 17} : Sizes{4, 300, 397, 3, 100, 150};  // for two threads to meet
  const auto x = Buffer<float>::random(s.in(), 1), dy = Buffer<float>::random(s.out(), 2);
  expect_order_free([&] { return std::tuple{forward(s, x), backward(s, dy, GradMode::add, x)}; });
}

TEST_CASE("area_resize gradient check; the same size changes nothing") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {2, 5, 6, 3}, 1);
  check_gradients({x}, [&] { return fn::area_resize(x, 3, 4); });
  check_gradients({x}, [&] { return fn::area_resize(x, 7, 4); });
  CHECK(fn::area_resize(x, 5, 6).to_host() == x.to_host());
  const Tensor y = fn::area_resize(Tensor::full(ctx, {1, 2, 3, 1}, 1.5f, DType::bf16), 1, 2);
  CHECK(y.dtype() == DType::bf16);
  CHECK(y.to_host() == std::vector<float>(2, 1.5f));
}

TEST_CASE("area_resize explains wrong arguments") {
  Buffer<float> x(12), y(3), five(5);
  expect_throw("x has 5 elements, expected [1, 2, 2, 3]", [&] {
    backend::area_resize_fwd<float>(
        {.x = five.cspan(), .y = y.span(), .N = 1, .H = 2, .W = 2, .C = 3, .OH = 1, .OW = 1});
  });
  expect_throw("y has 5 elements, expected [1, 1, 1, 3]", [&] {
    backend::area_resize_fwd<float>(
        {.x = x.cspan(), .y = five.span(), .N = 1, .H = 2, .W = 2, .C = 3, .OH = 1, .OW = 1});
  });
  expect_throw("x has 5", [&] {
    backend::area_resize_bwd<float>(
        {.dy = y.cspan(), .dx = five.span(), .N = 1, .H = 2, .W = 2, .C = 3, .OH = 1, .OW = 1});
  });
  expect_throw("to 0 x 1", [&] {
    backend::area_resize_fwd<float>({.x = x.cspan(), .y = y.span(), .N = 1, .H = 2, .W = 2, .C = 3, .OW = 1});
  });
  expect_throw("expected sides up to 65535",
               [&] { backend::area_resize_fwd<float>({.N = 0, .H = 65536, .W = 2, .C = 3, .OH = 1, .OW = 1}); });
  Context ctx(device());
  expect_throw("expected [N, H, W, C]", [&] { fn::area_resize(Tensor::zeros(ctx, {2, 3}), 1, 1); });
  expect_throw("and 0 x 2", [&] { fn::area_resize(Tensor::zeros(ctx, {2, 3, 3, 1}), 0, 2); });
  expect_throw("got [2, 0, 3, 1]", [&] { fn::area_resize(Tensor::zeros(ctx, {2, 0, 3, 1}), 1, 1); });
}
