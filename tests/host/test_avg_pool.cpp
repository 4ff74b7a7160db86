// tests/host/test_avg_pool.cpp — global average pool against double.
#include "engine/context.h"
#include "kernels/avg_pool/avg_pool.h"
#include "layers/functional/avg_pool.h"
#include "tests/support/gradcheck.h"
#include "tests/support/threads.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Sizes {
  std::int64_t N, P, C;
};
const std::vector<Sizes> kSizes = {{0, 4, 3}, {1, 1, 1}, {2, 49, 17}, {3, 7, 33}, {2, 3, 129}, {2, 5, 300}};

template <class T>
Buffer<float> forward(const Sizes& s, const Buffer<T>& x) {
  Buffer<float> y(s.N * s.C);
  kernels::cpu::avg_pool_fwd<T>({.x = x.cspan(), .y = y.span(), .N = s.N, .P = s.P, .C = s.C});
  return y;
}
template <class T>
Buffer<T> backward(const Sizes& s, const Buffer<float>& dy, GradMode mode, Buffer<T> dx) {
  kernels::cpu::avg_pool_bwd<T>({.dy = dy.cspan(), .dx = dx.span(), .dx_mode = mode, .N = s.N, .P = s.P, .C = s.C});
  return dx;
}

}  // namespace

TEST_CASE_TEMPLATE("avg_pool: both passes against double, with a large mean", T, float, bf16) {
  for (const Sizes& s : kSizes) {
    const auto x = Buffer<T>::random(s.N * s.P * s.C, 1, 300);
    const auto dy = Buffer<float>::random(s.N * s.C, 2);
    std::vector<double> y(std::size_t(s.N * s.C), 0.0), dx(std::size_t(s.N * s.P * s.C));
    for (std::int64_t n = 0; n < s.N; ++n)
      for (std::int64_t p = 0; p < s.P; ++p)
        for (std::int64_t c = 0; c < s.C; ++c) {
          y[std::size_t(n * s.C + c)] += x[(n * s.P + p) * s.C + c] / double(s.P);
          dx[std::size_t((n * s.P + p) * s.C + c)] = dy[n * s.C + c] / double(s.P);
        }
    expect_close("y", forward(s, x), y, 1e-7, 0);  // one rounding, to f32, whatever the storage
    const double rtol = 2e-7 + storage_rtol<T>();
    expect_close("dx", backward(s, dy, GradMode::write, Buffer<T>(x.size())), dx, rtol, 1e-30);
    for (double& d : dx) d += 8;
    expect_close("dx added", backward(s, dy, GradMode::add, Buffer<T>(x.size(), 8)), dx, rtol, 0);
    expect_bitwise("dx skipped", backward(s, dy, GradMode::skip, Buffer<T>(x.size(), 8)), Buffer<T>(x.size(), 8));
  }
}

TEST_CASE("avg_pool: one and two threads give the same bits") {
  const Sizes s{3, 50, 200};
  const auto x = Buffer<float>::random(s.N * s.P * s.C, 1);
  const auto [y1, y2] = with_one_and_two_threads([&] { return forward(s, x); });
  expect_bitwise("y", y1, y2);
  const auto [d1, d2] = with_one_and_two_threads([&] { return backward(s, y1, GradMode::add, x); });
  expect_bitwise("dx", d1, d2);
}

TEST_CASE("avg_pool gradient check; bf16 in, f32 out") {
  Context ctx;
  const Tensor x = random_leaf(ctx, {2, 3, 4, 5}, 1);
  check_gradients({x}, [&] { return fn::avg_pool(x); });
  const Tensor y = fn::avg_pool(Tensor::full(ctx, {2, 2, 2, 3}, 1.5f, DType::bf16));
  CHECK(y.shape() == Shape{2, 3});
  CHECK(y.to_host() == std::vector<float>(6, 1.5f));
}

TEST_CASE("avg_pool explains wrong arguments") {
  Buffer<float> x(12), y(3);
  expect_throw("mean of 3 elements, expected [2, 3]",
               [&] { kernels::cpu::avg_pool_fwd<float>({.x = x.cspan(), .y = y.span(), .N = 2, .P = 2, .C = 3}); });
  expect_throw("image of 3 elements",
               [&] { kernels::cpu::avg_pool_bwd<float>({.dy = y.cspan(), .dx = y.span(), .N = 1, .P = 2, .C = 3}); });
  Context ctx;
  expect_throw("2 images of 0 pixels", [&] { fn::avg_pool(Tensor::zeros(ctx, {2, 0, 4, 3})); });
  expect_throw("expected [N, H, W, C]", [&] { fn::avg_pool(Tensor::zeros(ctx, {2, 3})); });
}
