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

constexpr std::int64_t kAlign = 64;  // elements: parts begin where vectors do

void read_values(const SafetensorsFile& file, const char* name, const Tensor& t) {
  write_values(t, [&](Span<float> values) { file.read<float>(name, values); });
}
Tensor zeros(ParameterSet& p, std::int64_t n) { return Tensor::zeros(p.context(), {n}, DType::f32, "optimizer"); }

// The elements of a tensor of bytes: there are no tensors of doubles and of ranges.
template <class T>
Span<T> of(const Tensor& bytes) {
  return {reinterpret_cast<T*>(bytes.span<std::uint8_t>().ptr), bytes.numel() / std::int64_t(sizeof(T))};
}

}  // namespace

Optimizer::Optimizer(ParameterSet& parameters, OptimizerConfig config, std::shared_ptr<Communicator> shards)
    : parameters_(parameters), config_(std::move(config)), shards_(std::move(shards)) {
  if (config_.type != "adamw" && config_.type != "sgd")
    throw Error(str("optimizer.type is '", config_.type, "', expected adamw or sgd"));
  part_ = part_of(shards_ ? shards_->rank() : 0);
  std::vector<kernels::ElementRange> ranges;
  for (const auto& r : parameters_.ranges_without_decay())
    if (const kernels::ElementRange in{std::max(r.begin, part_.begin) - part_.begin, std::min(r.end, part_.end) - part_.begin}; in.begin < in.end)
      ranges.push_back(in);
  if (!config_.decay_norm_and_bias && !ranges.empty()) {
    const auto bytes = std::as_bytes(std::span(ranges));
    no_decay_ = Tensor::from_host(parameters_.context(), {std::int64_t(bytes.size())},
                                  std::span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
  }
  first_ = zeros(parameters_, part_.end - part_.begin);
  if (config_.type == "adamw") second_ = zeros(parameters_, part_.end - part_.begin);
}

kernels::ElementRange Optimizer::part_of(int rank) const {
  const std::int64_t n = parameters_.arena_size();
  if (!shards_) return {0, n};
  const std::int64_t length = ceil_div(ceil_div(n, kAlign), std::int64_t(shards_->world())) * kAlign;
  return {std::min(n, rank * length), std::min(n, (rank + 1) * length)};
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
  const std::int64_t n = part_.end - part_.begin;
  const Span<bf16> copy = parameters_.compute_copies() ? parameters_.compute_copies().span<bf16>().slice(part_.begin, n) : Span<bf16>();
  const auto p = parameters_.values().span<float>().slice(part_.begin, n);
  const auto own = g.slice(part_.begin, n);
  const auto no_decay = no_decay_ ? of<const kernels::ElementRange>(no_decay_) : Span<const kernels::ElementRange>();
  if (config_.type == "adamw")
    kernels::adamw(ctx.target(), {.p = p, .m = first_.span<float>(), .v = second_.span<float>(), .g = own, .copy = copy,
                                  .no_decay = no_decay, .norm = norm, .step = steps_ + 1, .lr = learning_rate,
                                  .beta1 = config_.beta1, .beta2 = config_.beta2, .eps = config_.eps,
                                  .weight_decay = config_.weight_decay, .max_norm = config_.clip_grad_norm});
  else
    kernels::sgd(ctx.target(), {.p = p, .buffer = first_.span<float>(), .g = own, .copy = copy, .no_decay = no_decay,
                                .norm = norm, .first = steps_ == 0, .lr = learning_rate, .momentum = config_.momentum,
                                .weight_decay = config_.weight_decay, .max_norm = config_.clip_grad_norm});
  if (shards_) {
    broadcast_parts(parameters_.values());
    parameters_.refresh_compute_copies();
  }
  double result = 0;
  ctx.download(&result, norm.ptr, sizeof result);
  if (kernels::is_finite(result)) ++steps_;
  return result;
}

std::vector<StoredArray> Optimizer::state() const {
  std::vector<StoredArray> r{stored_tensor("optimizer.first", whole(first_))};
  if (second_) r.push_back(stored_tensor("optimizer.second", whole(second_)));
  return r;
}
void Optimizer::restore(const SafetensorsFile& file, std::int64_t steps) {
  read(file, "optimizer.first", first_);
  if (second_) read(file, "optimizer.second", second_);
  steps_ = steps;
}

// Every process's part of an arena to all the others.
void Optimizer::broadcast_parts(const Tensor& arena) const {
  for (int r = 0; r < shards_->world(); ++r) {
    const kernels::ElementRange part = part_of(r);
    const auto values = arena.span<float>().slice(part.begin, part.end - part.begin);
    shards_->broadcast({reinterpret_cast<std::uint8_t*>(values.ptr), values.len * std::int64_t(sizeof(float))}, r);
  }
}
Tensor Optimizer::whole(const Tensor& part) const {
  if (!shards_) return part;
  const Tensor all = zeros(parameters_, parameters_.arena_size());
  if (part.numel() > 0) Tensor::view(all, part_.begin, part.shape()).copy_from(part);
  broadcast_parts(all);
  return all;
}
void Optimizer::read(const SafetensorsFile& file, const char* name, const Tensor& part) const {
  if (!shards_) return read_values(file, name, part);
  std::vector<float> all(std::size_t(parameters_.arena_size()));
  file.read<float>(name, all);
  Tensor(part).copy_from_host(std::span(all).subspan(std::size_t(part_.begin), std::size_t(part_.end - part_.begin)));
}

Ema::Ema(ParameterSet& parameters, double decay) : parameters_(&parameters), decay_(decay), average_(zeros(parameters, parameters.arena_size())) {
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
void Ema::restore(const SafetensorsFile& file) { read_values(file, "ema", average_); }

}  // namespace bonafide
