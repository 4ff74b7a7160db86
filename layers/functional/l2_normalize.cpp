// layers/functional/l2_normalize.cpp — the kernel recorded for autograd.
#include "layers/functional/l2_normalize.h"

#include "engine/autograd.h"
#include "kernels/l2_normalize/l2_normalize.h"

namespace bonafide::fn {
namespace {

struct L2NormalizeNode final : Node {
  Tensor norm;
  float eps = 0;
  const char* name() const override { return "l2_normalize"; }
  void backward(const Tensor& dy) override {
    const Tensor& x = inputs[0];
    const auto dx = x.grad_slot();
    kernels::l2_normalize_bwd(x.context().target(), {.dy = dy.cspan(),
                                                     .x = x.cspan(),
                                                     .norm = norm.cspan(),
                                                     .dx = dx.span(),
                                                     .dx_mode = dx.mode,
                                                     .N = x.shape().rows(),
                                                     .D = x.shape()[-1],
                                                     .eps = eps});
  }
};

}  // namespace

Tensor l2_normalize(const Tensor& x, float eps) {
  const std::int64_t rows = x.shape().rows();
  Tensor y = Tensor::empty(x.context(), x.shape()), norm = Tensor::empty(x.context(), {rows});
  kernels::l2_normalize_fwd(
      x.context().target(),
      {.x = x.cspan(), .y = y.span(), .norm = norm.span(), .N = rows, .D = x.shape()[-1], .eps = eps});
  if (needs_grad(x.context(), x)) {
    auto n = std::make_shared<L2NormalizeNode>();
    n->inputs = {x}, n->norm = norm, n->eps = eps;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
