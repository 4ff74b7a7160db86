// tests/host/test_patchify.cpp — patches against the index formula, and the convolution they stand for.
#include "engine/context.h"
#include "kernels/patchify/patchify.h"
#include "layers/functional/linear.h"
#include "layers/functional/patchify.h"
#include "tests/support/gradcheck.h"
#include "tests/support/threads.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Sizes {
  std::int64_t N, H, W, C, k;
  std::int64_t image() const { return N * H * W * C; }
  std::int64_t patches() const { return N * (H / k) * (W / k) * C * k * k; }
};
// No image, one pixel, exact fits, rests below and to the right, an image smaller than a patch, one past a vector.
const std::vector<Sizes> kSizes = {{0, 4, 4, 3, 4},  {1, 1, 1, 1, 1},  {2, 8, 12, 3, 4}, {1, 11, 9, 3, 4},
                                   {3, 6, 4, 17, 2}, {2, 7, 5, 33, 2}, {1, 3, 8, 2, 4},  {1, 5, 7, 40, 3}};

template <class T>
Buffer<T> forward(const Sizes& s, const Buffer<T>& x) {
  Buffer<T> y(s.patches());
  kernels::cpu::patchify_fwd<T>({.x = x.cspan(), .y = y.span(), .N = s.N, .H = s.H, .W = s.W, .C = s.C, .k = s.k});
  return y;
}
template <class T>
Buffer<T> backward(const Sizes& s, const Buffer<T>& dy, GradMode mode, Buffer<T> dx) {
  kernels::cpu::patchify_bwd<T>(
      {.dy = dy.cspan(), .dx = dx.span(), .dx_mode = mode, .N = s.N, .H = s.H, .W = s.W, .C = s.C, .k = s.k});
  return dx;
}

// Calls f(index in the patches, index in the image) by the formula of the header.
template <class F>
void for_each(const Sizes& s, F&& f) {
  for (std::int64_t n = 0; n < s.N; ++n)
    for (std::int64_t i = 0; i < s.H / s.k; ++i)
      for (std::int64_t j = 0; j < s.W / s.k; ++j)
        for (std::int64_t c = 0; c < s.C; ++c)
          for (std::int64_t u = 0; u < s.k; ++u)
            for (std::int64_t v = 0; v < s.k; ++v)
              f((((n * (s.H / s.k) + i) * (s.W / s.k) + j) * s.C + c) * s.k * s.k + u * s.k + v,
                ((n * s.H + i * s.k + u) * s.W + j * s.k + v) * s.C + c);
}

}  // namespace

TEST_CASE_TEMPLATE("patchify: both passes by the index formula", T, float, bf16) {
  for (const Sizes& s : kSizes) {
    const auto x = Buffer<T>::random(s.image(), 1), dy = Buffer<T>::random(s.patches(), 2);
    std::vector<double> y(std::size_t(s.patches())), dx(std::size_t(s.image()), 0.0);
    for_each(s, [&](std::int64_t patch, std::int64_t pixel) {
      y[std::size_t(patch)] = x[pixel], dx[std::size_t(pixel)] = dy[patch];
    });
    expect_close("y", forward(s, x), y, 0, 1e-30);
    expect_close("dx", backward(s, dy, GradMode::write, Buffer<T>(s.image())), dx, 0, 1e-30);
    for (double& d : dx) d += 8;
    expect_close("dx added", backward(s, dy, GradMode::add, Buffer<T>(s.image(), 8)), dx, 1e-6 + storage_rtol<T>(), 0);
    expect_bitwise("dx skipped", backward(s, dy, GradMode::skip, Buffer<T>(s.image(), 8)), Buffer<T>(s.image(), 8));
  }
}

TEST_CASE("patchify: one and two threads give the same bits") {
  const Sizes s{3, 9, 12, 5, 2};
  const auto x = Buffer<float>::random(s.image(), 1), dy = Buffer<float>::random(s.patches(), 2);
  const auto [y1, y2] = with_one_and_two_threads([&] { return forward(s, x); });
  expect_bitwise("y", y1, y2);
  const auto [d1, d2] =
      with_one_and_two_threads([&] { return backward(s, dy, GradMode::add, Buffer<float>(s.image(), 1)); });
  expect_bitwise("dx", d1, d2);
}

TEST_CASE("linear on patches is the convolution of a [out, C, k, k] weight") {
  Context ctx;
  const std::int64_t C = 3, k = 4, out = 5, H = 9, W = 8;
  const Tensor x = random_leaf(ctx, {2, H, W, C}, 1), w = random_leaf(ctx, {out, C, k, k}, 2),
               b = random_leaf(ctx, {out}, 3);
  const Tensor y = fn::linear(fn::patchify(x, int(k)), w, b);
  CHECK(y.shape() == Shape{2, H / k, W / k, out});
  const auto xs = x.cspan(), ws = w.cspan(), bs = b.cspan();
  std::vector<double> want;
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t i = 0; i < H / k; ++i)
      for (std::int64_t j = 0; j < W / k; ++j)
        for (std::int64_t o = 0; o < out; ++o) {
          double sum = bs[o];
          for (std::int64_t c = 0; c < C; ++c)
            for (std::int64_t u = 0; u < k; ++u)
              for (std::int64_t v = 0; v < k; ++v)
                sum += double(ws[((o * C + c) * k + u) * k + v]) * xs[((n * H + i * k + u) * W + j * k + v) * C + c];
          want.push_back(sum);
        }
  expect_close("y", y.to_host(), want, 1e-5, 1e-5);
  check_gradients({x, w, b}, [&] { return fn::linear(fn::patchify(x, int(k)), w, b); });
}

TEST_CASE("patchify gradient check, a leaf used twice") {
  Context ctx;
  const Tensor x = random_leaf(ctx, {2, 5, 6, 3}, 1);
  check_gradients({x}, [&] { return fn::patchify(fn::patchify(x, 2), 2); });
}

TEST_CASE("patchify explains wrong arguments") {
  Buffer<float> x(3), y(12);
  expect_throw("image of 3 elements, expected [1, 2, 2, 3]", [&] {
    kernels::cpu::patchify_fwd<float>({.x = x.cspan(), .y = y.span(), .N = 1, .H = 2, .W = 2, .C = 3, .k = 2});
  });
  expect_throw("patches of 3 elements, expected [1, 1, 1, 12]", [&] {
    kernels::cpu::patchify_bwd<float>({.dy = x.cspan(), .dx = y.span(), .N = 1, .H = 2, .W = 2, .C = 3, .k = 2});
  });
  Context ctx;
  expect_throw("expected [N, H, W, C], got [2, 3]", [&] { fn::patchify(Tensor::zeros(ctx, {2, 3}), 2); });
}
