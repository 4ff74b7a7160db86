// tests/kernels/test_l2_normalize.cpp — unit rows against double.
#include <algorithm>
#include <utility>

#include "kernels/l2_normalize/l2_normalize.h"
#include "layers/functional/l2_normalize.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

constexpr double kEps = double(1e-12f);

struct Rows {
  std::int64_t N, D;
  Buffer<float> x, dy;
  Rows(std::int64_t n, std::int64_t d, float mean = 0, float std = 1)
      : N(n), D(d), x(Buffer<float>::random(n * d, 1, mean, std)), dy(Buffer<float>::random(n * d, 2)) {}

  std::pair<Buffer<float>, Buffer<float>> forward() const {
    Buffer<float> y(N * D), norm(N);
    backend::l2_normalize_fwd({.x = x.cspan(), .y = y.span(), .norm = norm.span(), .N = N, .D = D});
    norm.check_guards("norm");
    return {y, norm};
  }
  Buffer<float> backward(GradMode mode, Buffer<float> dx) const {
    const auto norm = forward().second;
    backend::l2_normalize_bwd(
        {.dy = dy.cspan(), .x = x.cspan(), .norm = norm.cspan(), .dx = dx.span(), .dx_mode = mode, .N = N, .D = D});
    return dx;
  }
  void expect_right() const {
    std::vector<double> y, dx;
    double scale = 1e-30;  // of the gradient's two terms: their difference may be tiny
    for (std::int64_t n = 0; n < N; ++n) {
      double square = 0, dot = 0;
      for (std::int64_t i = n * D; i < (n + 1) * D; ++i) square += x[i] * x[i], dot += x[i] * dy[i];
      const double norm = std::sqrt(square), clamped = std::max(norm, kEps);
      for (std::int64_t i = n * D; i < (n + 1) * D; ++i) {
        y.push_back(x[i] / clamped);
        scale = std::max(scale, std::abs(dy[i]) / clamped);
        dx.push_back(norm < kEps ? dy[i] / kEps : (dy[i] - x[i] * dot / square) / norm);
      }
    }
    expect_close("y", forward().first, y, 2e-7, 1e-30);
    expect_close("dx", backward(GradMode::write, Buffer<float>(N * D)), dx, 1e-6, 1e-6 * scale);
    for (double& d : dx) d += 8;
    expect_close("dx added", backward(GradMode::add, Buffer<float>(N * D, 8)), dx, 1e-6, 1e-6 * scale + 1e-6);
    expect_bitwise("dx skipped", backward(GradMode::skip, Buffer<float>(N * D, 8)), Buffer<float>(N * D, 8));
  }
};

}  // namespace

TEST_CASE("l2_normalize: both passes against double") {
  for_each_variant([] {
    for (const auto& [n, d] : {std::pair{0, 5}, {2, 0}, {1, 1}, {3, 17}, {5, 33}, {7, 128}, {64, 128}})
      Rows(n, d).expect_right();
    Rows(4, 33, 300).expect_right();
    Rows(4, 17, 0, 1e-20f).expect_right();  // shorter than eps, and squares below f32's range
    Rows(4, 17, 0, 1e-13f).expect_right();  // just shorter than eps
    Rows(4, 17, 0, 1e25f).expect_right();   // squares beyond f32's range
  });
}

TEST_CASE("l2_normalize: a zero row stays zero and its gradient is dy / eps") {
  Rows r(2, 3);
  for (int i = 0; i < 3; ++i) r.x[i] = 0;
  r.expect_right();
  const auto y = r.forward().first;
  CHECK(y[0] == 0);
}

TEST_CASE("l2_normalize does not depend on the order of the work") {
  const Rows r(37, 65);
  expect_order_free([&] {
    const auto [y, norm] = r.forward();
    return std::tuple{y, norm, r.backward(GradMode::add, Buffer<float>(37 * 65, 1))};
  });
}

TEST_CASE("l2_normalize gradient check, a leaf used twice") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {3, 4, 7}, 1);
  check_gradients({x}, [&] { return fn::l2_normalize(x); });
  check_gradients({x}, [&] { return fn::l2_normalize(x, 100.0f); });  // every row shorter than eps
}

TEST_CASE("l2_normalize explains wrong arguments") {
  Buffer<float> x(6), norm(2);
  expect_throw("y has 2 elements, expected [2, 3]", [&] {
    backend::l2_normalize_fwd({.x = x.cspan(), .y = norm.span(), .norm = norm.span(), .N = 2, .D = 3});
  });
  expect_throw("norm has 6 elements, expected [2, 1]",
               [&] { backend::l2_normalize_fwd({.x = x.cspan(), .y = x.span(), .norm = x.span(), .N = 2, .D = 3}); });
  expect_throw("eps 0", [&] {
    backend::l2_normalize_fwd({.x = x.cspan(), .y = x.span(), .norm = norm.span(), .N = 2, .D = 3, .eps = 0});
  });
  expect_throw("dx has 2", [&] {
    backend::l2_normalize_bwd(
        {.dy = x.cspan(), .x = x.cspan(), .norm = norm.cspan(), .dx = norm.span(), .N = 2, .D = 3});
  });
}
