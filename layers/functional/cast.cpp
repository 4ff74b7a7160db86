// layers/functional/cast.cpp — the kernel recorded for autograd.
#include "layers/functional/cast.h"

#include "engine/autograd.h"
#include "engine/context.h"
#include "kernels/cast/cast.h"

namespace bonafide::fn {
namespace {

void convert(const Tensor& x, const Tensor& y, GradMode mode) {
  const Target target = x.context().target();
  if (x.dtype() == DType::f32 && y.dtype() == DType::bf16)
    return kernels::cast<float, bf16>(target, {.x = x.cspan<float>(), .y = y.span<bf16>(), .mode = mode});
  if (x.dtype() == DType::bf16 && y.dtype() == DType::f32)
    return kernels::cast<bf16, float>(target, {.x = x.cspan<bf16>(), .y = y.span<float>(), .mode = mode});
  throw Error(str("cast: from ", name_of(x.dtype()), " to ", name_of(y.dtype()), ", expected f32 and bf16"));
}

struct CastNode final : Node {
  const char* name() const override { return "cast"; }
  void backward(const Tensor& dy) override {
    const auto dx = inputs[0].grad_slot();
    if (dx.mode != GradMode::skip) convert(dy, dx.buffer, dx.mode);
  }
};

}  // namespace

Tensor cast(const Tensor& x, DType t) {
  if (x.dtype() == t) return x;
  Tensor y = Tensor::empty(x.context(), x.shape(), t);
  convert(x, y, GradMode::write);
  if (needs_grad(x.context(), x)) {
    auto n = std::make_shared<CastNode>();
    n->inputs = {x};
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
