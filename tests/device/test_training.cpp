// tests/device/test_training.cpp — twenty training steps of atto on a GPU beside the same on the CPU.
#include <cmath>

#include "engine/philox.h"
#include "layers/optimizer.h"
#include "layers/paired_loss.h"
#include "layers/paired_model.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

constexpr std::int64_t kBatch = 16, kSide = 64;
constexpr int kSteps = 20;

struct Trained {
  std::vector<double> losses;
  std::vector<float> weights;
};
Trained train(Device device, DType compute) {
  Context ctx(device);
  PairedModel model(ctx, {.backbone = ConvNeXtV2Config::by_name("convnextv2_atto")}, compute);
  model.parameters().initialise(7);
  Optimizer optimizer(model.parameters(), {.clip_grad_norm = 5});
  Random random(seed(), "device training", 0, 0);
  std::vector<float> pixels(std::size_t(kBatch * kSide * kSide * 3)), labels(kBatch);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = float(i % 2);
  for (std::size_t i = 0; i < pixels.size(); ++i)  // attacks are brighter: something to learn
    pixels[i] = float(random.uniform()) * 0.5f + 0.5f * labels[i / (pixels.size() / labels.size())];
  const Tensor x = Tensor::from_host(ctx, {kBatch, kSide, kSide, 3}, pixels, compute), y = Tensor::from_host(ctx, {kBatch}, labels);
  Trained result;
  for (int step = 0; step < kSteps; ++step) {
    model.parameters().zero_grad();
    const auto out = model(x, {.training = true, .seed = 3, .step = step}, true);
    PairedLoss loss = paired_loss({}, out.logit, out.projection, y);
    result.losses.push_back(loss.total.item());
    loss.total.backward();
    optimizer.step(1e-3);
  }
  result.weights = model.parameters().values().to_host();
  return result;
}

void compare(DType compute, double tolerance) {
  const Trained cpu = train({Device::cpu}, compute), gpu = train({Device::cuda}, compute), again = train({Device::cuda}, compute);
  for (int i = 0; i < kSteps; ++i) {
    CAPTURE(i);
    CHECK(std::abs(gpu.losses[std::size_t(i)] - cpu.losses[std::size_t(i)]) <= tolerance);
  }
  CHECK(gpu.losses.back() < gpu.losses.front());  // it learns: equal losses of a model that stands still prove little
  CHECK(gpu.losses == again.losses);
  CHECK(gpu.weights == again.weights);
}

}  // namespace

TEST_CASE("device: twenty steps in f32 follow the CPU, and repeat to the last bit") { compare(DType::f32, 1e-4); }
TEST_CASE("device: twenty steps in bf16 follow the CPU, and repeat to the last bit") { compare(DType::bf16, 2e-2); }
