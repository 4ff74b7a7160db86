// bench/bench_step.cpp — whole passes of ConvNeXt-V2 tiny at 224 pixels: inference, and a training step (forward,
// backward, AdamW). Counter: images a second. Arguments: batch size.
#include <benchmark/benchmark.h>

#include <cmath>

#include "bench/report.h"
#include "layers/optimizer.h"
#include "layers/paired_loss.h"
#include "layers/paired_model.h"

using namespace bonafide;

namespace {

constexpr std::int64_t kSide = 224;

struct Case {
  std::int64_t batch;
  DType precision;
  Context ctx;
  PairedModel model;
  Tensor images, labels;
  Case(std::int64_t n, DType t)
      : batch(n), precision(t), model(ctx, {.backbone = ConvNeXtV2Config::by_name("convnextv2_tiny")}, t) {
    model.parameters().initialise(1);
    images = Tensor::from_host(ctx, {n, kSide, kSide, 3}, bench::numbers<float>(n * kSide * kSide * 3), t);
    std::vector<float> half(std::size_t(n), 0.0f);
    for (std::size_t i = 0; i < half.size(); i += 2) half[i] = 1;
    labels = Tensor::from_host(ctx, {n}, half);
  }
};

void images_per_second(benchmark::State& state, const Case& c) {
  state.counters["images/s"] = benchmark::Counter(double(c.batch), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["peak_MB"] = double(c.model.parameters().context().allocator().stats().peak_bytes) / 1e6;
}

template <DType precision>
void infer(benchmark::State& state) {
  Case c(state.range(0), precision);
  const NoGrad off(c.ctx);
  const PackedWeights packed = c.model.pack();
  const ForwardState forward{.packed = &packed};
  c.model(c.images, forward);  // memory, plans
  for (auto _ : state) benchmark::DoNotOptimize(c.model(c.images, forward).logit.span().ptr);
  for (float v : c.model(c.images, forward).logit.to_host()) BF_CHECK(std::isfinite(v), "logit ", v);
  images_per_second(state, c);
}

// The classification loss alone: what timm's training of a one-logit model does.
template <DType precision>
void train(benchmark::State& state) {
  Case c(state.range(0), precision);
  Optimizer optimizer(c.model.parameters(), {});
  const PairedLossConfig loss{.type = "BCE", .contrastive = false};
  float last = 0;
  const auto step = [&] {
    const ForwardState forward{.training = true};
    c.model.parameters().zero_grad();
    Tensor total = paired_loss(loss, c.model(c.images, forward).logit, {}, c.labels).total;
    total.backward();
    optimizer.step(1e-4);
    last = total.item();
  };
  step();  // memory, plans
  for (auto _ : state) step();
  BF_CHECK(std::isfinite(last), "loss ", last);
  images_per_second(state, c);
}

void arguments(benchmark::internal::Benchmark* b) {
  b->ArgName("batch")->Arg(1)->Arg(8)->Unit(benchmark::kMillisecond)->UseRealTime();
}
BENCHMARK(infer<DType::f32>)->Apply(arguments);
BENCHMARK(infer<DType::bf16>)->Apply(arguments);
BENCHMARK(train<DType::f32>)->Apply(arguments);
BENCHMARK(train<DType::bf16>)->Apply(arguments);

}  // namespace
