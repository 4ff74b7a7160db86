// tests/kernels/test_gelu.cpp — GELU against erfc in double precision.
#include <limits>

#include "engine/autograd.h"
#include "kernels/gelu/gelu.h"
#include "layers/functional/gelu.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

template <class T>
Buffer<T> forward(const Buffer<T>& x) {
  Buffer<T> y(x.size());
  backend::gelu_fwd<T>({.x = x.cspan(), .y = y.span()});
  return y;
}
template <class T>
Buffer<T> backward(const Buffer<T>& dy, const Buffer<T>& x) {
  Buffer<T> dx(x.size());
  backend::gelu_bwd<T>({.dy = dy.cspan(), .x = x.cspan(), .dx = dx.span()});
  return dx;
}

double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double reference(double x) { return x * normal_cdf(x); }
double derivative(double x) { return normal_cdf(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * 3.14159265358979323846); }

// `offset`: elements by which every array is shifted, so that none begins where a vector may.
template <class T>
void compare(std::int64_t n, std::int64_t offset) {
  const auto x = Buffer<T>::random(n + offset, 1, 0, 3), dy = Buffer<T>::random(n + offset, 2);
  const auto own = [&](auto span) { return span.slice(offset, n); };
  Buffer<T> y(n + offset), dx(n + offset), sum(n + offset, 10);
  std::vector<double> want_y, want_dx, want_sum;
  for (std::int64_t i = 0; i < n; ++i) {
    want_y.push_back(reference(x[i + offset]));
    want_dx.push_back(dy[i + offset] * derivative(x[i + offset]));
    want_sum.push_back(10 + want_dx.back());
  }
  backend::gelu_fwd<T>({.x = own(x.cspan()), .y = own(y.span())});
  backend::gelu_bwd<T>({.dy = own(dy.cspan()), .x = own(x.cspan()), .dx = own(dx.span())});
  backend::gelu_bwd<T>({.dy = own(dy.cspan()), .x = own(x.cspan()), .dx = own(sum.span()), .dx_mode = GradMode::add});
  const auto expect = [&](const char* what, const Buffer<T>& b, const std::vector<double>& want, double atol) {
    b.check_guards(what);
    for (std::int64_t i = 0; i < offset; ++i) BF_CHECK(std::isnan(b[i]) || b[i] == 10, what, ": wrote before the array");
    std::vector<double> got;
    for (std::int64_t i = 0; i < n; ++i) got.push_back(b[i + offset]);
    expect_close(str("n=", n, " offset ", offset, " ", what), got, want, 1e-6 + storage_rtol<T>(), atol);
  };
  expect("y", y, want_y, 3e-7);
  expect("dx", dx, want_dx, 1.5e-6);
  expect("dx added", sum, want_sum, 3e-6);
}

}  // namespace

TEST_CASE_TEMPLATE("gelu matches the double reference", T, float, bf16) {
  for_each_variant([] {  // none, one, about a vector of any kind, a prime; the last one spans several work items
    for (const auto n : {0, 1, 7, 8, 15, 16, 17, 33, 1009, 40000})
      for (const auto offset : {0, 1}) compare<T>(n, offset);
  });
}

// The arithmetic is f32 for both, so that what is stored in bf16 must be the f32 result rounded to nearest, ties to
// even.
TEST_CASE("gelu in bf16 is gelu in f32, rounded once") {
  for_each_variant([] {
    const std::int64_t n = 5003;
    const auto x = Buffer<bf16>::random(n, 4, 0, 3), dy = Buffer<bf16>::random(n, 5);
    Buffer<float> wide_x(n), wide_dy(n);
    for (std::int64_t i = 0; i < n; ++i) wide_x[i] = float(x[i]), wide_dy[i] = float(dy[i]);
    const Buffer<float> y = forward(wide_x), dx = backward(wide_dy, wide_x);
    Buffer<bf16> rounded_y(n), rounded_dx(n);
    for (std::int64_t i = 0; i < n; ++i) rounded_y[i] = bf16(float(y[i])), rounded_dx[i] = bf16(float(dx[i]));
    expect_bitwise("y", forward(x), rounded_y);
    expect_bitwise("dx", backward(dy, x), rounded_dx);
  });
}

