// tests/emulated/test_model.cpp — a whole detector trained on the emulated GPU, beside the CPU.
#include <cmath>

#include "kernels/emulator/launch.h"
#include "layers/functional/cutmix.h"
#include "layers/functional/normalize.h"
#include "layers/optimizer.h"
#include "layers/paired_loss.h"
#include "layers/paired_model.h"
#include "tests/support/backend.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

constexpr std::int64_t kImages = 3, kSide = 32;

PairedModelConfig small_model(fn::BlockImplementation block) {
  PairedModelConfig c;
  c.backbone.name = "small";
  c.backbone.depths = {1, 1, 2, 1}, c.backbone.dims = {8, 16, 24, 32};
  c.backbone.drop_path = 0.3f;
  c.backbone.block = block;
  c.projection = 16;
  return c;
}

struct Training {
  std::vector<double> losses, norms;
  std::vector<std::vector<float>> gradients;  // of each step, the whole arena
  std::vector<float> weights, average;        // after the last
};

// Everything that a step of `bonafide train` does with tensors: CutMix, normalisation, dropped paths, both losses, AdamW
// with clipping and with parameters that do not decay, averaged weights.
Training train(Device where, DType compute, fn::BlockImplementation block, int steps) {
  Context ctx(where);
  PairedModel model(ctx, small_model(block), compute);
  ParameterSet& parameters = model.parameters();
  parameters.initialise(5);
  for (const auto& p : parameters.all())  // zero is what GRN begins with: then it is the identity, and tests little
    if (p.spec.name.find(".grn.") != p.spec.name.npos) {
      auto v = Buffer<float>::random(p.spec.shape.numel(), unsigned(p.offset), 0, 0.3f);
      Tensor(p.value).copy_from_host({v.span().ptr, std::size_t(v.size())});
    }
  parameters.refresh_compute_copies();
  Optimizer optimizer(parameters, {.weight_decay = 0.05, .decay_norm_and_bias = false, .clip_grad_norm = 1});
  Ema ema(parameters, 0.9);
  Training t;
  for (int step = 0; step < steps; ++step) {
    std::mt19937 draw(unsigned(step) + 1);
    std::vector<std::uint8_t> pixels(std::size_t(kImages * kSide * kSide * 3));
    for (auto& p : pixels) p = std::uint8_t(draw());
    const std::vector<std::int32_t> partners{2, 0, 1};
    Tensor images = Tensor::from_host(ctx, {kImages, kSide, kSide, 3}, std::span<const std::uint8_t>(pixels));
    Tensor labels = Tensor::from_host(ctx, {kImages}, std::vector<float>{1, 0, 1});
    if (step % 2 == 0) {
      const Tensor partner = Tensor::from_host(ctx, {kImages}, std::span<const std::int32_t>(partners));
      images = fn::cutmix(images, partner, {5, 3, 21, 19});
      labels = fn::cutmix_labels(labels, partner, 0.75f);
    }
    const Tensor x = fn::normalize(images, {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}, compute);
    parameters.zero_grad();
    const auto out = model(x, {.training = true, .seed = 9, .step = step}, true);
    PairedLoss loss = paired_loss({}, out.logit, out.projection, labels);
    loss.total.backward();
    t.losses.push_back(double(loss.total.item()));
    t.norms.push_back(optimizer.step(1e-3));
    t.gradients.push_back(parameters.gradients().to_host());
    ema.update();
  }
  t.weights = parameters.values().to_host(), t.average = ema.average().to_host();
  return t;
}

// Norm of the difference over norm of the second.
double apart(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference += std::pow(double(a[i]) - double(b[i]), 2), size += std::pow(double(b[i]), 2);
  return std::sqrt(difference / size);
}

struct Apart {
  double loss = 0, gradient = 0, weights = 0, average = 0;  // the worst of all steps
  Apart(const Training& a, const Training& b) : weights(apart(a.weights, b.weights)), average(apart(a.average, b.average)) {
    for (std::size_t i = 0; i < a.losses.size(); ++i) {
      loss = std::max(loss, std::abs(a.losses[i] / b.losses[i] - 1));
      gradient = std::max({gradient, apart(a.gradients[i], b.gradients[i]), std::abs(a.norms[i] / b.norms[i] - 1)});
    }
  }
  std::string str() const {
    return bonafide::str("losses ", loss, ", gradients ", gradient, ", weights ", weights, ", averages ", average, " apart");
  }
};

}  // namespace

TEST_CASE("cuda model: three training steps in f32 are the CPU's") {
  for (const auto block : {fn::BlockImplementation::composed, fn::BlockImplementation::fused}) {
    const auto run = [&](Device d) { return train(d, DType::f32, block, 3); };
    const Apart found(run(device()), run({Device::cpu}));
    MESSAGE("GPU beside CPU: ", found.str());
    CHECK(found.loss < 2e-6);
    CHECK(found.gradient < 1e-5);
    CHECK(found.weights < 1e-6);
    CHECK(found.average < 1e-6);
  }
}

// Products are summed in another order, and what is then rounded to bf16 may fall on the other side: the two cannot be closer
// to each other than to the truth. So both are compared with f32.
TEST_CASE("cuda model: three training steps in bf16 are as near to f32 as the CPU's") {
  for (const auto block : {fn::BlockImplementation::composed, fn::BlockImplementation::fused}) {
    const auto run = [&](Device d, DType t) { return train(d, t, block, 3); };
    const Training truth = run({Device::cpu}, DType::f32), cpu = run({Device::cpu}, DType::bf16), gpu = run(device(), DType::bf16);
    const Apart of_cpu(cpu, truth), of_gpu(gpu, truth), between(gpu, cpu);
    MESSAGE("CPU beside f32: ", of_cpu.str());
    MESSAGE("GPU beside f32: ", of_gpu.str());
    MESSAGE("GPU beside CPU: ", between.str());
    CHECK(of_gpu.loss < 2e-2);
    CHECK(of_gpu.gradient < 1.5 * of_cpu.gradient);
    CHECK(of_gpu.weights < 1.5 * of_cpu.weights);
    CHECK(of_gpu.average < 1.5 * of_cpu.average);
  }
}

TEST_CASE("cuda model: the bits do not depend on the order of threads, blocks, or streams") {
  const auto run = [] { return train(device(), DType::bf16, fn::BlockImplementation::fused, 1); };
  const Training first = run();
  struct Restore {
    simt::Schedule schedule = simt::emulation().schedule;
    simt::EmulatedGpu::Order order = simt::emulated_gpu().order;
    ~Restore() { simt::emulation().schedule = schedule, simt::emulated_gpu().order = order; }
  } restore;
  simt::emulation().schedule = {simt::Schedule::Order::random, 3};
  simt::emulated_gpu().order = simt::EmulatedGpu::Order::random;
  const Training again = run();
  CHECK(again.losses == first.losses);
  CHECK(again.gradients == first.gradients);
  CHECK(again.weights == first.weights);
}
