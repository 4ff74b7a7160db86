// layers/functional/grn.cpp — the kernels recorded for autograd.
#include "layers/functional/grn.h"

#include "engine/autograd.h"
#include "kernels/grn/grn.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

std::int64_t pixels(const Shape& s) {
  std::int64_t n = 1;
  for (int i = 1; i + 1 < s.rank(); ++i) n *= s[i];
  return n;
}

Tensor workspace(Context& ctx, std::int64_t floats) { return Tensor::empty(ctx, {floats}, DType::f32, "workspace"); }

struct GrnNode final : Node {
  Tensor G;
  float eps = 0;
  const char* name() const override { return "grn"; }
  void backward(const Tensor& dy) override {
    const Tensor &x = inputs[0], &gamma = inputs[1], &beta = inputs[2];
    const auto dx = x.grad_slot(), dgamma = gamma.grad_slot(), dbeta = beta.grad_slot();
    const Shape& s = x.shape();
    const int C = int(s[-1]);
    const Tensor work = workspace(x.context(), kernels::grn_bwd_workspace(s[0], pixels(s), C));
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      kernels::grn_bwd<T>(x.context().target(), {.dy = dy.cspan<T>(),
                                .x = x.cspan<T>(),
                                .gamma = gamma.cspan(),
                                .G = G.cspan(),
                                .dx = dx.span<T>(),
                                .dgamma = dgamma.span(),
                                .dbeta = dbeta.span(),
                                .dx_mode = dx.mode,
                                .dgamma_mode = dgamma.mode,
                                .dbeta_mode = dbeta.mode,
                                .workspace = work.span(),
                                .samples = s[0],
                                .HW = pixels(s),
                                .C = C,
                                .eps = eps});
    });
  }
};

}  // namespace

Tensor grn(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() >= 2 && s[-1] > 0, "grn: x ", s.str(), ", expected [N, ..., C]");
  Context& ctx = x.context();
  Tensor y = Tensor::empty(ctx, s, x.dtype());
  const Tensor G = Tensor::empty(ctx, {s[0], s[-1]});
  const Tensor work = workspace(ctx, kernels::grn_fwd_workspace(s[0], pixels(s), int(s[-1])));
  for_storage("grn", x.dtype(), [&]<class T>(T) {
    kernels::grn_fwd<T>(ctx.target(), {.x = x.cspan<T>(),
                              .gamma = gamma.cspan(),
                              .beta = beta.cspan(),
                              .y = y.span<T>(),
                              .G = G.span(),
                              .workspace = work.span(),
                              .samples = s[0],
                              .HW = pixels(s),
                              .C = int(s[-1]),
                              .eps = eps});
  });
  if (needs_grad(ctx, x, gamma, beta)) {
    auto n = std::make_shared<GrnNode>();
    n->inputs = {x, gamma, beta};
    n->G = G, n->eps = eps;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
