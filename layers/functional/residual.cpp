// layers/functional/residual.cpp — the kernel recorded for autograd, for a branch and for a plain weighted sum.
#include "layers/functional/residual.h"

#include "engine/autograd.h"
#include "kernels/residual/residual.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

// What both operations are: out = x + scale[n] y, with the scale in a tensor (per sample), or one number for all.
struct Scale {
  Tensor per_sample;
  float number = 1;
  Span<const float> span() const { return per_sample ? per_sample.cspan() : Span<const float>(); }
  std::int64_t samples(const Tensor& x) const { return per_sample && x.shape().rank() ? x.shape()[0] : 1; }
};

struct ResidualNode final : Node {
  const char* name_ = "";
  Scale scale;
  const char* name() const override { return name_; }
  void backward(const Tensor& dout) override {
    const auto dx = inputs[0].grad_slot(), dy = inputs[1].grad_slot();
    const std::int64_t N = scale.samples(dout);
    for_storage(name_, dout.dtype(), [&]<class T>(T) {
      kernels::residual_bwd<T>(dout.context().target(), {.dout = dout.cspan<T>(),
                                                         .scale = scale.span(),
                                                         .dx = dx.span<T>(),
                                                         .dy = dy.span<T>(),
                                                         .dx_mode = dx.mode,
                                                         .dy_mode = dy.mode,
                                                         .one_scale = scale.number,
                                                         .N = N,
                                                         .S = N ? dout.numel() / N : 0});
    });
  }
};

Tensor scaled_sum(const char* name, const Tensor& x, const Tensor& y, Scale scale) {
  BF_CHECK(x.shape() == y.shape() && x.dtype() == y.dtype(), name, ": ", x.shape().str(), " ", name_of(x.dtype()),
           " and ", y.shape().str(), " ", name_of(y.dtype()));
  const std::int64_t N = scale.samples(x);
  Tensor out = Tensor::empty(x.context(), x.shape(), x.dtype());
  for_storage(name, x.dtype(), [&]<class T>(T) {
    kernels::residual_fwd<T>(x.context().target(), {.x = x.cspan<T>(),
                                                    .y = y.cspan<T>(),
                                                    .scale = scale.span(),
                                                    .out = out.span<T>(),
                                                    .one_scale = scale.number,
                                                    .N = N,
                                                    .S = N ? x.numel() / N : 0});
  });
  if (needs_grad(x.context(), x, y)) {
    auto n = std::make_shared<ResidualNode>();
    n->inputs = {x, y}, n->name_ = name, n->scale = std::move(scale);
    out.set_node(std::move(n));
  }
  return out;
}

}  // namespace

Tensor residual(const Tensor& x, const Tensor& y, const Tensor& scale) {
  return scaled_sum("residual", x, y, {.per_sample = scale});
}
Tensor weighted_add(const Tensor& a, const Tensor& b, float w) {
  return scaled_sum("weighted_add", a, b, {.number = w});
}

}  // namespace bonafide::fn
