// tests/emulated/test_tf32.cpp — Context::f32_products reaches the matrix products of a GPU, forward and backward, f32 alone.
#include "engine/context.h"
#include "layers/functional/linear.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Products {
  std::vector<float> y, dx, dw;
};
Products run(F32Products products, DType t) {
  Context ctx(Device{Device::cuda});
  CHECK(ctx.f32_products() == F32Products::full);
  ctx.set_f32_products(products);
  const auto draw = [&](Shape s, unsigned salt) {
    const auto b = Buffer<float>::random(s.numel(), salt);
    std::vector<float> v;
    for (std::int64_t i = 0; i < b.size(); ++i) v.push_back(float(b[i]));
    return v;
  };
  const Tensor x = Tensor::from_host(ctx, {5, 24}, draw({5, 24}, 1), t).require_grad(),
               w = Tensor::from_host(ctx, {7, 24}, draw({7, 24}, 2)).require_grad();
  const Tensor y = fn::linear(x, w, {});
  weighted_sum(y, draw({5, 7}, 3)).backward();
  return {y.to_host(), x.grad().to_host(), w.grad().to_host()};
}
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(double(a[i]) - double(b[i])));
  return worst;
}

}  // namespace

TEST_CASE("tf32: f32 products of a GPU are rounded to 11 bits when that is asked for, and only then") {
  const Products full = run(F32Products::full, DType::f32), tf32 = run(F32Products::tf32, DType::f32);
  for (const auto& [a, b] : {std::pair{full.y, tf32.y}, {full.dx, tf32.dx}, {full.dw, tf32.dw}}) {
    CHECK(difference(a, b) > 1e-5);
    CHECK(difference(a, b) < 2e-2);  // sums of up to 24 products of normal numbers, each off by 2^-11 at most twice
  }
}
TEST_CASE("tf32: bf16 products stay what they are") {
  const Products full = run(F32Products::full, DType::bf16), tf32 = run(F32Products::tf32, DType::bf16);
  CHECK(full.y == tf32.y);
  CHECK(full.dx == tf32.dx);
  CHECK(full.dw == tf32.dw);
}
