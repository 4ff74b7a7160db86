// layers/convnext_v2.h — ConvNeXt-V2 (Woo et al., CVPR 2023), atto to huge, at any input size. Names are timm's.
#pragma once
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "layers/functional/convnext_block.h"
#include "layers/parameters.h"

namespace bonafide {

struct ConvNeXtV2Config {
  std::string name = "convnextv2_tiny";
  std::array<std::int64_t, 4> depths{3, 3, 9, 3};
  std::array<std::int64_t, 4> dims{96, 192, 384, 768};
  bool conv_mlp = false;  // fc1 and fc2 are stored as 1x1 convolutions (timm: atto to nano)
  float drop_path = 0;    // rate of the last block; earlier ones rise linearly from 0
  fn::BlockImplementation block = fn::BlockImplementation::fused;

  std::int64_t features() const { return dims[3]; }
  std::int64_t blocks() const { return depths[0] + depths[1] + depths[2] + depths[3]; }

  // "convnextv2_atto" … "convnextv2_huge"; an unknown name is an error that lists the known ones.
  static ConvNeXtV2Config by_name(const std::string& name);
};

// The blocks' matrices in the order in which inference reads them. Right while the weights stay what they were.
using PackedWeights = std::vector<std::shared_ptr<const fn::PackedBlock>>;

// What a training forward draws: dropped paths come from (seed, step, block), one draw per sample of the global batch.
struct ForwardState {
  bool training = false;
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::int64_t first_sample = 0;  // position of this process's slice in the global batch
  const PackedWeights* packed = nullptr;  // of the model as it is now, or null
  // Told of every layer's result as it is made, by the name that its parameters begin with; or null. For diagnosis.
  const std::function<void(const std::string& layer, const Tensor& result)>* watch = nullptr;
  void made(const std::string& layer, const Tensor& result) const {
    if (watch) (*watch)(layer, result);
  }
};

// Parameter list, in timm's order, each name behind `prefix` ("backbone."). No head.fc: the features are the result.
std::vector<ParameterSpec> convnext_v2_parameters(const ConvNeXtV2Config&, const std::string& prefix = "");

class ConvNeXtV2 {
 public:
  // The parameters must contain convnext_v2_parameters(config, prefix).
  ConvNeXtV2(const ConvNeXtV2Config&, const ParameterSet&, const std::string& prefix = "");

  // x: [N, H, W, 3] f32 or bf16, H and W at least 32. Result: pooled, normalised features [N, dims[3]] in f32.
  Tensor operator()(const Tensor& x, const ForwardState& = {}) const;
  PackedWeights pack(DType compute) const;
  const ConvNeXtV2Config& config() const { return config_; }

 private:
  struct Affine {
    Tensor weight, bias;
  };
  struct Stage {
    Affine norm, conv;  // downsampling; empty in the first stage
    std::vector<fn::ConvNeXtBlockParameters> blocks;
  };
  ConvNeXtV2Config config_;
  std::string prefix_;
  Affine stem_conv_, stem_norm_, head_norm_;
  std::array<Stage, 4> stages_;
};

}  // namespace bonafide
