// bench/gpu/models.cpp — whole passes of ConvNeXt-V2 tiny at 224 pixels in bf16: inference, and a training step (forward, BCE,
// backward, AdamW), as bench/compare/torch_gpu.py times PyTorch's.
#include "bench/gpu/measure.h"
#include "layers/optimizer.h"
#include "layers/paired_loss.h"
#include "layers/paired_model.h"

namespace bonafide::bench {

void measure_models(Measure& measure) {
  Context& ctx = measure.context();
  PairedModel model(ctx, {.backbone = ConvNeXtV2Config::by_name("convnextv2_tiny")}, DType::bf16);
  model.parameters().initialise(1);
  Optimizer optimizer(model.parameters(), {});
  const PairedLossConfig loss{.type = "BCE", .contrastive = false};
  for (const std::int64_t batch : {256, 128, 64, 1}) {
    const Tensor images = random_tensor(ctx, {batch, 224, 224, 3}, DType::bf16);
    std::vector<float> half(std::size_t(batch), 0.0f);
    for (std::size_t i = 0; i < half.size(); i += 2) half[i] = 1;
    const Tensor labels = Tensor::from_host(ctx, {batch}, half);
    const std::string shape = str("batch ", batch);
    measure({.name = "tiny, training step", .shape = shape, .images = double(batch)}, [&] {
      model.parameters().zero_grad();
      Tensor total = paired_loss(loss, model(images, {.training = true}).logit, {}, labels).total;
      total.backward();
      optimizer.step(1e-4);
    });
    const NoGrad off(ctx);
    measure({.name = "tiny, inference", .shape = shape, .images = double(batch)}, [&] { model(images); });
  }
  std::printf("%s", ctx.allocator().stats().table().c_str());
}

}  // namespace bonafide::bench