// The claim of the header: 3e-7 max(1, |x|), on a grid much finer than the polynomials' ripples.
TEST_CASE("gelu is accurate to about the rounding of f32") {
  for_each_variant([] {
    const std::int64_t n = 200001;
    Buffer<float> x(n);
    for (std::int64_t i = 0; i < n; ++i) x[i] = -15 + 30 * float(i) / float(n - 1);
    const Buffer<float> y = forward(x), d = backward(Buffer<float>(n, 1), x);
    double worst = 0, worst_derivative = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double v = double(x[i]), scale = std::max(1.0, std::abs(v));
      worst = std::max(worst, std::abs(double(y.cspan()[i]) - reference(v)) / scale);
      worst_derivative = std::max(worst_derivative, std::abs(double(d[i]) - derivative(v)));
    }
    CHECK(worst < 1.5e-7);
    CHECK(worst_derivative < 3e-7);
    // Relative accuracy where the result is small: -4 .. -6, where 1 + erf(x / sqrt 2) in f32 has no digit left.
    for (const float v : {-4.0f, -5.0f, -6.0f}) {
      const auto z = forward(Buffer<float>(1, v));
      CHECK(std::abs(z.cspan()[0] / reference(double(v)) - 1) < 1e-5);
    }
  });
}

TEST_CASE("gelu at the ends of the line") {
  const float inf = std::numeric_limits<float>::infinity();
  Buffer<float> x(6);
  const float values[] = {0, -0.0f, inf, -inf, std::nanf(""), 3e38f};
  for (int i = 0; i < 6; ++i) x[i] = values[i];
  const Buffer<float> y = forward(x), d = backward(Buffer<float>(6, 1), x);
  CHECK(y.cspan()[0] == 0);
  CHECK(y.cspan()[1] == 0);
  CHECK(y.cspan()[2] == inf);
  CHECK(std::abs(y.cspan()[3]) < 1e-30f);
  CHECK(std::isnan(y.cspan()[4]));
  CHECK(y.cspan()[5] == 3e38f);
  CHECK(d.cspan()[0] == doctest::Approx(0.5));
  CHECK(d.cspan()[2] == 1);
  CHECK(std::abs(d.cspan()[3]) < 1e-30f);
  CHECK(std::isnan(d.cspan()[4]));
}

TEST_CASE_TEMPLATE("gelu adds to, and leaves alone, what is in dx", T, float, bf16) {
  const std::int64_t n = 21;
  const auto x = Buffer<T>::random(n, 1), dy = Buffer<T>::random(n, 2);
  Buffer<T> dx(n, 8);
  backend::gelu_bwd<T>({.dy = dy.cspan(), .x = x.cspan(), .dx = dx.span(), .dx_mode = GradMode::add});
  std::vector<double> want;
  for (std::int64_t i = 0; i < n; ++i) want.push_back(8 + dy[i] * derivative(x[i]));
  expect_close("added", dx, want, 1e-6 + storage_rtol<T>(), 1e-6);
  Buffer<T> untouched(n, 8);
  backend::gelu_bwd<T>({.dy = dy.cspan(), .x = x.cspan(), .dx = untouched.span(), .dx_mode = GradMode::skip});
  expect_bitwise("skipped", untouched, Buffer<T>(n, 8));
}

TEST_CASE_TEMPLATE("gelu does not depend on the order of the work", T, float, bf16) {
  const std::int64_t n = kEmulated ? 4099 : 70000;
  const auto x = Buffer<T>::random(n, 1), dy = Buffer<T>::random(n, 2);
  expect_order_free([&] { return std::tuple{forward(x), backward(dy, x)}; });
}

TEST_CASE("gelu explains wrong arguments") {
  Buffer<float> a(4), b(5);
  expect_throw("y has 5 elements, x has 4", [&] { backend::gelu_fwd<float>({.x = a.cspan(), .y = b.span()}); });
  expect_throw("dy has 5", [&] { backend::gelu_bwd<float>({.dy = b.cspan(), .x = a.cspan(), .dx = a.span()}); });
  expect_throw("dx has 5", [&] { backend::gelu_bwd<float>({.dy = a.cspan(), .x = a.cspan(), .dx = b.span()}); });
  Context ctx(device());
  const std::int32_t v[] = {1, 2};
  expect_throw("expected f32 or bf16",
               [&] { fn::gelu(Tensor::from_host(ctx, {2}, std::span<const std::int32_t>(v))); });
}

TEST_CASE("gelu gradient check") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {2, 3, 3, 17}, 3);
  check_gradients({x}, [&] { return fn::gelu(fn::gelu(x)); });
  NoGrad guard(ctx);
  CHECK(!fn::gelu(x).requires_grad());
}

TEST_CASE("gelu keeps bf16") {
  Context ctx(device());
  const std::vector<float> v{-1, 0.5f, 2};
  const Tensor x = Tensor::from_host(ctx, {3}, v, DType::bf16).require_grad(), y = fn::gelu(x);
  CHECK(y.dtype() == DType::bf16);
  weighted_sum(y, {1, 1, 1}).backward();
  REQUIRE(x.grad().dtype() == DType::bf16);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(y.to_host()[i] == doctest::Approx(reference(double(v[i]))).epsilon(0.008));
    CHECK(x.grad().to_host()[i] == doctest::Approx(derivative(double(v[i]))).epsilon(0.008));
  }
}
