// layers/optimizer.cpp
#include "layers/optimizer.h"

#include <algorithm>
#include <cmath>

#include "engine/host_values.h"
#include "kernels/adamw/adamw.h"
#include "kernels/ema/ema.h"
#include "kernels/grad_norm/grad_norm.h"
#include "kernels/sgd/sgd.h"

namespace bonafide {
namespace {

Tensor arena(ParameterSet& p) { return Tensor::zeros(p.context(), {p.arena_size()}, DType::f32, "optimizer"); }
void read(const SafetensorsFile& file, const char* name, const Tensor& t) {
  write_values(t, [&](Span<float> values) { file.read<float>(name, values); });
}

}  // namespace

Optimizer::Optimizer(ParameterSet& parameters, OptimizerConfig config) : parameters_(parameters), config_(std::move(config)) {
  if (config_.type != "adamw" && config_.type != "sgd")
    throw Error(str("optimizer.type is '", config_.type, "', expected adamw or sgd"));
  if (!config_.decay_norm_and_bias) no_decay_ = parameters_.ranges_without_decay();
  first_ = arena(parameters_);
  if (config_.type == "adamw") second_ = arena(parameters_);
}

double Optimizer::step(double learning_rate) {
  parameters_.complete_gradients();
  const auto g = parameters_.gradients().cspan<float>();
  double norm = 0;
  std::vector<double> workspace(std::size_t(kernels::grad_norm_workspace(g.len)));
  kernels::cpu::grad_norm({.g = g, .norm = {&norm, 1}, .workspace = workspace});
  if (!std::isfinite(norm)) return norm;
  const double scale = config_.clip_grad_norm > 0 ? kernels::clip_factor(norm, config_.clip_grad_norm) : 1;
  const Span<const kernels::ElementRange> no_decay(no_decay_);
  const Span<bf16> copy = parameters_.compute_copies() ? parameters_.compute_copies().span<bf16>() : Span<bf16>();
  const auto p = parameters_.values().span<float>();
  ++steps_;
  if (config_.type == "adamw")
    kernels::cpu::adamw({.p = p, .m = first_.span<float>(), .v = second_.span<float>(), .g = g, .copy = copy,
                         .no_decay = no_decay, .step = steps_, .lr = learning_rate, .beta1 = config_.beta1,
                         .beta2 = config_.beta2, .eps = config_.eps, .weight_decay = config_.weight_decay, .grad_scale = scale});
  else
    kernels::cpu::sgd({.p = p, .buffer = first_.span<float>(), .g = g, .copy = copy, .no_decay = no_decay,
                       .first = steps_ == 1, .lr = learning_rate, .momentum = config_.momentum,
                       .weight_decay = config_.weight_decay, .grad_scale = scale});
  return norm;
}

std::vector<StoredArray> Optimizer::state() const {
  std::vector<StoredArray> r{stored_tensor("optimizer.first", first_)};
  if (second_) r.push_back(stored_tensor("optimizer.second", second_));
  return r;
}
void Optimizer::restore(const SafetensorsFile& file, std::int64_t steps) {
  read(file, "optimizer.first", first_);
  if (second_) read(file, "optimizer.second", second_);
  steps_ = steps;
}

Ema::Ema(ParameterSet& parameters, double decay) : parameters_(&parameters), decay_(decay), average_(arena(parameters)) {
  average_.copy_from(parameters.values());
}
void Ema::update() {
  kernels::cpu::ema({.e = average_.span<float>(), .p = parameters_->values().cspan<float>(), .decay = decay_});
}
void Ema::swap() {
  Tensor current = parameters_->values();
  if (current.context().on_gpu()) {
    Tensor kept = Tensor::empty(current.context(), current.shape(), DType::f32, "optimizer");
    kept.copy_from(current), current.copy_from(average_), average_.copy_from(kept);
  } else {
    const auto a = average_.span<float>(), p = current.span<float>();
    std::swap_ranges(a.begin(), a.end(), p.begin());
  }
  parameters_->refresh_compute_copies();
}
std::vector<StoredArray> Ema::state() const { return {stored_tensor("ema", average_)}; }
void Ema::restore(const SafetensorsFile& file) { read(file, "ema", average_); }

}  // namespace bonafide
