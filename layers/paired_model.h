// layers/paired_model.h — the detector of the Paired-Sampling Contrastive Framework (arXiv 2508.14980): a ConvNeXt-V2
// backbone, a one-logit classifier, and a projection head that only the contrastive loss sees.
#pragma once
#include "layers/convnext_v2.h"

namespace bonafide {

struct PairedModelConfig {
  ConvNeXtV2Config backbone;
  std::int64_t projection = 128;  // width of the contrastive features
};

// backbone.*, cls.{weight,bias} [1,C], proj.0.{weight,bias} [C/2,C], proj.2.{weight,bias} [projection,C/2]: the names of
// the published checkpoints.
std::vector<ParameterSpec> paired_model_parameters(const PairedModelConfig&);

class PairedModel {
 public:
  struct Output {
    Tensor logit;       // [N] f32; sigmoid is P(attack)
    Tensor projection;  // [N, projection] f32, unit rows; empty unless asked for
  };

  PairedModel(Context&, const PairedModelConfig&, DType compute = DType::f32);

  // x: [N, H, W, 3], normalised, f32 or bf16.
  Output operator()(const Tensor& x, const ForwardState& = {}, bool with_projection = false) const;
  PackedWeights pack() const { return backbone_.pack(compute_); }
  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }
  const PairedModelConfig& config() const { return config_; }
  DType compute() const { return compute_; }

 private:
  PairedModelConfig config_;
  DType compute_;
  ParameterSet parameters_;
  ConvNeXtV2 backbone_;
};

}  // namespace bonafide
