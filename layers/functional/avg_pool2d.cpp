// layers/functional/avg_pool2d.cpp — the kernels recorded for autograd.
#include "layers/functional/avg_pool2d.h"

#include "engine/autograd.h"
#include "kernels/avg_pool2d/avg_pool2d.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct AvgPool2dNode final : Node {
  kernels::Pool2d pool;
  bool count_include_pad = true;
  const char* name() const override { return "avg_pool2d"; }
  void backward(const Tensor& dy) override {
    const Tensor& x = inputs[0];
    const auto dx = x.grad_slot();
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      kernels::avg_pool2d_bwd<T>(x.context().target(), {.dy = dy.cspan<T>(),
                                                        .dx = dx.span<T>(),
                                                        .dx_mode = dx.mode,
                                                        .count_include_pad = count_include_pad,
                                                        .pool = pool});
    });
  }
};

}  // namespace

Tensor avg_pool2d(const Tensor& x, const kernels::Window2d& window, bool count_include_pad) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() == 4, "avg_pool2d: expected [N, H, W, C], got ", s.str());
  Context& ctx = x.context();
  const auto pool = kernels::pool2d("avg_pool2d", s[0], s[1], s[2], s[3], window);
  Tensor y = Tensor::empty(ctx, {pool.N, pool.h.out, pool.w.out, pool.C}, x.dtype());
  for_storage("avg_pool2d", x.dtype(), [&]<class T>(T) {
    kernels::avg_pool2d_fwd<T>(
        ctx.target(), {.x = x.cspan<T>(), .y = y.span<T>(), .count_include_pad = count_include_pad, .pool = pool});
  });
  if (needs_grad(ctx, x)) {
    auto n = std::make_shared<AvgPool2dNode>();
    n->inputs = {x};
    n->pool = pool, n->count_include_pad = count_include_pad;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
