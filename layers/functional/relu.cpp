// layers/functional/relu.cpp — the kernel recorded for autograd.
#include "layers/functional/relu.h"

#include "engine/autograd.h"
#include "kernels/relu/relu.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct ReluNode final : Node {
  const char* name() const override { return "relu"; }
  void backward(const Tensor& dy) override {
    const Tensor& x = inputs[0];
    const auto dx = x.grad_slot();
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      kernels::relu_bwd<T>(x.context().target(),
                           {.dy = dy.cspan<T>(), .x = x.cspan<T>(), .dx = dx.span<T>(), .dx_mode = dx.mode});
    });
  }
};

}  // namespace

Tensor relu(const Tensor& x) {
  Tensor y = Tensor::empty(x.context(), x.shape(), x.dtype());
  for_storage("relu", x.dtype(),
              [&]<class T>(T) { kernels::relu_fwd<T>(x.context().target(), {.x = x.cspan<T>(), .y = y.span<T>()}); });
  if (needs_grad(x.context(), x)) {
    auto n = std::make_shared<ReluNode>();
    n->inputs = {x};
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
