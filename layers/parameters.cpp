// layers/parameters.cpp
#include "layers/parameters.h"

#include "engine/host_values.h"
#include "engine/philox.h"
#include "engine/parallel.h"
#include "kernels/cast/cast.h"

namespace bonafide {
namespace {
constexpr std::int64_t kAlign = 64;  // elements: every view starts on its own cache lines, in f32 and in bf16
}

std::int64_t parameter_count(const std::vector<ParameterSpec>& specs) {
  std::int64_t n = 0;
  for (const auto& s : specs) n += s.shape.numel();
  return n;
}

ParameterSet::ParameterSet(Context& ctx, std::vector<ParameterSpec> specs, DType compute) : ctx_(ctx) {
  std::int64_t size = 0;
  for (auto& s : specs) {
    BF_CHECK(by_name_.emplace(s.name, parameters_.size()).second, "two parameters are called ", s.name);
    const std::int64_t offset = size;
    size += ceil_div(s.shape.numel(), kAlign) * kAlign;
    parameters_.push_back({std::move(s), offset, {}});
  }
  values_ = Tensor::zeros(ctx, {size}, DType::f32, "parameter");
  gradients_ = Tensor::zeros(ctx, {size}, DType::f32, "gradient");
  if (compute != DType::f32) compute_ = Tensor::zeros(ctx, {size}, compute, "compute copy");
  for (auto& p : parameters_) {
    p.value = Tensor::view(values_, p.offset, p.spec.shape).require_grad();
    p.value.set_grad_buffer(Tensor::view(gradients_, p.offset, p.spec.shape));
    if (compute_) p.value.set_compute_copy(Tensor::view(compute_, p.offset, p.spec.shape));
  }
}

const Tensor& ParameterSet::operator[](const std::string& name) const {
  const auto it = by_name_.find(name);
  BF_CHECK(it != by_name_.end(), "no parameter '", name, "'");
  return parameters_[it->second].value;
}

void ParameterSet::initialise(std::uint64_t seed) {
  write_values(values_, [&](Span<float> arena) {
    parallel_for(std::int64_t(parameters_.size()), [&](std::int64_t i) {
      const Parameter& p = parameters_[std::size_t(i)];
      Random random(seed, p.spec.name);
      for (float& v : arena.slice(p.offset, p.spec.shape.numel()))
        v = p.spec.init == Init::truncated_normal ? 0.02f * random.truncated_normal() : p.spec.init == Init::ones ? 1.0f : 0.0f;
    });
  });
  refresh_compute_copies();
}

void ParameterSet::refresh_compute_copies() {
  if (!compute_) return;
  if (ctx_.on_gpu()) return kernels::cast<float, bf16>(ctx_.target(), {.x = values_.cspan<float>(), .y = compute_.span<bf16>()});
  const auto from = values_.cspan<float>();
  const auto to = compute_.span<bf16>();
  parallel_ranges(from.len, 1 << 16, [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) to[i] = bf16(from[i]);
  });
}

void ParameterSet::zero_grad() {
  for (auto& p : parameters_) p.value.zero_grad();
}

void ParameterSet::complete_gradients() {
  for (auto& p : parameters_)
    if (!p.value.grad_written()) p.value.grad_slot().buffer.set_to_zero();
}

std::vector<kernels::ElementRange> ParameterSet::ranges_without_decay() const {
  std::vector<kernels::ElementRange> r;
  for (const auto& p : parameters_) {
    if (p.spec.decay()) continue;
    const std::int64_t end = p.offset + p.spec.shape.numel();
    if (!r.empty() && p.offset - r.back().end < kAlign) r.back().end = end;  // only padding between them
    else r.push_back({p.offset, end});
  }
  return r;
}

}  // namespace bonafide
