// tests/kernels/test_convnext_block.cpp — a whole block: fused against composed.
#include "engine/autograd.h"
#include "layers/functional/convnext_block.h"
#include "tests/support/arrays.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {
struct Block {
  Context ctx{device()};
  Tensor x;
  fn::ConvNeXtBlockParameters p;
  std::vector<Tensor> leaves;
  Block(std::int64_t n, std::int64_t height, std::int64_t width, std::int64_t C, DType t) {
    x = random_leaf(ctx, {n, height, width, C}, 1);
    if (t == DType::bf16) x = Tensor::from_host(ctx, x.shape(), x.to_host(), t).require_grad();
    p = {random_leaf(ctx, {C, 1, 7, 7}, 2, 0, 0.2f), random_leaf(ctx, {C}, 3, 0, 0.1f),
         random_leaf(ctx, {C}, 4, 1, 0.2f),          random_leaf(ctx, {C}, 5, 0, 0.2f),
         random_leaf(ctx, {4 * C, C}, 6, 0, 0.3f),   random_leaf(ctx, {4 * C}, 7, 0, 0.2f),
         random_leaf(ctx, {4 * C}, 8, 0, 0.5f),      random_leaf(ctx, {4 * C}, 9, 0, 0.5f),
         random_leaf(ctx, {C, 4 * C}, 10, 0, 0.2f),  random_leaf(ctx, {C}, 11, 0, 0.2f)};
    leaves = {x,          p.dw_weight,  p.dw_bias,  p.norm_weight, p.norm_bias, p.fc1_weight,
              p.fc1_bias, p.grn_weight, p.grn_bias, p.fc2_weight,  p.fc2_bias};
  }
};
}  // namespace

TEST_CASE("convnext_block: fused and composed agree, forward and every gradient") {
  struct Setting {
    std::int64_t n, height, width, C;
    DType t;
    double tolerance;
  };
  const std::vector<Setting> small = {{3, 5, 4, 20, DType::f32, 2e-5}, {2, 3, 4, 16, DType::bf16, 2e-2}};
  // The second one has two groups of samples forward and three backward.
  const std::vector<Setting> large = {
      {3, 5, 4, 20, DType::f32, 2e-5},   {6, 40, 40, 64, DType::f32, 2e-5}, {3, 8, 9, 24, DType::bf16, 2e-2},
      {2, 18, 25, 40, DType::f32, 2e-5}, {2, 9, 12, 80, DType::f32, 2e-5},  {2, 4, 6, 160, DType::f32, 2e-5},
      {2, 2, 3, 320, DType::f32, 2e-5},  {4, 18, 25, 40, DType::f32, 2e-5}, {4, 9, 12, 80, DType::f32, 2e-5},
      {4, 4, 6, 160, DType::f32, 2e-5},  {4, 2, 3, 320, DType::f32, 2e-5}};
  for (const Setting& s : kEmulated ? small : large)
    for (bool drop : {false, true}) {
      Block b(s.n, s.height, s.width, s.C, s.t);
      std::vector<float> scale;
      for (std::int64_t i = 0; i < s.n; ++i) scale.push_back(i % 2 ? 0 : 2.0f);
      const Tensor drop_scale = drop ? Tensor::from_host(b.ctx, {s.n}, scale) : Tensor();
      const auto once = [&](fn::BlockImplementation implementation) {
        for (Tensor& l : b.leaves) l.zero_grad();
        Tensor y = fn::convnext_block(b.x, b.p, drop_scale, implementation);
        const auto seed = Buffer<float>::random(y.numel(), 77);
        y.backward(Tensor::from_host(b.ctx, y.shape(), {seed.span().ptr, std::size_t(seed.size())}, s.t));
        std::vector<std::vector<float>> all{y.to_host()};
        for (const Tensor& l : b.leaves) all.push_back(l.grad().to_host());
        return all;
      };
      const auto composed = once(fn::BlockImplementation::composed), fused = once(fn::BlockImplementation::fused);
      for (std::size_t i = 0; i < composed.size(); ++i) {
        CAPTURE(i);
        CAPTURE(s.n);
        CAPTURE(s.height);
        CAPTURE(s.C);
        CHECK(distance(fused[i], std::vector<double>(composed[i].begin(), composed[i].end())) < s.tolerance);
      }
      const auto packed = fn::pack_block(b.p, s.t);
      const NoGrad off(b.ctx);
      const auto y = fn::convnext_block(b.x, b.p, drop_scale, fn::BlockImplementation::fused, packed.get()).to_host();
      CHECK(distance(y, std::vector<double>(composed[0].begin(), composed[0].end())) < s.tolerance);
    }
}

TEST_CASE("convnext_block: one node of the graph where gradients are wanted, none where not") {
  Block b(1, 3, 2, 5, DType::f32);
  for (const auto implementation : {fn::BlockImplementation::composed, fn::BlockImplementation::fused}) {
    const std::uint64_t before = b.ctx.next_sequence();
    CHECK(fn::convnext_block(b.x, b.p, {}, implementation).requires_grad());
    // The composed block's own graph, one node an operation, lies inside of its node.
    CHECK(b.ctx.next_sequence() - before == (implementation == fn::BlockImplementation::fused ? 2 : 9));
    const NoGrad off(b.ctx);
    CHECK(!fn::convnext_block(b.x, b.p, {}, implementation).requires_grad());
  }
}

TEST_CASE("convnext_block: directional derivatives of the fused block") {
  Block b(2, 4, 3, 6, DType::f32);
  check_gradients(
      b.leaves, [&] { return fn::convnext_block(b.x, b.p); }, 5e-3, 5e-3, 2e-3);
  b.p.fc1_weight.require_grad(false);  // a frozen parameter stays without a gradient
  Tensor y = fn::convnext_block(b.x, b.p);
  b.p.fc1_weight.zero_grad();
  y.backward(Tensor::full(b.ctx, y.shape(), 1));
  CHECK(!b.p.fc1_weight.grad_written());
}

TEST_CASE("convnext_block: the fused block keeps little more than a third of what the composed one keeps") {
  const auto kept = [](fn::BlockImplementation implementation) {
    Block b(2, kEmulated ? 6 : 16, 16, 32, DType::f32);
    const auto live = [&] { return std::int64_t(b.ctx.allocator().stats().live_bytes); };
    const std::int64_t before = live();
    const Tensor y = fn::convnext_block(b.x, b.p, {}, implementation);
    return live() - before;
  };
  CHECK(kept(fn::BlockImplementation::fused) * 5 < kept(fn::BlockImplementation::composed) * 2);
}
