// layers/inception_resnet.cpp — the network as a table of its convolutions, from which the list of parameters and the layers
// are made.
#include "layers/inception_resnet.h"

#include <cmath>

#include "engine/host_values.h"
#include "layers/functional/avg_pool.h"
#include "layers/functional/batch_norm.h"
#include "layers/functional/concat.h"
#include "layers/functional/conv2d.h"
#include "layers/functional/l2_normalize.h"
#include "layers/functional/linear.h"
#include "layers/functional/max_pool2d.h"
#include "layers/functional/relu.h"
#include "layers/functional/residual.h"

namespace bonafide {
namespace {

constexpr float kEps = 1e-3f;

struct UnitPlan {  // in and out channels, kernel, stride, padding
  std::int64_t in, out;
  int kernel_h = 1, kernel_w = 1, stride = 1, pad_h = 0, pad_w = 0;
};
using BranchPlan = std::vector<UnitPlan>;

UnitPlan one(std::int64_t in, std::int64_t out) { return {in, out}; }
UnitPlan square(std::int64_t in, std::int64_t out, int stride, int pad) { return {in, out, 3, 3, stride, pad, pad}; }
UnitPlan flat(std::int64_t n, int width) { return {n, n, 1, width, 1, 0, width / 2}; }
UnitPlan tall(std::int64_t n, int height) { return {n, n, height, 1, 1, height / 2, 0}; }

struct StagePlan {
  std::string name;
  enum { unit, blocks, reduction } kind;
  std::vector<BranchPlan> branches;  // of the unit: one of one; of each block, or of the reduction
  int repeats = 0;                   // of the block; 0: it is the stage itself, not one of a list
  float scale = 1;
  bool relu = true, pool_after = false;
};

const std::vector<StagePlan>& plan() {
  static const std::vector<StagePlan> stages = [] {
    const auto stem = [](const char* name, const UnitPlan& u, bool pool_after = false) {
      return StagePlan{.name = name, .kind = StagePlan::unit, .branches = {{u}}, .pool_after = pool_after};
    };
    return std::vector<StagePlan>{
        stem("conv2d_1a", square(3, 32, 2, 0)),
        stem("conv2d_2a", square(32, 32, 1, 0)),
        stem("conv2d_2b", square(32, 64, 1, 1), /*maxpool_3a*/ true),
        stem("conv2d_3b", one(64, 80)),
        stem("conv2d_4a", square(80, 192, 1, 0)),
        stem("conv2d_4b", square(192, 256, 2, 0)),
        {"repeat_1", StagePlan::blocks, {{one(256, 32)}, {one(256, 32), square(32, 32, 1, 1)},
                                         {one(256, 32), square(32, 32, 1, 1), square(32, 32, 1, 1)}}, 5, 0.17f},
        {"mixed_6a", StagePlan::reduction, {{square(256, 384, 2, 0)}, {one(256, 192), square(192, 192, 1, 1), square(192, 256, 2, 0)}}},
        {"repeat_2", StagePlan::blocks, {{one(896, 128)}, {one(896, 128), flat(128, 7), tall(128, 7)}}, 10, 0.10f},
        {"mixed_7a", StagePlan::reduction, {{one(896, 256), square(256, 384, 2, 0)}, {one(896, 256), square(256, 256, 2, 0)},
                                            {one(896, 256), square(256, 256, 1, 1), square(256, 256, 2, 0)}}},
        {"repeat_3", StagePlan::blocks, {{one(1792, 192)}, {one(1792, 192), flat(192, 3), tall(192, 3)}}, 5, 0.20f},
        {"block8", StagePlan::blocks, {{one(1792, 192)}, {one(1792, 192), flat(192, 3), tall(192, 3)}}, 0, 1, /*relu*/ false},
    };
  }();
  return stages;
}

// A branch of one unit is that unit, a longer one a list of units.
std::string unit_name(const std::string& owner, std::size_t branch, const BranchPlan& units, std::size_t j) {
  return str(owner, ".branch", branch, units.size() > 1 ? str(".", j) : std::string());
}
std::string block_name(const StagePlan& s, int k) { return s.repeats ? str(s.name, ".", k) : s.name; }
int block_count(const StagePlan& s) { return std::max(1, s.repeats); }

std::vector<ParameterSpec> list(bool statistics) {
  std::vector<ParameterSpec> all;
  const auto norm = [&](const std::string& name, std::int64_t n) {
    all.push_back({name + ".weight", {n}, Init::ones});
    all.push_back({name + ".bias", {n}, Init::zeros});
    if (!statistics) return;
    all.push_back({name + ".running_mean", {n}, Init::zeros});
    all.push_back({name + ".running_var", {n}, Init::ones});
  };
  const auto add = [&](const std::string& name, const UnitPlan& u) {
    all.push_back({name + ".conv.weight", {u.out, u.in, u.kernel_h, u.kernel_w}, Init::truncated_normal});
    norm(name + ".bn", u.out);
  };
  for (const StagePlan& s : plan()) {
    if (s.kind == StagePlan::unit) {
      add(s.name, s.branches[0][0]);
      continue;
    }
    for (int k = 0; k < block_count(s); ++k) {
      const std::string owner = block_name(s, k);
      std::int64_t together = 0;
      for (std::size_t b = 0; b < s.branches.size(); ++b) {
        for (std::size_t j = 0; j < s.branches[b].size(); ++j) add(unit_name(owner, b, s.branches[b], j), s.branches[b][j]);
        together += s.branches[b].back().out;
      }
      if (s.kind == StagePlan::reduction) continue;
      const std::int64_t width = s.branches[0][0].in;
      all.push_back({owner + ".conv2d.weight", {width, together, 1, 1}, Init::truncated_normal});
      all.push_back({owner + ".conv2d.bias", {width}, Init::zeros});
    }
  }
  all.push_back({"last_linear.weight", {InceptionResnetV1::kDimension, 1792}, Init::truncated_normal});
  norm("last_bn", InceptionResnetV1::kDimension);
  return all;
}

Tensor max_pool(const Tensor& x) { return fn::max_pool2d(x, {.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2}); }

}  // namespace

std::vector<ParameterSpec> inception_resnet_v1_parameters() { return list(false); }
std::vector<ParameterSpec> inception_resnet_v1_state() { return list(true); }

void load_inception_resnet_v1(ParameterSet& set, const WeightFile& file) {
  WeightReport report = load_weights(set, file, "", {"logits."});
  std::erase_if(report.unexpected, [](const std::string& name) { return name.ends_with(".num_batches_tracked"); });
  if (!report.missing.empty() || !report.unexpected.empty())
    throw Error(str(file.description(), ": not the weights of InceptionResnetV1: ", report.str()));
}

InceptionResnetV1::Unit InceptionResnetV1::unit(const ParameterSet& p, const std::string& layer, const std::string& norm) const {
  Unit u{.weight = p[layer + ".weight"], .gamma = p[norm + ".weight"], .beta = p[norm + ".bias"], .mean = p[norm + ".running_mean"],
         .variance = p[norm + ".running_var"]};
  if (!fold_) return u;
  // gamma (w x - mean) / sqrt(variance + eps) + beta = (gamma / sqrt(…)) w x + (beta - mean gamma / sqrt(…))
  const HostValues w(u.weight), gamma(u.gamma), beta(u.beta), mean(u.mean), variance(u.variance);
  const std::int64_t out = u.gamma.numel(), in = u.weight.numel() / out;
  std::vector<float> weight(std::size_t(out * in)), bias(static_cast<std::size_t>(out));
  for (std::int64_t o = 0; o < out; ++o) {
    const double factor = double(gamma.span()[o]) / std::sqrt(double(variance.span()[o]) + double(kEps));
    for (std::int64_t i = 0; i < in; ++i) weight[std::size_t(o * in + i)] = float(factor * double(w.span()[o * in + i]));
    bias[std::size_t(o)] = float(double(beta.span()[o]) - double(mean.span()[o]) * factor);
  }
  return {.weight = Tensor::from_host(p.context(), u.weight.shape(), weight, DType::f32, "weights"),
          .bias = Tensor::from_host(p.context(), {out}, bias, DType::f32, "weights")};
}

InceptionResnetV1::InceptionResnetV1(const ParameterSet& p, const InceptionResnetV1Options& options) : fold_(options.fold_batch_norm) {
  const auto planned = [&](const std::string& name, const UnitPlan& u) {
    Unit made = unit(p, name + ".conv", name + ".bn");
    made.window = {u.kernel_h, u.kernel_w, u.stride, u.stride, u.pad_h, u.pad_w};
    return made;
  };
  for (const StagePlan& s : plan()) {
    Stage stage{.name = s.name, .pool_after = s.pool_after};
    if (s.kind == StagePlan::unit) stage.units = {planned(s.name, s.branches[0][0])};
    for (int k = 0; s.kind != StagePlan::unit && k < block_count(s); ++k) {
      const std::string owner = block_name(s, k);
      std::vector<Branch> branches(s.branches.size());
      for (std::size_t b = 0; b < branches.size(); ++b)
        for (std::size_t j = 0; j < s.branches[b].size(); ++j)
          branches[b].push_back(planned(unit_name(owner, b, s.branches[b], j), s.branches[b][j]));
      if (s.kind == StagePlan::reduction)
        stage.beside_pool = std::move(branches);
      else
        stage.blocks.push_back({std::move(branches), p[owner + ".conv2d.weight"], p[owner + ".conv2d.bias"], s.scale, s.relu});
    }
    stages_.push_back(std::move(stage));
  }
  last_ = unit(p, "last_linear", "last_bn");
}

Tensor InceptionResnetV1::normalised(const Unit& u, const Tensor& x) const {
  return fold_ ? x : fn::batch_norm(x, u.gamma, u.beta, u.mean, u.variance, {.eps = kEps});
}

Tensor InceptionResnetV1::run(const Branch& units, Tensor x) const {
  for (const Unit& u : units) x = fn::relu(normalised(u, fn::conv2d(x, u.weight, u.bias, u.window)));
  return x;
}

Tensor InceptionResnetV1::run(const Block& block, const Tensor& x) const {
  std::vector<Tensor> sides;
  for (const Branch& b : block.branches) sides.push_back(run(b, x));
  const Tensor sum = fn::weighted_add(x, fn::conv2d(fn::concat(sides), block.weight, block.bias, {}), block.scale);
  return block.relu ? fn::relu(sum) : sum;
}

Tensor InceptionResnetV1::run(const Stage& stage, Tensor x) const {
  x = run(stage.units, x);
  for (const Block& b : stage.blocks) x = run(b, x);
  if (!stage.beside_pool.empty()) {
    std::vector<Tensor> sides;
    for (const Branch& b : stage.beside_pool) sides.push_back(run(b, x));
    sides.push_back(max_pool(x));
    x = fn::concat(sides);
  }
  return x;
}

Tensor InceptionResnetV1::until(const std::string& part, const Tensor& x) const {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() == 4 && s[0] > 0 && s[1] >= 75 && s[2] >= 75 && s[3] == 3, "InceptionResnetV1: x ", s.str(),
           ", expected [N, H, W, 3] with sides of at least 75");
  Tensor t = x;
  for (const Stage& stage : stages_) {
    t = run(stage, t);
    if (stage.name == part) return t;
    if (stage.pool_after) t = max_pool(t);
  }
  t = normalised(last_, fn::linear(fn::avg_pool(t), last_.weight, last_.bias));
  if (part == "last_bn") return t;
  BF_CHECK(part.empty(), "InceptionResnetV1 has no part '", part, "'");
  return fn::l2_normalize(t);
}

}  // namespace bonafide
