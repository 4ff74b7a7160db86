// tests/kernels/test_bce.cpp — binary cross-entropy with smoothing, against the definition in double.
#include "kernels/bce/bce.h"
#include "layers/functional/losses.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Batch {
  Buffer<float> z, y;
  explicit Batch(std::int64_t n, float mean = 0) : z(Buffer<float>::random(n, 1, mean, 3)), y(n) {
    for (std::int64_t i = 0; i < n; ++i) y[i] = i % 3 == 2 ? 0.3f : float(i % 2);
  }
  Buffer<float> loss(float smoothing) const {
    Buffer<float> l(1);
    backend::bce_fwd({.z = z.cspan(), .y = y.cspan(), .loss = l.span(), .smoothing = smoothing});
    return l;
  }
  Buffer<float> gradient(float smoothing, float dloss, GradMode mode, Buffer<float> dz) const {
    const Buffer<float> d(1, dloss);
    backend::bce_bwd(
        {.dloss = d.cspan(), .z = z.cspan(), .y = y.cspan(), .dz = dz.span(), .dz_mode = mode, .smoothing = smoothing});
    return dz;
  }
};

}  // namespace

TEST_CASE("bce: both passes against the definition, with and without smoothing") {
  for_each_variant([] {
    for (const std::int64_t n : {1, 2, 17, 33, 101, 601})
      for (const float s : {0.0f, 0.1f, 1.0f}) {
        const Batch b(n);
        double sum = 0;
        std::vector<double> dz;
        for (std::int64_t i = 0; i < n; ++i) {
          const double p = 1 / (1 + std::exp(-b.z[i])), y = b.y[i] * (1 - double(s)) + (1 - b.y[i]) * double(s);
          sum -= y * std::log(p) + (1 - y) * std::log(1 - p);
          dz.push_back(2.5 * (p - y) / double(n));
        }
        expect_close("loss", b.loss(s), {sum / double(n)}, 1e-6, 0);
        expect_close("dz", b.gradient(s, 2.5f, GradMode::write, Buffer<float>(n)), dz, 1e-6, 1e-9);
        for (double& d : dz) d += 8;
        expect_close("dz added", b.gradient(s, 2.5f, GradMode::add, Buffer<float>(n, 8)), dz, 1e-6, 0);
        expect_bitwise("dz skipped", b.gradient(s, 2.5f, GradMode::skip, Buffer<float>(n, 8)), Buffer<float>(n, 8));
      }
  });
}

TEST_CASE("bce: logits of 80, 300 and 1000 give finite results on both sides") {
  for (const float z : {80.0f, 300.0f, 1000.0f}) {
    Batch b(2);
    b.z[0] = z, b.z[1] = -z, b.y[0] = 0, b.y[1] = 1;  // both as wrong as can be
    expect_close("loss", b.loss(0), {double(z)}, 1e-7, 0);
    expect_close("dz", b.gradient(0, 1, GradMode::write, Buffer<float>(2)), {0.5, -0.5}, 1e-7, 0);
    b.y[0] = 1, b.y[1] = 0;
    expect_close("right", b.loss(0), {std::exp(-double(z))}, 1e-6, 1e-45);
  }
}

TEST_CASE("bce: a large mean, order of the work, gradient check, wrong arguments") {
  const Batch b(601, 300);
  expect_order_free([&] {
    return std::tuple{b.loss(0.1f), b.gradient(0.1f, 2, GradMode::add, Buffer<float>(601, 1))};
  });
  Context ctx(device());
  const Tensor z = random_leaf(ctx, {7, 1}, 1);
  const std::vector<float> labels{0, 1, 0.2f, 1, 0, 0.9f, 1};
  const Tensor y = Tensor::from_host(ctx, {7}, std::span<const float>(labels));
  check_gradients(
      {z}, [&] { return fn::bce(z, y, 0.1f); }, 1e-3, 1e-4);
  Buffer<float> l(1);
  expect_throw("2 labels for 3 logits", [&] {
    backend::bce_fwd({.z = Buffer<float>(3).cspan(), .y = Buffer<float>(2).cspan(), .loss = l.span()});
  });
  expect_throw("the mean of no logits", [&] { backend::bce_fwd({.loss = l.span()}); });
  expect_throw("smoothing 2",
               [&] { backend::bce_fwd({.z = l.cspan(), .y = l.cspan(), .loss = l.span(), .smoothing = 2}); });
  expect_throw("dz has 1 elements",
               [&] { backend::bce_bwd({.dloss = l.cspan(), .z = b.z.cspan(), .y = b.y.cspan(), .dz = l.span()}); });
}
