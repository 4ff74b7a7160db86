// tests/kernels/test_relu.cpp — max(x, 0).

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/relu/relu.h"
#include "layers/functional/relu.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// `offset`: elements by which every array is shifted, so that none begins where a vector may.
template <class T>
Buffer<T> forward(const Buffer<T>& x, std::int64_t offset = 0) {
  const std::int64_t n = x.size() - offset;
  Buffer<T> y(x.size(), 5);
  backend::relu_fwd<T>({.x = x.cspan().slice(offset, n), .y = y.span().slice(offset, n)});
  return y;
}
template <class T>
Buffer<T> backward(const Buffer<T>& dy, const Buffer<T>& x, GradMode mode, Buffer<T> dx, std::int64_t offset = 0) {
  const std::int64_t n = x.size() - offset;
  backend::relu_bwd<T>({.dy = dy.cspan().slice(offset, n),
                        .x = x.cspan().slice(offset, n),
                        .dx = dx.span().slice(offset, n),
                        .dx_mode = mode});
  return dx;
}

}  // namespace

TEST_CASE_TEMPLATE("relu: both passes", T, float, bf16) {
  for_each_variant([] {
    for (const std::int64_t n : {0, 1, 17, 33, 101, 16385}) {
      auto x = Buffer<T>::random(n, 1);
      if (n > 2) x[2] = T(0.0f);
      const auto dy = Buffer<T>::random(n, 2);
      std::vector<double> y, dx;
      for (std::int64_t i = 0; i < n; ++i) {
        const double v = std::as_const(x)[i];
        y.push_back(std::max(v, 0.0)), dx.push_back(v > 0 ? dy[i] : 0);
      }
      expect_close("y", forward(x), y, 0, 1e-30);
      expect_close("dx", backward(dy, x, GradMode::write, Buffer<T>(n)), dx, 0, 1e-30);
      for (double& d : dx) d += 8;
      expect_close("dx added", backward(dy, x, GradMode::add, Buffer<T>(n, 8)), dx, 1e-7 + storage_rtol<T>(), 0);
      expect_bitwise("dx skipped", backward(dy, x, GradMode::skip, Buffer<T>(n, 8)), Buffer<T>(n, 8));
      if (n == 0) continue;
      y[0] = dx[0] = 5;  // what lies before the arrays
      expect_close("y shifted", forward(x, 1), y, 0, 1e-30);
      for (std::size_t i = 1; i < dx.size(); ++i) dx[i] -= 8;
      expect_close("dx shifted", backward(dy, x, GradMode::write, Buffer<T>(n, 5), 1), dx, 0, 1e-6);
    }
  });
}

TEST_CASE("relu: NaN and infinity pass, any order of the work gives the same bits") {
  Buffer<float> x(3), dy(3, 2);
  x[0] = std::nanf(""), x[1] = std::numeric_limits<float>::infinity(), x[2] = -x[1];
  const auto y = forward(x), dx = backward(dy, x, GradMode::write, Buffer<float>(3));
  CHECK(std::isnan(y[0]));
  CHECK(std::isinf(y[1]));
  CHECK(y[2] == 0);
  CHECK(dx[0] == 2);
  CHECK(dx[2] == 0);
  const auto big = Buffer<float>::random(kEmulated ? 4099 : 40000, 1);
  expect_order_free([&] { return std::tuple{forward(big), backward(big, forward(big), GradMode::add, big)}; });
}

TEST_CASE("relu gradient check, and wrong arguments explained") {
  Context ctx(device());
  Tensor x = random_leaf(ctx, {2, 3, 5}, 1);
  auto v = x.to_host();
  for (float& f : v) f += f < 0 ? -0.2f : 0.2f;  // a difference quotient must not cross the corner
  x.copy_from_host(v);
  check_gradients({x}, [&] { return fn::relu(x); });
  Buffer<float> a(4), b(5);
  backend::relu_bwd<float>({.dy = a.cspan(), .x = a.cspan(), .dx_mode = GradMode::skip});  // nothing to write to
  expect_throw("y has 5 elements, x has 4", [&] { backend::relu_fwd<float>({.x = a.cspan(), .y = b.span()}); });
  expect_throw("dy has 5", [&] { backend::relu_bwd<float>({.dy = b.cspan(), .x = a.cspan(), .dx = a.span()}); });
  expect_throw("dx has 5", [&] { backend::relu_bwd<float>({.dy = a.cspan(), .x = a.cspan(), .dx = b.span()}); });
}
