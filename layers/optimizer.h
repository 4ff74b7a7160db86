// layers/optimizer.h — AdamW or SGD with momentum over the arenas of a ParameterSet, gradient clipping, and EMA weights.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/communicator.h"
#include "engine/safetensors.h"
#include "layers/parameters.h"

namespace bonafide {

struct OptimizerConfig {
  std::string type = "adamw";  // or "sgd"
  double weight_decay = 1.1e-5;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;  // adamw
  double momentum = 0.9;                          // sgd
  bool decay_norm_and_bias = true;                // the published code decays everything
  double clip_grad_norm = 0;                      // 0: no clipping
};

class Optimizer {
 public:
  // With `shards`, of processes that all have the same parameters and gradients, each keeps the moments of its part of the
  // arena alone, updates that part and sends it to the others: the same bits with 1/world of the optimiser's memory (ZeRO,
  // arXiv 1910.02054, stage 1). Then step() and state() are called by all of them. It speaks of the parameters' device.
  Optimizer(ParameterSet&, OptimizerConfig, std::shared_ptr<Communicator> shards = nullptr);

  // One update from the gradients in the arena (parameters that the last backward did not reach count as zero). Returns
  // the gradient's global L2 norm before clipping; when that is NaN or infinite nothing is changed.
  double step(double learning_rate);
  std::int64_t steps() const { return steps_; }

  // Arenas and counter, for checkpoints: whole ones, whatever the number of processes. restore() throws when the file does
  // not fit.
  std::vector<StoredArray> state() const;
  void restore(const SafetensorsFile&, std::int64_t steps);

 private:
  kernels::ElementRange part_of(int rank) const;  // of the arena; all of it without shards
  void broadcast_parts(const Tensor& arena) const;
  Tensor whole(const Tensor& part) const;
  void read(const SafetensorsFile&, const char* name, const Tensor& part) const;

  ParameterSet& parameters_;
  OptimizerConfig config_;
  std::shared_ptr<Communicator> shards_;
  kernels::ElementRange part_;  // that this process updates
  Tensor no_decay_;             // ElementRanges of that part as bytes, or empty
  Tensor first_, second_;  // of that part. adamw: m and v; sgd: momentum buffer and nothing
  std::int64_t steps_ = 0;
};

// Exponential moving average of the masters. Evaluation swaps it in and out again.
class Ema {
 public:
  Ema(ParameterSet&, double decay);
  void update();
  void swap();  // exchanges averaged and current weights
  const Tensor& average() const { return average_; }  // laid out as the arena of masters
  std::vector<StoredArray> state() const;
  void restore(const SafetensorsFile&);

 private:
  ParameterSet* parameters_;
  double decay_;
  Tensor average_;
};

}  // namespace bonafide
