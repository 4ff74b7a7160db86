// tests/kernels/test_avg_pool.cpp — global average pool against double.
#include "kernels/avg_pool/avg_pool.h"
#include "layers/functional/avg_pool.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Sizes {
  std::int64_t N, P, C;
};
const std::vector<Sizes> kSizes = {{0, 4, 3},   {1, 1, 1},   {2, 49, 17}, {3, 7, 33},
                                   {2, 3, 129}, {2, 5, 300}, {3, 7, 64},  {2, 300, 8}};

template <class T>
Buffer<float> forward(const Sizes& s, const Buffer<T>& x) {
  Buffer<float> y(s.N * s.C);
  backend::avg_pool_fwd<T>({.x = x.cspan(), .y = y.span(), .N = s.N, .P = s.P, .C = s.C});
  return y;
}
template <class T>
Buffer<T> backward(const Sizes& s, const Buffer<float>& dy, GradMode mode, Buffer<T> dx) {
  backend::avg_pool_bwd<T>({.dy = dy.cspan(), .dx = dx.span(), .dx_mode = mode, .N = s.N, .P = s.P, .C = s.C});
  return dx;
}

}  // namespace

TEST_CASE_TEMPLATE("avg_pool: both passes against double, with a large mean", T, float, bf16) {
  for_each_variant([] {
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
  });
}

TEST_CASE_TEMPLATE("avg_pool: arrays that begin between vectors", T, float, bf16) {
  const Sizes s{2, 3, 8};
  const std::int64_t n = s.N * s.P * s.C, m = s.N * s.C;
  const auto x = Buffer<T>::random(n + 1, 1);
  const auto dy = Buffer<float>::random(m + 1, 2);
  Buffer<float> y(m + 1, 5);
  Buffer<T> dx(n + 1, 5);
  backend::avg_pool_fwd<T>({.x = x.cspan().slice(1, n), .y = y.span().slice(1, m), .N = s.N, .P = s.P, .C = s.C});
  backend::avg_pool_bwd<T>({.dy = dy.cspan().slice(1, m), .dx = dx.span().slice(1, n), .N = s.N, .P = s.P, .C = s.C});
  std::vector<double> want_y{5}, want_dx{5};
  for (std::int64_t i = 0; i < m; ++i) {
    double sum = 0;
    for (std::int64_t p = 0; p < s.P; ++p) sum += x[1 + (i / s.C * s.P + p) * s.C + i % s.C];
    want_y.push_back(sum / double(s.P));
  }
  for (std::int64_t i = 0; i < n; ++i) want_dx.push_back(dy[1 + i / (s.P * s.C) * s.C + i % s.C] / double(s.P));
  expect_close("y", y, want_y, 1e-7, 0);
  expect_close("dx", dx, want_dx, 2e-7 + storage_rtol<T>(), 1e-30);
}

TEST_CASE("avg_pool does not depend on the order of the work") {
  const Sizes s{3, 50, 200};
  const auto x = Buffer<float>::random(s.N * s.P * s.C, 1);
  expect_order_free([&] {
    const Buffer<float> y = forward(s, x);
    return std::tuple{y, backward(s, y, GradMode::add, x)};
  });
}

TEST_CASE("avg_pool gradient check; bf16 in, f32 out") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {2, 3, 4, 5}, 1);
  check_gradients({x}, [&] { return fn::avg_pool(x); });
  const Tensor y = fn::avg_pool(Tensor::full(ctx, {2, 2, 2, 3}, 1.5f, DType::bf16));
  CHECK(y.shape() == Shape{2, 3});
  CHECK(y.to_host() == std::vector<float>(6, 1.5f));
}

TEST_CASE("avg_pool explains wrong arguments") {
  Buffer<float> x(12), y(3);
  expect_throw("mean of 3 elements, expected [2, 3]",
               [&] { backend::avg_pool_fwd<float>({.x = x.cspan(), .y = y.span(), .N = 2, .P = 2, .C = 3}); });
  expect_throw("image of 3 elements",
               [&] { backend::avg_pool_bwd<float>({.dy = y.cspan(), .dx = y.span(), .N = 1, .P = 2, .C = 3}); });
  Context ctx(device());
  expect_throw("2 images of 0 pixels", [&] { fn::avg_pool(Tensor::zeros(ctx, {2, 0, 4, 3})); });
  expect_throw("expected [N, H, W, C]", [&] { fn::avg_pool(Tensor::zeros(ctx, {2, 3})); });
}
