// tests/kernels/test_residual.cpp — the scaled sum of two tensors, per sample and with one number.
#include "kernels/residual/residual.h"
#include "layers/functional/residual.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Sizes {
  std::int64_t N, S;
};
const std::vector<Sizes> kSizes = {{0, 5}, {1, 1}, {3, 0}, {3, 17}, {2, 33}, {5, 64}, {3, kEmulated ? 4104 : 16385}};

Buffer<float> scales(std::int64_t n) {
  Buffer<float> s = Buffer<float>::random(n, 3);
  if (n > 1) s[1] = 0;
  return s;
}
template <class T>
Buffer<T> forward(const Sizes& s, const Buffer<T>& x, const Buffer<T>& y, Span<const float> scale) {
  Buffer<T> out(s.N * s.S);
  backend::residual_fwd<T>({.x = x.cspan(), .y = y.cspan(), .scale = scale, .out = out.span(), .N = s.N, .S = s.S});
  return out;
}
template <class T>
void backward(const Sizes& s, const Buffer<T>& dout, Span<const float> scale, GradMode mode, Buffer<T>& dx,
              Buffer<T>& dy) {
  backend::residual_bwd<T>({.dout = dout.cspan(),
                            .scale = scale,
                            .dx = dx.span(),
                            .dy = dy.span(),
                            .dx_mode = mode,
                            .dy_mode = mode,
                            .N = s.N,
                            .S = s.S});
}

}  // namespace

TEST_CASE_TEMPLATE("residual: both passes against double, with and without scales", T, float, bf16) {
  for_each_variant([] {
    for (const Sizes& s : kSizes)
      for (const bool scaled : {false, true}) {
        const std::int64_t n = s.N * s.S;
        const auto x = Buffer<T>::random(n, 1, 300), y = Buffer<T>::random(n, 2), dout = Buffer<T>::random(n, 4);
        const Buffer<float> scale = scales(s.N);
        std::vector<double> out, dy, dx;
        for (std::int64_t i = 0; i < n; ++i) {
          const double f = scaled ? scale[i / s.S] : 1;
          out.push_back(x[i] + f * y[i]), dx.push_back(dout[i]), dy.push_back(f * dout[i]);
        }
        const double rtol = 1e-6 + storage_rtol<T>();
        const Span<const float> given = scaled ? scale.cspan() : Span<const float>();
        expect_close("out", forward(s, x, y, given), out, rtol, 1e-6);
        Buffer<T> gx(n), gy(n), ax(n, 8), ay(n, 8), kx(n, 8), ky(n, 8);
        backward(s, dout, given, GradMode::write, gx, gy);
        expect_close("dx", gx, dx, 0, 1e-30);
        expect_close("dy", gy, dy, rtol, 1e-6);
        backward(s, dout, given, GradMode::add, ax, ay);
        for (double& d : dx) d += 8;
        for (double& d : dy) d += 8;
        expect_close("dx added", ax, dx, rtol, 1e-6);
        expect_close("dy added", ay, dy, rtol, 1e-6);
        backward(s, dout, given, GradMode::skip, kx, ky);
        expect_bitwise("dx skipped", kx, Buffer<T>(n, 8));
        expect_bitwise("dy skipped", ky, Buffer<T>(n, 8));
      }
  });
}

TEST_CASE_TEMPLATE("residual: arrays that begin between vectors, one scale for all, one gradient of two", T, float,
                   bf16) {
  for_each_variant([] {
    const std::int64_t n = 2 * 64, S = 64;
    const auto x = Buffer<T>::random(n + 1, 1), y = Buffer<T>::random(n + 1, 2);
    Buffer<T> out(n + 1, 5), dx(n + 1, 5), dy(n + 1, 5);
    const auto own = [&](auto span) { return span.slice(1, n); };
    backend::residual_fwd<T>(
        {.x = own(x.cspan()), .y = own(y.cspan()), .out = own(out.span()), .one_scale = -3, .N = 2, .S = S});
    backend::residual_bwd<T>({.dout = own(x.cspan()),
                              .dx = own(dx.span()),
                              .dx_mode = GradMode::add,
                              .dy_mode = GradMode::skip,
                              .one_scale = -3,
                              .N = 2,
                              .S = S});
    backend::residual_bwd<T>(
        {.dout = own(x.cspan()), .dy = own(dy.span()), .dx_mode = GradMode::skip, .one_scale = -3, .N = 2, .S = S});
    std::vector<double> want{5}, want_dx{5}, want_dy{5};
    for (std::int64_t i = 1; i <= n; ++i)
      want.push_back(x[i] - 3 * y[i]), want_dx.push_back(5 + x[i]), want_dy.push_back(-3 * x[i]);
    const double rtol = 1e-6 + storage_rtol<T>();
    expect_close("out", out, want, rtol, 1e-6);
    expect_close("dx", dx, want_dx, rtol, 1e-6);
    expect_close("dy", dy, want_dy, rtol, 1e-6);
  });
}

TEST_CASE("residual does not depend on the order of the work") {
  const Sizes s{3, kEmulated ? 2050 : 20000};
  const auto x = Buffer<float>::random(s.N * s.S, 1), y = Buffer<float>::random(s.N * s.S, 2);
  const Buffer<float> scale = scales(s.N);
  expect_order_free([&] {
    Buffer<float> dx(s.N * s.S, 1), dy(s.N * s.S, 1);
    backward(s, x, scale.cspan(), GradMode::add, dx, dy);
    return std::tuple{forward(s, x, y, scale.cspan()), dx, dy};
  });
}

TEST_CASE("residual and weighted_add gradient checks, leaves used twice") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {3, 2, 5}, 1), y = random_leaf(ctx, {3, 2, 5}, 2);
  const std::vector<float> s{0.5f, 0, 2};
  const Tensor scale = Tensor::from_host(ctx, {3}, std::span<const float>(s));
  check_gradients({x, y}, [&] { return fn::residual(fn::residual(x, y, scale), y); });
  check_gradients({x, y}, [&] { return fn::weighted_add(fn::weighted_add(x, y, 0.3f), x, -2); });
  const Tensor a = Tensor::full(ctx, {1}, 2), b = Tensor::full(ctx, {1}, 3);
  CHECK(fn::weighted_add(a, b, 0.5f).item() == 3.5f);
}

TEST_CASE("residual explains wrong arguments") {
  Buffer<float> x(4), y(5), scale(3);
  expect_throw("residual: y has 5 elements, expected [2, 2]", [&] {
    backend::residual_fwd<float>({.x = x.cspan(), .y = y.cspan(), .out = x.span(), .N = 2, .S = 2});
  });
  expect_throw("3 scales for 2 samples", [&] {
    backend::residual_fwd<float>(
        {.x = x.cspan(), .y = x.cspan(), .scale = scale.cspan(), .out = x.span(), .N = 2, .S = 2});
  });
  expect_throw("dy has 5 elements", [&] {
    backend::residual_bwd<float>({.dout = x.cspan(), .dx = x.span(), .dy = y.span(), .N = 2, .S = 2});
  });
  Context ctx(device());
  expect_throw("weighted_add: [2] f32 and [2] bf16",
               [&] { fn::weighted_add(Tensor::zeros(ctx, {2}), Tensor::zeros(ctx, {2}, DType::bf16), 1); });
}
