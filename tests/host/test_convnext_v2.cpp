// tests/host/test_convnext_v2.cpp — parameter lists, initialisation, one step of the whole model.
#include "layers/convnext_v2.h"

#include <omp.h>

#include "layers/paired_model.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {
PairedModelConfig small() {
  PairedModelConfig c;
  c.backbone = {.name = "test", .depths = {1, 1, 2, 1}, .dims = {8, 12, 16, 24}, .conv_mlp = true, .drop_path = 0};
  c.projection = 8;
  return c;
}
Tensor images(Context& ctx, std::int64_t n, std::int64_t size, DType t = DType::f32) {
  const auto b = Buffer<float>::random(n * size * size * 3, 5, 0.5f, 0.25f);
  return Tensor::from_host(ctx, {n, size, size, 3}, {b.span().ptr, std::size_t(b.size())}, t);
}
}  // namespace

TEST_CASE("convnext_v2: parameter counts of the published table") {
  const std::pair<const char*, std::int64_t> with_classifier[] = {
      {"atto", 3708400},  {"femto", 5233240}, {"pico", 9066280},    {"nano", 15623800},
      {"tiny", 28635496}, {"base", 88717800}, {"large", 197956840}, {"huge", 660289640}};
  for (auto [name, count] : with_classifier) {
    const auto c = ConvNeXtV2Config::by_name(std::string("convnextv2_") + name);
    CAPTURE(name);
    CHECK(parameter_count(convnext_v2_parameters(c)) + 1000 * (c.features() + 1) == count);
  }
  PairedModelConfig paper;
  paper.backbone = ConvNeXtV2Config::by_name("convnextv2_tiny");
  CHECK(convnext_v2_parameters(paper.backbone).size() == 198);
  CHECK(parameter_count(convnext_v2_parameters(paper.backbone)) == 27866496);
  CHECK(parameter_count(paired_model_parameters(paper)) == 28211841);
  expect_throw("known are convnextv2_atto", [] { ConvNeXtV2Config::by_name("convnextv2_tini"); });
}

TEST_CASE("convnext_v2: initialisation depends on the seed and the name alone") {
  Context ctx;
  PairedModel a(ctx, small()), b(ctx, small());
  a.parameters().initialise(42), b.parameters().initialise(42);
  CHECK(a.parameters().values().to_host() == b.parameters().values().to_host());
  b.parameters().initialise(43);
  CHECK(a.parameters().values().to_host() != b.parameters().values().to_host());
  double sq = 0, largest = 0;
  std::int64_t n = 0;
  for (const auto& p : a.parameters().all()) {
    const auto v = p.value.to_host();
    if (p.spec.init == Init::ones) CHECK(v == std::vector<float>(v.size(), 1.0f));
    if (p.spec.init == Init::zeros) CHECK(v == std::vector<float>(v.size(), 0.0f));
    if (p.spec.init == Init::truncated_normal)
      for (float x : v) sq += double(x) * x, largest = std::max<double>(largest, std::abs(x)), ++n;
  }
  CHECK(largest <= 0.04);
  CHECK(std::abs(std::sqrt(sq / double(n)) - 0.02 * 0.88) < 0.001);  // a normal cut at two deviations has std 0.88
}

TEST_CASE("convnext_v2: gradients of the whole model, every parameter") {
  Context ctx;
  PairedModel model(ctx, small());
  model.parameters().initialise(1);
  // At initialisation GRN is the identity and signals are tiny: move every parameter to somewhere general.
  for (const auto& p : model.parameters().all()) {
    auto v = p.value.to_host();
    const auto r = Buffer<float>::random(p.value.numel(), unsigned(p.offset + 3), p.spec.init == Init::ones ? 1.0f : 0.0f, 0.2f);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = float(r[std::int64_t(i)]);
    Tensor(p.value).copy_from_host(v);
  }
  // 69 is divided by neither 4 nor 32; the last stage still has 2x2 pixels (at one pixel GRN has a kink at 0: G = abs(x)).
  const Tensor x = images(ctx, 3, 69);
  const auto leaves_without = [&](const std::string& part) {
    std::vector<Tensor> leaves;
    for (const auto& p : model.parameters().all())
      if (p.spec.name.rfind(part, 0) != 0) leaves.push_back(p.value);
    return leaves;
  };
  // A short step: along a whole weight the model is far from straight.
  check_gradients(leaves_without("proj."), [&] { return model(x).logit; }, 5e-3, 5e-3, 2e-3);
  check_gradients(leaves_without("cls."), [&] { return model(x, {}, true).projection; }, 5e-3, 5e-3, 2e-3);
}

