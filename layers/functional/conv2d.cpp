// layers/functional/conv2d.cpp — the kernels recorded for autograd.
#include "layers/functional/conv2d.h"

#include "engine/autograd.h"
#include "kernels/conv2d/conv2d.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

Tensor workspace(Context& ctx, std::int64_t floats) { return Tensor::empty(ctx, {floats}, DType::f32, "workspace"); }

struct Conv2dNode final : Node {  // inputs are {x, w} or {x, w, b}
  Tensor w;                       // as forward read it: w itself or its low-precision copy
  kernels::Conv2dShape shape;
  const char* name() const override { return "conv2d"; }
  void backward(const Tensor& dy) override {
    const Tensor& x = inputs[0];
    Context& ctx = x.context();
    const Target target = ctx.target();
    const auto dx = x.grad_slot(), dw = inputs[1].grad_slot(),
               db = inputs.size() > 2 ? inputs[2].grad_slot() : Tensor::GradSlot{};
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      if (dx.mode != GradMode::skip) {
        const Tensor work = workspace(ctx, kernels::conv2d_bwd_data_workspace<T>(target.kind, shape));
        kernels::conv2d_bwd_data<T>(target, {.dy = dy.cspan<T>(),
                                             .w = w.cspan<T>(),
                                             .dx = dx.span<T>(),
                                             .dx_mode = dx.mode,
                                             .workspace = work.span(),
                                             .shape = shape,
                                             .products = ctx.f32_products()});
      }
      if (dw.mode != GradMode::skip || db.mode != GradMode::skip) {
        const Tensor work = workspace(ctx, kernels::conv2d_bwd_weight_workspace(target.kind, shape));
        kernels::conv2d_bwd_weight<T>(target, {.dy = dy.cspan<T>(),
                                               .x = x.cspan<T>(),
                                               .dw = dw.span(),
                                               .db = db.span(),
                                               .dw_mode = dw.mode,
                                               .db_mode = db.mode,
                                               .workspace = work.span(),
                                               .shape = shape,
                                               .products = ctx.f32_products()});
      }
    });
  }
};

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const kernels::Window2d& window, int groups) {
  const Shape &s = x.shape(), &k = w.shape();
  BF_CHECK(s.rank() == 4, "conv2d: x ", s.str(), ", expected [N, H, W, C]");
  BF_CHECK(groups > 0 && k.rank() == 4 && k[1] * groups == s[3] && k[2] == window.kernel_h && k[3] == window.kernel_w,
           "conv2d: w ", k.str(), " for x ", s.str(), ", expected [Cout, C / ", groups, ", ", window.kernel_h, ", ",
           window.kernel_w, "]");
  const kernels::Conv2dShape shape{
      .N = s[0], .H = s[1], .W = s[2], .Cin = s[3], .Cout = k[0], .window = window, .groups = groups};
  BF_CHECK(shape.out_h() > 0 && shape.out_w() > 0, "conv2d: a window of ", window.kernel_h, " x ", window.kernel_w,
           " does not fit x ", s.str(), " with padding ", window.pad_h, " x ", window.pad_w);
  Context& ctx = x.context();
  const Target target = ctx.target();
  const Tensor compute = w.as(x.dtype());
  Tensor y = Tensor::empty(ctx, {s[0], shape.out_h(), shape.out_w(), shape.Cout}, x.dtype());
  for_storage("conv2d", x.dtype(), [&]<class T>(T) {
    const Tensor work = workspace(ctx, kernels::conv2d_fwd_workspace<T>(target.kind, shape));
    kernels::conv2d_fwd<T>(target, {.x = x.cspan<T>(),
                                    .w = compute.cspan<T>(),
                                    .b = b ? b.cspan() : Span<const float>(),
                                    .y = y.span<T>(),
                                    .workspace = work.span(),
                                    .shape = shape,
                                    .products = ctx.f32_products()});
  });
  if (needs_grad(ctx, x, w, b)) {
    auto n = std::make_shared<Conv2dNode>();
    n->inputs = {x, w};
    if (b) n->inputs.push_back(b);
    n->w = compute, n->shape = shape;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
