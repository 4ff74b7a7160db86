// layers/paired_model.cpp
#include "layers/paired_model.h"

#include "layers/functional/l2_normalize.h"
#include "layers/functional/linear.h"
#include "layers/functional/relu.h"

namespace bonafide {

std::vector<ParameterSpec> paired_model_parameters(const PairedModelConfig& c) {
  auto list = convnext_v2_parameters(c.backbone, "backbone.");
  const std::int64_t C = c.backbone.features(), hidden = C / 2;
  const auto affine = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    list.push_back({name + "weight", {out, in}, Init::truncated_normal});
    list.push_back({name + "bias", {out}, Init::zeros});
  };
  affine("cls.", 1, C);
  affine("proj.0.", hidden, C);
  affine("proj.2.", c.projection, hidden);
  return list;
}

PairedModel::PairedModel(Context& ctx, const PairedModelConfig& c, DType compute)
    : config_(c), compute_(compute), parameters_(ctx, paired_model_parameters(c), compute),
      backbone_(c.backbone, parameters_, "backbone.") {}

PairedModel::Output PairedModel::operator()(const Tensor& x, const ForwardState& state, bool with_projection) const {
  const ParameterSet& p = parameters_;
  const Tensor features = backbone_(x, state);
  Output out;
  out.logit = fn::linear(features, p["cls.weight"], p["cls.bias"]).reshape({features.shape()[0]});
  state.made("cls", out.logit);
  if (with_projection) {
    const Tensor hidden = fn::relu(fn::linear(features, p["proj.0.weight"], p["proj.0.bias"]));
    state.made("proj.0", hidden);
    const Tensor projection = fn::linear(hidden, p["proj.2.weight"], p["proj.2.bias"]);
    state.made("proj.2", projection);
    out.projection = fn::l2_normalize(projection);
  }
  return out;
}

}  // namespace bonafide
