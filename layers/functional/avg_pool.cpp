// layers/functional/avg_pool.cpp — the kernel recorded for autograd.
#include "layers/functional/avg_pool.h"

#include "engine/autograd.h"
#include "kernels/avg_pool/avg_pool.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct AvgPoolNode final : Node {
  const char* name() const override { return "avg_pool"; }
  void backward(const Tensor& dy) override {
    const Shape& s = inputs[0].shape();
    const auto dx = inputs[0].grad_slot();
    for_storage(name(), inputs[0].dtype(), [&]<class T>(T) {
      kernels::avg_pool_bwd<T>(
          dy.context().target(),
          {.dy = dy.cspan(), .dx = dx.span<T>(), .dx_mode = dx.mode, .N = s[0], .P = s[1] * s[2], .C = s[3]});
    });
  }
};

}  // namespace

Tensor avg_pool(const Tensor& x) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() == 4, "avg_pool: expected [N, H, W, C], got ", s.str());
  Tensor y = Tensor::empty(x.context(), {s[0], s[3]});
  for_storage("avg_pool", x.dtype(), [&]<class T>(T) {
    kernels::avg_pool_fwd<T>(x.context().target(),
                             {.x = x.cspan<T>(), .y = y.span(), .N = s[0], .P = s[1] * s[2], .C = s[3]});
  });
  if (needs_grad(x.context(), x)) {
    auto n = std::make_shared<AvgPoolNode>();
    n->inputs = {x};
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
