// layers/functional/gelu.cpp — the kernel recorded for autograd.
#include "layers/functional/gelu.h"

#include "engine/autograd.h"
#include "kernels/gelu/gelu.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct GeluNode final : Node {
  const char* name() const override { return "gelu"; }
  void backward(const Tensor& dy) override {
    const Tensor& x = inputs[0];
    const auto dx = x.grad_slot();
    if (dx.mode == GradMode::skip) return;
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      kernels::gelu_bwd<T>(x.context().target(), {.dy = dy.cspan<T>(), .x = x.cspan<T>(), .dx = dx.span<T>(), .dx_mode = dx.mode});
    });
  }
};

}  // namespace

Tensor gelu(const Tensor& x) {
  Tensor y = Tensor::empty(x.context(), x.shape(), x.dtype());
  for_storage("gelu", x.dtype(), [&]<class T>(T) { kernels::gelu_fwd<T>(x.context().target(), {.x = x.cspan<T>(), .y = y.span<T>()}); });
  if (needs_grad(x.context(), x)) {
    auto n = std::make_shared<GeluNode>();
    n->inputs = {x};
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
