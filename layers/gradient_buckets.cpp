// layers/gradient_buckets.cpp
#include "layers/gradient_buckets.h"

#include <utility>

#include "kernels/cast/cast.h"

namespace bonafide {

GradientBuckets::GradientBuckets(ParameterSet& parameters, Communicator& comm, BucketSettings settings)
    : parameters_(parameters), comm_(comm), settings_(settings) {
  BF_CHECK(settings.bytes > 0, "buckets of ", settings.bytes, " bytes");
  BF_CHECK(settings.type == DType::f32 || settings.type == DType::bf16, "sums of gradients in ", name_of(settings.type));
  const auto& all = parameters.all();
  bucket_of_.resize(all.size());
  std::int64_t end = parameters.arena_size();
  for (std::size_t i = all.size(); i-- > 0;) {
    if (buckets_.empty() || (buckets_.back().end - buckets_.back().begin) * size_of(settings.type) >= settings.bytes) buckets_.push_back({end, end, {}});
    Bucket& b = buckets_.back();
    b.begin = end = all[i].offset;
    b.parameters.push_back(i);
    bucket_of_[i] = buckets_.size() - 1;
    Tensor value = all[i].value;
    value.set_grad_hook([this, i](Tensor&) { finished(i); });
  }
  if (settings.type == DType::bf16) rounded_ = Tensor::empty(parameters.context(), {parameters.arena_size()}, DType::bf16, "gradient");
}

GradientBuckets::~GradientBuckets() {
  if (armed_) comm_.abort();  // an error between begin() and finish(): the gradients go away, and with them what sums write to
  for (const auto& p : parameters_.all()) Tensor(p.value).set_grad_hook({});
}

void GradientBuckets::begin() {
  waiting_.clear();
  for (const Bucket& b : buckets_) waiting_.push_back(std::int64_t(b.parameters.size()));
  next_ = 0, armed_ = true;
}

void GradientBuckets::finished(std::size_t parameter) {
  if (!armed_) return;  // somebody else's backward: gradient checks, adversarial attacks
  --waiting_[bucket_of_[parameter]];
  begin_ready(false);
}

void GradientBuckets::begin_ready(bool all) {
  for (; next_ < buckets_.size() && (all || waiting_[next_] == 0); ++next_) {
    const Bucket& b = buckets_[next_];
    for (const std::size_t i : b.parameters)
      if (const Tensor& p = parameters_.all()[i].value; !p.grad_written()) p.grad_slot().buffer.set_to_zero();
    if (on_begin_) on_begin_(next_);
    const Span<float> gradients = parameters_.gradients().span().slice(b.begin, b.end - b.begin);
    if (!rounded_) {
      comm_.begin_all_reduce_sum(gradients);
    } else {
      const Span<bf16> sent = rounded_.span<bf16>().slice(b.begin, b.end - b.begin);
      kernels::cast<float, bf16>(parameters_.context().target(), {.x = gradients, .y = sent});
      comm_.begin_all_reduce_sum(sent);
    }
  }
}

void GradientBuckets::finish() {
  BF_CHECK(armed_, "finish() without begin()");
  begin_ready(true);
  armed_ = false;
  comm_.finish();
  if (rounded_) kernels::cast<bf16, float>(parameters_.context().target(), {.x = rounded_.cspan<bf16>(), .y = parameters_.gradients().span()});
}

}  // namespace bonafide
