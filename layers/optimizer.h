// layers/optimizer.h — AdamW or SGD with momentum over the arenas of a ParameterSet, gradient clipping, and EMA weights.
#pragma once
#include <string>
#include <vector>

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
  Optimizer(ParameterSet&, OptimizerConfig);

  // One update from the gradients in the arena (parameters that the last backward did not reach count as zero). Returns
  // the gradient's global L2 norm before clipping; when that is NaN or infinite nothing is changed.
  double step(double learning_rate);
  std::int64_t steps() const { return steps_; }

  // Arenas and counter, for checkpoints. restore() throws when the file does not fit.
  std::vector<StoredArray> state() const;
  void restore(const SafetensorsFile&, std::int64_t steps);

 private:
  ParameterSet& parameters_;
  OptimizerConfig config_;
  Tensor no_decay_;        // ElementRanges as bytes, or empty
  Tensor first_, second_;  // adamw: m and v; sgd: momentum buffer and nothing
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
