// layers/functional/max_pool2d.cpp — the kernels recorded for autograd.
#include "layers/functional/max_pool2d.h"

#include "engine/autograd.h"
#include "kernels/max_pool2d/max_pool2d.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct MaxPool2dNode final : Node {
  Tensor index;
  kernels::Pool2d pool;
  const char* name() const override { return "max_pool2d"; }
  void backward(const Tensor& dy) override {
    const Tensor& x = inputs[0];
    const auto dx = x.grad_slot();
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      kernels::max_pool2d_bwd<T>(x.context().target(), {.dy = dy.cspan<T>(),
                                                        .index = index.cspan<std::uint8_t>(),
                                                        .dx = dx.span<T>(),
                                                        .dx_mode = dx.mode,
                                                        .pool = pool});
    });
  }
};

}  // namespace

Tensor max_pool2d(const Tensor& x, const kernels::Window2d& window) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() == 4, "max_pool2d: expected [N, H, W, C], got ", s.str());
  Context& ctx = x.context();
  const auto pool = kernels::pool2d("max_pool2d", s[0], s[1], s[2], s[3], window);
  const Shape out{pool.N, pool.h.out, pool.w.out, pool.C};
  const bool record = needs_grad(ctx, x);
  Tensor y = Tensor::empty(ctx, out, x.dtype());
  const Tensor index = record ? Tensor::empty(ctx, out, DType::u8) : Tensor();
  for_storage("max_pool2d", x.dtype(), [&]<class T>(T) {
    kernels::max_pool2d_fwd<T>(ctx.target(), {.x = x.cspan<T>(),
                                              .y = y.span<T>(),
                                              .index = record ? index.span<std::uint8_t>() : Span<std::uint8_t>(),
                                              .pool = pool});
  });
  if (record) {
    auto n = std::make_shared<MaxPool2dNode>();
    n->inputs = {x};
    n->index = index, n->pool = pool;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
