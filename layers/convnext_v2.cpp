// layers/convnext_v2.cpp
#include "layers/convnext_v2.h"

#include "engine/philox.h"
#include "layers/functional/avg_pool.h"
#include "layers/functional/layer_norm.h"
#include "layers/functional/linear.h"
#include "layers/functional/patchify.h"

namespace bonafide {
namespace {

struct Size {
  const char* name;
  std::array<std::int64_t, 4> depths, dims;
  bool conv_mlp;
};
constexpr Size kSizes[] = {
    {"atto", {2, 2, 6, 2}, {40, 80, 160, 320}, true},       {"femto", {2, 2, 6, 2}, {48, 96, 192, 384}, true},
    {"pico", {2, 2, 6, 2}, {64, 128, 256, 512}, true},      {"nano", {2, 2, 8, 2}, {80, 160, 320, 640}, true},
    {"tiny", {3, 3, 9, 3}, {96, 192, 384, 768}, false},     {"small", {3, 3, 27, 3}, {96, 192, 384, 768}, false},
    {"base", {3, 3, 27, 3}, {128, 256, 512, 1024}, false},  {"large", {3, 3, 27, 3}, {192, 384, 768, 1536}, false},
    {"huge", {3, 3, 27, 3}, {352, 704, 1408, 2816}, false},
};
const std::string kFamily = "convnextv2_";

std::string stage_name(const std::string& prefix, std::size_t i) {
  return prefix + "stages." + std::to_string(i) + ".";
}
std::string block_name(const std::string& prefix, std::size_t i, std::int64_t j) {
  return stage_name(prefix, i) + "blocks." + std::to_string(j) + ".";
}

// 0 or 1/(1-p) for each sample of this slice; empty when nothing is dropped.
Tensor drop_scale(Context& ctx, const ForwardState& s, std::int64_t n, std::int64_t block, float p) {
  if (!s.training || p == 0) return {};
  Random random(s.seed, "drop_path", std::uint64_t(s.step), std::uint64_t(block));
  std::vector<float> scale;
  for (std::int64_t i = 0; i < s.first_sample + n; ++i) {
    const bool keep = random.uniform() >= p;
    if (i >= s.first_sample) scale.push_back(keep ? 1 / (1 - p) : 0.0f);
  }
  return Tensor::from_host(ctx, {n}, scale);
}

}  // namespace

ConvNeXtV2Config ConvNeXtV2Config::by_name(const std::string& name) {
  std::string known;
  for (const Size& s : kSizes) {
    if (name == kFamily + s.name) return {.name = name, .depths = s.depths, .dims = s.dims, .conv_mlp = s.conv_mlp};
    known += (known.empty() ? "" : ", ") + kFamily + s.name;
  }
  throw Error(str("unknown model '", name, "'; known are ", known));
}

std::vector<ParameterSpec> convnext_v2_parameters(const ConvNeXtV2Config& c, const std::string& prefix) {
  std::vector<ParameterSpec> list;
  const auto affine = [&](const std::string& name, Shape weight, Init init) {
    list.push_back({name + "weight", weight, init});
    list.push_back({name + "bias", {weight[0]}, Init::zeros});
  };
  const auto norm = [&](const std::string& name, std::int64_t n) { affine(name, {n}, Init::ones); };
  const auto pointwise = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    affine(name, c.conv_mlp ? Shape{out, in, 1, 1} : Shape{out, in}, Init::truncated_normal);
  };
  affine(prefix + "stem.0.", {c.dims[0], 3, 4, 4}, Init::truncated_normal);
  norm(prefix + "stem.1.", c.dims[0]);
  for (std::size_t i = 0; i < 4; ++i) {
    const std::int64_t C = c.dims[i];
    if (i > 0) {
      norm(stage_name(prefix, i) + "downsample.0.", c.dims[i - 1]);
      affine(stage_name(prefix, i) + "downsample.1.", {C, c.dims[i - 1], 2, 2}, Init::truncated_normal);
    }
    for (std::int64_t j = 0; j < c.depths[i]; ++j) {
      const std::string b = block_name(prefix, i, j);
      affine(b + "conv_dw.", {C, 1, 7, 7}, Init::truncated_normal);
      norm(b + "norm.", C);
      pointwise(b + "mlp.fc1.", 4 * C, C);
      affine(b + "mlp.grn.", {4 * C}, Init::zeros);
      pointwise(b + "mlp.fc2.", C, 4 * C);
    }
  }
  norm(prefix + "head.norm.", c.dims[3]);
  return list;
}

