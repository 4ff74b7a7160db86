// layers/functional/prelu.cpp — the kernels recorded for autograd.
#include "layers/functional/prelu.h"

#include "engine/autograd.h"
#include "kernels/prelu/prelu.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct PreluNode final : Node {
  const char* name() const override { return "prelu"; }
  void backward(const Tensor& dy) override {
    const Tensor &x = inputs[0], &slope = inputs[1];
    const auto dx = x.grad_slot(), dslope = slope.grad_slot();
    const std::int64_t rows = x.shape().rows(), C = x.shape()[-1];
    const Tensor work = Tensor::empty(x.context(), {dslope.buffer ? kernels::prelu_bwd_workspace(rows, C) : 0},
                                      DType::f32, "workspace");
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      kernels::prelu_bwd<T>(x.context().target(), {.dy = dy.cspan<T>(),
                                                   .x = x.cspan<T>(),
                                                   .slope = slope.cspan(),
                                                   .dx = dx.span<T>(),
                                                   .dslope = dslope.span(),
                                                   .dx_mode = dx.mode,
                                                   .dslope_mode = dslope.mode,
                                                   .workspace = work.span(),
                                                   .rows = rows,
                                                   .C = C});
    });
  }
};

}  // namespace

Tensor prelu(const Tensor& x, const Tensor& slope) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() >= 1 && s[-1] > 0, "prelu: x ", s.str(), ", expected [..., C]");
  Tensor y = Tensor::empty(x.context(), s, x.dtype());
  for_storage("prelu", x.dtype(), [&]<class T>(T) {
    kernels::prelu_fwd<T>(x.context().target(),
                          {.x = x.cspan<T>(), .slope = slope.cspan(), .y = y.span<T>(), .rows = s.rows(), .C = s[-1]});
  });
  if (needs_grad(x.context(), x, slope)) {
    auto n = std::make_shared<PreluNode>();
    n->inputs = {x, slope};
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
