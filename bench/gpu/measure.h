// bench/gpu/measure.h — medians of CUDA events, and the rows that bench_gpu prints and writes as JSON.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "engine/context.h"
#include "engine/tensor.h"

namespace bonafide::bench {

struct Row {
  std::string name, shape;
  double us = 0;      // median
  Cost cost;          // what the operation says it moves and computes; 0: nothing
  double images = 0;  // per call, for whole passes
  double predicted_us = 0;
};

class Measure {
 public:
  explicit Measure(Context& ctx) : ctx_(ctx) {}

  // Calls f until a fifth of a second of GPU time or 50 calls are measured, after two calls that are not.
  void operator()(Row row, const std::function<void()>& f);
  // Copy bandwidth [B/s] and bf16 matrix rate [FLOP/s] of this GPU on random data: what rows are compared with.
  void ceilings();

  std::string json() const;
  Context& context() { return ctx_; }

 private:
  double median_us(const std::function<void()>& f);
  void print(const Row&) const;
  Context& ctx_;
  std::vector<Row> rows_;
  double bytes_per_s_ = 0, flops_ = 0;
};

// Normal draws, the same few million over and over, made once per type.
Tensor random_tensor(Context&, Shape, DType);

void measure_kernels(Measure&, std::int64_t batch);  // the network's, on the shapes of ConvNeXt-V2 tiny
void measure_training_kernels(Measure&, std::int64_t batch);  // images, losses, optimisers
void measure_models(Measure&);                       // training step and inference of tiny at batch 1, 64, 128, 256

}  // namespace bonafide::bench
