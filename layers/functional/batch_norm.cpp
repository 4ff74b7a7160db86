// layers/functional/batch_norm.cpp — the kernels recorded for autograd.
#include "layers/functional/batch_norm.h"

#include "engine/autograd.h"
#include "kernels/batch_norm/batch_norm.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct BatchNormNode final : Node {
  Tensor mean, rstd;
  bool training = false;
  const char* name() const override { return "batch_norm"; }
  void backward(const Tensor& dy) override {
    const Tensor &x = inputs[0], &weight = inputs[1], &bias = inputs[2];
    const auto dx = x.grad_slot(), dgamma = weight.grad_slot(), dbeta = bias.grad_slot();
    const std::int64_t rows = x.shape().rows(), C = x.shape()[-1];
    const Tensor work =
        Tensor::empty(x.context(), {kernels::batch_norm_bwd_workspace(rows, C)}, DType::f32, "workspace");
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      kernels::batch_norm_bwd<T>(x.context().target(), {.dy = dy.cspan<T>(),
                                                        .x = x.cspan<T>(),
                                                        .gamma = weight.cspan(),
                                                        .mean = mean.cspan(),
                                                        .rstd = rstd.cspan(),
                                                        .dx = dx.span<T>(),
                                                        .dgamma = dgamma.span(),
                                                        .dbeta = dbeta.span(),
                                                        .dx_mode = dx.mode,
                                                        .dgamma_mode = dgamma.mode,
                                                        .dbeta_mode = dbeta.mode,
                                                        .workspace = work.span(),
                                                        .rows = rows,
                                                        .C = C,
                                                        .training = training});
    });
  }
};

}  // namespace

Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                  const Tensor& running_var, const BatchNormOptions& options) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() >= 1 && s[-1] > 0, "batch_norm: x ", s.str(), ", expected [..., C]");
  const std::int64_t rows = s.rows(), C = s[-1];
  Context& ctx = x.context();
  Tensor y = Tensor::empty(ctx, s, x.dtype());
  const Tensor mean = Tensor::empty(ctx, {C}), rstd = Tensor::empty(ctx, {C});
  const Tensor work =
      Tensor::empty(ctx, {options.training ? kernels::batch_norm_fwd_workspace(rows, C) : 0}, DType::f32, "workspace");
  for_storage("batch_norm", x.dtype(), [&]<class T>(T) {
    kernels::batch_norm_fwd<T>(ctx.target(), {.x = x.cspan<T>(),
                                              .gamma = weight.cspan(),
                                              .beta = bias.cspan(),
                                              .y = y.span<T>(),
                                              .running_mean = running_mean.span(),
                                              .running_var = running_var.span(),
                                              .mean = mean.span(),
                                              .rstd = rstd.span(),
                                              .workspace = work.span(),
                                              .rows = rows,
                                              .C = C,
                                              .eps = options.eps,
                                              .momentum = options.momentum,
                                              .training = options.training});
  });
  if (needs_grad(ctx, x, weight, bias)) {
    auto n = std::make_shared<BatchNormNode>();
    n->inputs = {x, weight, bias};
    n->mean = mean, n->rstd = rstd, n->training = options.training;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
