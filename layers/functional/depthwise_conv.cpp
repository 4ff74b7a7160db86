// layers/functional/depthwise_conv.cpp — the three kernels recorded for autograd.
#include "layers/functional/depthwise_conv.h"

#include "engine/autograd.h"
#include "kernels/depthwise_conv/depthwise_conv.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

Tensor workspace(Context& ctx, std::int64_t floats) { return Tensor::empty(ctx, {floats}, DType::f32, "workspace"); }

struct DepthwiseConvNode final : Node {
  const char* name() const override { return "depthwise_conv"; }
  void backward(const Tensor& dy) override {
    depthwise_conv_backward(dy, inputs[0], inputs[1], inputs[0].grad_slot(), inputs[1].grad_slot(),
                            inputs[2].grad_slot());
  }
};

}  // namespace

void depthwise_conv_backward(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor::GradSlot& dx,
                             const Tensor::GradSlot& dweight, const Tensor::GradSlot& dbias) {
  const Shape& s = x.shape();
  const std::int64_t N = s[0];
  const int H = int(s[1]), W = int(s[2]), C = int(s[3]);
  const Target target = x.context().target();
  for_storage("depthwise_conv", x.dtype(), [&]<class T>(T) {
    if (dx.mode != GradMode::skip) {
      const Tensor work = workspace(x.context(), kernels::depthwise_conv_filter_workspace(C));
      kernels::depthwise_conv_bwd_data<T>(target, {.dy = dy.cspan<T>(),
                                                .f = weight.cspan(),
                                                .dx = dx.span<T>(),
                                                .dx_mode = dx.mode,
                                                .workspace = work.span(),
                                                .N = N,
                                                .H = H,
                                                .W = W,
                                                .C = C});
    }
    if (dweight.mode != GradMode::skip || dbias.mode != GradMode::skip) {
      const Tensor work = workspace(x.context(), kernels::depthwise_conv_weight_workspace(N, H, W, C));
      kernels::depthwise_conv_bwd_weight<T>(target, {.dy = dy.cspan<T>(),
                                                  .x = x.cspan<T>(),
                                                  .df = dweight.span(),
                                                  .db = dbias.span(),
                                                  .df_mode = dweight.mode,
                                                  .db_mode = dbias.mode,
                                                  .workspace = work.span(),
                                                  .N = N,
                                                  .H = H,
                                                  .W = W,
                                                  .C = C});
    }
  });
}

Tensor depthwise_conv(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() == 4, "depthwise_conv: x ", s.str(), ", expected [N, H, W, C]");
  BF_CHECK(weight.shape() == Shape({s[3], 1, 7, 7}), "depthwise_conv: weight ", weight.shape().str(), " for x ",
           s.str(), ", expected [C, 1, 7, 7]");
  const int C = int(s[3]);
  Tensor y = Tensor::empty(x.context(), s, x.dtype());
  const Tensor work = workspace(x.context(), kernels::depthwise_conv_filter_workspace(C));
  for_storage("depthwise_conv", x.dtype(), [&]<class T>(T) {
    kernels::depthwise_conv_fwd<T>(x.context().target(), {.x = x.cspan<T>(),
                                         .f = weight.cspan(),
                                         .b = bias.cspan(),
                                         .y = y.span<T>(),
                                         .workspace = work.span(),
                                         .N = s[0],
                                         .H = int(s[1]),
                                         .W = int(s[2]),
                                         .C = C});
  });
  if (needs_grad(x.context(), x, weight, bias)) {
    auto n = std::make_shared<DepthwiseConvNode>();
    n->inputs = {x, weight, bias};
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
