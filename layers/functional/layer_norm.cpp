// layers/functional/layer_norm.cpp — the kernels recorded for autograd.
#include "layers/functional/layer_norm.h"

#include "engine/autograd.h"
#include "kernels/layer_norm/layer_norm.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct LayerNormNode final : Node {
  Tensor mean, rstd;
  const char* name() const override { return "layer_norm"; }
  void backward(const Tensor& dy) override {
    const Tensor &x = inputs[0], &gamma = inputs[1], &beta = inputs[2];
    const auto dx = x.grad_slot(), dgamma = gamma.grad_slot(), dbeta = beta.grad_slot();
    const std::int64_t rows = x.shape().rows();
    const int C = int(x.shape()[-1]);
    const Tensor work =
        Tensor::empty(x.context(), {kernels::layer_norm_bwd_workspace(rows, C)}, DType::f32, "workspace");
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      kernels::layer_norm_bwd<T>(x.context().target(), {.dy = dy.cspan<T>(),
                                       .x = x.cspan<T>(),
                                       .gamma = gamma.cspan(),
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
                                       .C = C});
    });
  }
};

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() >= 1 && s[-1] > 0, "layer_norm: x ", s.str(), ", expected [..., C]");
  const std::int64_t rows = s.rows();
  Context& ctx = x.context();
  Tensor y = Tensor::empty(ctx, s, x.dtype());
  const Tensor mean = Tensor::empty(ctx, {rows}), rstd = Tensor::empty(ctx, {rows});
  for_storage("layer_norm", x.dtype(), [&]<class T>(T) {
    kernels::layer_norm_fwd<T>(x.context().target(), {.x = x.cspan<T>(),
                                     .gamma = gamma.cspan(),
                                     .beta = beta.cspan(),
                                     .y = y.span<T>(),
                                     .mean = mean.span(),
                                     .rstd = rstd.span(),
                                     .rows = rows,
                                     .C = int(s[-1]),
                                     .eps = eps});
  });
  if (needs_grad(ctx, x, gamma, beta)) {
    auto n = std::make_shared<LayerNormNode>();
    n->inputs = {x, gamma, beta};
    n->mean = mean, n->rstd = rstd;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