ConvNeXtV2::ConvNeXtV2(const ConvNeXtV2Config& c, const ParameterSet& p, const std::string& prefix)
    : config_(c), prefix_(prefix) {
  const auto affine = [&](const std::string& name) { return Affine{p[name + "weight"], p[name + "bias"]}; };
  stem_conv_ = affine(prefix + "stem.0."), stem_norm_ = affine(prefix + "stem.1.");
  head_norm_ = affine(prefix + "head.norm.");
  for (std::size_t i = 0; i < 4; ++i) {
    if (i > 0) {
      stages_[i].norm = affine(stage_name(prefix, i) + "downsample.0.");
      stages_[i].conv = affine(stage_name(prefix, i) + "downsample.1.");
    }
    for (std::int64_t j = 0; j < c.depths[i]; ++j) {
      const std::string b = block_name(prefix, i, j);
      stages_[i].blocks.push_back({p[b + "conv_dw.weight"], p[b + "conv_dw.bias"], p[b + "norm.weight"],
                                   p[b + "norm.bias"], p[b + "mlp.fc1.weight"], p[b + "mlp.fc1.bias"],
                                   p[b + "mlp.grn.weight"], p[b + "mlp.grn.bias"], p[b + "mlp.fc2.weight"],
                                   p[b + "mlp.fc2.bias"]});
    }
  }
}

PackedWeights ConvNeXtV2::pack(DType compute) const {
  PackedWeights packed;
  if (stem_conv_.weight.context().on_gpu()) return PackedWeights(std::size_t(config_.blocks()));  // the CPU's products alone are packed for
  for (const Stage& stage : stages_)
    for (const auto& p : stage.blocks) packed.push_back(fn::pack_block(p, compute));
  return packed;
}

Tensor ConvNeXtV2::operator()(const Tensor& x, const ForwardState& state) const {
  BF_CHECK(x.shape().rank() == 4 && x.shape()[3] == 3, "images must be [N, H, W, 3], got ", x.shape().str());
  BF_CHECK(x.shape()[1] >= 32 && x.shape()[2] >= 32, "images must be at least 32x32, got ", x.shape().str());
  Tensor t = fn::linear(fn::patchify(x, 4), stem_conv_.weight, stem_conv_.bias);
  state.made(prefix_ + "stem.0", t);
  t = fn::layer_norm(t, stem_norm_.weight, stem_norm_.bias);
  state.made(prefix_ + "stem.1", t);
  const std::int64_t last = config_.blocks() - 1;
  std::int64_t block = 0;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const Stage& stage = stages_[i];
    if (stage.conv.weight) {
      t = fn::layer_norm(t, stage.norm.weight, stage.norm.bias);
      state.made(stage_name(prefix_, i) + "downsample.0", t);
      t = fn::linear(fn::patchify(t, 2), stage.conv.weight, stage.conv.bias);
      state.made(stage_name(prefix_, i) + "downsample.1", t);
    }
    for (std::size_t j = 0; j < stage.blocks.size(); ++j, ++block) {
      const float rate = last > 0 ? config_.drop_path * float(block) / float(last) : 0.0f;
      t = fn::convnext_block(t, stage.blocks[j], drop_scale(x.context(), state, x.shape()[0], block, rate), config_.block,
                             state.packed ? state.packed->at(std::size_t(block)).get() : nullptr);
      state.made(stage_name(prefix_, i) + "blocks." + std::to_string(j), t);
    }
  }
  t = fn::layer_norm(fn::avg_pool(t), head_norm_.weight, head_norm_.bias);
  state.made(prefix_ + "head.norm", t);
  return t;
}

}  // namespace bonafide