TEST_CASE("convnext_v2: dropped paths come from the step and the global sample, and scale what is kept") {
  Context ctx;
  PairedModelConfig c = small();
  c.backbone.drop_path = 0.5f;
  PairedModel model(ctx, c);
  model.parameters().initialise(1);
  const Tensor x = images(ctx, 4, 32);
  const auto run = [&](ForwardState s) { return model(x, s).logit.to_host(); };
  const ForwardState step3{.training = true, .seed = 7, .step = 3}, step4{.training = true, .seed = 7, .step = 4};
  CHECK(run(step3) == run(step3));
  CHECK(run(step3) != run(step4));
  CHECK(run({}) != run(step3));
  // Evaluation drops nothing, whatever the step.
  PairedModel sound(ctx, small());
  sound.parameters().initialise(1);
  const auto without = sound(x).logit.to_host();
  CHECK(run({}) == without);
  CHECK(run({.seed = 7, .step = 3}) == without);
  // The second half of the batch alone, told where it stands, draws what it drew in the whole batch.
  const auto whole = run(step3);
  const auto all = x.to_host();
  const Tensor half = Tensor::from_host(ctx, {2, 32, 32, 3}, std::span(all).subspan(all.size() / 2));
  const auto part = model(half, {.training = true, .seed = 7, .step = 3, .first_sample = 2}).logit.to_host();
  CHECK(part[0] == doctest::Approx(whole[2]));
  CHECK(part[1] == doctest::Approx(whole[3]));
}

TEST_CASE("convnext_v2: bf16 follows f32, one and two threads agree bitwise, the third step allocates nothing") {
  Context ctx;
  PairedModel f32(ctx, small()), b16(ctx, small(), DType::bf16);
  f32.parameters().initialise(1), b16.parameters().initialise(1);
  const auto a = f32(images(ctx, 2, 32)).logit.to_host(), b = b16(images(ctx, 2, 32, DType::bf16)).logit.to_host();
  for (std::size_t i = 0; i < 2; ++i) CHECK(std::abs(a[i] - b[i]) < 2e-2);

  const auto step = [&](int threads) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    f32.parameters().zero_grad();
    auto out = f32(images(ctx, 2, 64), {.training = true}, true);
    out.projection.backward(Tensor::full(ctx, out.projection.shape(), 1.0f));
    omp_set_num_threads(before);
    return f32.parameters().gradients().to_host();
  };
  CHECK(step(1) == step(2));
  const auto asked = ctx.allocator().stats().system_allocations;
  step(1);
  CHECK(ctx.allocator().stats().system_allocations == asked);
}

TEST_CASE("convnext_v2: wrong images are explained") {
  Context ctx;
  PairedModel model(ctx, small());
  expect_throw("[N, H, W, 3], got [2, 32, 32, 4]", [&] { model(Tensor::zeros(ctx, {2, 32, 32, 4})); });
  expect_throw("at least 32x32", [&] { model(Tensor::zeros(ctx, {2, 31, 32, 3})); });
}

TEST_CASE("convnext_v2: what training keeps of an image is what the blocks say, and no step keeps more than the last") {
  Context ctx;
  PairedModel model(ctx, {.backbone = ConvNeXtV2Config::by_name("convnextv2_tiny")});
  model.parameters().initialise(1);
  const auto live = [&] { return double(ctx.allocator().stats().live_bytes); };
  const auto kept = [&](std::int64_t n) {
    const Tensor x = images(ctx, n, 64);
    const double before = live();
    const Tensor logit = model(x, {.training = true}).logit;
    return live() - before;
  };
  // f32 per block: its input x, u, and the four times as wide h; E pixels times channels of all blocks. The rest (stem,
  // downsampling, statistics) is less than a quarter of it.
  const double blocks = 3.0 * 16 * 16 * 96 + 3.0 * 8 * 8 * 192 + 9.0 * 4 * 4 * 384 + 3.0 * 2 * 2 * 768;
  const double an_image = (kept(6) - kept(2)) / 4;
  CHECK(an_image >= 4 * 6 * blocks);
  CHECK(an_image <= 4 * 6 * blocks * 1.25);
  const double before = live();
  std::int64_t asked = 0;
  for (int step = 0; step < 4; ++step) {
    model.parameters().zero_grad();
    model(images(ctx, 2, 64), {.training = true}).logit.backward(Tensor::full(ctx, {2}, 1));
    CHECK(live() == before);
    if (step > 0) CHECK(ctx.allocator().stats().system_allocations == asked);
    asked = ctx.allocator().stats().system_allocations;
  }
}
