// layers/optimizer.cpp
#include "layers/optimizer.h"

#include <algorithm>
#include <span>

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

// The elements of a tensor of bytes: there are no tensors of doubles and of ranges.
template <class T>
Span<T> of(const Tensor& bytes) {
  return {reinterpret_cast<T*>(bytes.span<std::uint8_t>().ptr), bytes.numel() / std::int64_t(sizeof(T))};
}

}  // namespace

Optimizer::Optimizer(ParameterSet& parameters, OptimizerConfig config) : parameters_(parameters), config_(std::move(config)) {
  if (config_.type != "adamw" && config_.type != "sgd")
    throw Error(str("optimizer.type is '", config_.type, "', expected adamw or sgd"));
  const auto ranges = parameters_.ranges_without_decay();
  if (!config_.decay_norm_and_bias && !ranges.empty()) {
    const auto bytes = std::as_bytes(std::span(ranges));
    no_decay_ = Tensor::from_host(parameters_.context(), {std::int64_t(bytes.size())},
                                  std::span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
  }
  first_ = arena(parameters_);
  if (config_.type == "adamw") second_ = arena(parameters_);
}

double Optimizer::step(double learning_rate) {
  parameters_.complete_gradients();
  Context& ctx = parameters_.context();
  const auto g = parameters_.gradients().cspan<float>();
  const std::int64_t pieces = kernels::grad_norm_workspace(g.len);
  const Tensor doubles = Tensor::empty(ctx, {(1 + pieces) * std::int64_t(sizeof(double))}, DType::u8, "gradient norm");
  const Span<double> norm = of<double>(doubles).slice(0, 1);
  kernels::grad_norm(ctx.target(), {.g = g, .norm = norm, .workspace = of<double>(doubles).slice(1, pieces)});

  // The kernels read the norm where it is and do nothing when it is not finite: the device never waits for the host.
  const Span<bf16> copy = parameters_.compute_copies() ? parameters_.compute_copies().span<bf16>() : Span<bf16>();
  const auto p = parameters_.values().span<float>();
  const auto no_decay = no_decay_ ? of<const kernels::ElementRange>(no_decay_) : Span<const kernels::ElementRange>();
  if (config_.type == "adamw")
    kernels::adamw(ctx.target(), {.p = p, .m = first_.span<float>(), .v = second_.span<float>(), .g = g, .copy = copy,
                                  .no_decay = no_decay, .norm = norm, .step = steps_ + 1, .lr = learning_rate,
                                  .beta1 = config_.beta1, .beta2 = config_.beta2, .eps = config_.eps,
                                  .weight_decay = config_.weight_decay, .max_norm = config_.clip_grad_norm});
  else
    kernels::sgd(ctx.target(), {.p = p, .buffer = first_.span<float>(), .g = g, .copy = copy, .no_decay = no_decay,
                                .norm = norm, .first = steps_ == 0, .lr = learning_rate, .momentum = config_.momentum,
                                .weight_decay = config_.weight_decay, .max_norm = config_.clip_grad_norm});
  double result = 0;
  ctx.download(&result, norm.ptr, sizeof result);
  if (kernels::is_finite(result)) ++steps_;
  return result;
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
  kernels::ema(parameters_->context().target(), {.e = average_.span<float>(), .p = parameters_->values().cspan<float>(), .decay = decay_});
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
