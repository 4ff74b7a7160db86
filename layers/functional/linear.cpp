// layers/functional/linear.cpp — the kernels recorded for autograd.
#include "layers/functional/linear.h"

#include "engine/autograd.h"
#include "kernels/matmul/matmul.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct LinearNode final : Node {  // inputs are {x, w} or {x, w, b}
  Tensor w;                       // as forward read it: w itself or its low-precision copy
  const char* name() const override { return "linear"; }
  void backward(const Tensor& dy) override {
    const Tensor& x = inputs[0];
    const std::int64_t in = x.shape()[-1], out = dy.shape()[-1], rows = x.shape().rows();
    const auto dx = x.grad_slot(), dw = inputs[1].grad_slot(),
               db = inputs.size() > 2 ? inputs[2].grad_slot() : Tensor::GradSlot{};
    const Target target = x.context().target();
    const bool weights = dw.mode != GradMode::skip || db.mode != GradMode::skip;
    const std::int64_t floats = weights ? kernels::linear_bwd_weight_workspace(target.kind, rows, in, out) : 0;
    const Tensor work = Tensor::empty(x.context(), {floats}, DType::f32, "workspace");
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      kernels::linear_bwd_data<T>(target, {.dy = dy.cspan<T>(),
                                           .w = w.cspan<T>(),
                                           .dx = dx.span<T>(),
                                           .dx_mode = dx.mode,
                                           .rows = rows,
                                           .in = in,
                                           .out = out,
                                           .products = x.context().f32_products()});
      if (weights)
        kernels::linear_bwd_weight<T>(target, {.dy = dy.cspan<T>(),
                                               .x = x.cspan<T>(),
                                               .dw = dw.span(),
                                               .db = db.span(),
                                               .dw_mode = dw.mode,
                                               .db_mode = db.mode,
                                               .workspace = work.span(),
                                               .rows = rows,
                                               .in = in,
                                               .out = out,
                                               .products = x.context().f32_products()});
    });
  }
};

}  // namespace

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b) {
  BF_CHECK(x.shape().rank() > 0 && w.shape().rank() > 1, "linear: x ", x.shape().str(), ", w ", w.shape().str());
  const std::int64_t in = x.shape()[-1], out = w.shape()[0];
  BF_CHECK(w.numel() == out * in, "linear: w ", w.shape().str(), " does not take the last axis of x ", x.shape().str());
  const Tensor compute = w.as(x.dtype());
  Tensor y = Tensor::empty(x.context(), x.shape().with_last(out), x.dtype());
  for_storage("linear", x.dtype(), [&]<class T>(T) {
    kernels::linear_fwd<T>(x.context().target(), {.x = x.cspan<T>(),
                                                  .w = compute.cspan<T>(),
                                                  .b = b ? b.cspan() : Span<const float>(),
                                                  .y = y.span<T>(),
                                                  .rows = x.shape().rows(),
                                                  .in = in,
                                                  .out = out,
                                                  .products = x.context().f32_products()});
  });
  if (needs_grad(x.context(), x, w, b)) {
    auto n = std::make_shared<LinearNode>();
    n->inputs = {x, w};
    if (b) n->inputs.push_back(b);
    n->w = compute;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
