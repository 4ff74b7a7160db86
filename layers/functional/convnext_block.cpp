// layers/functional/convnext_block.cpp
#include "layers/functional/convnext_block.h"

#include <optional>

#include "engine/autograd.h"
#include "kernels/convnext_mlp/convnext_mlp.h"
#include "kernels/convnext_mlp/packed.h"
#include "kernels/residual/residual.h"
#include "layers/functional/depthwise_conv.h"
#include "layers/functional/dispatch.h"
#include "layers/functional/gelu.h"
#include "layers/functional/grn.h"
#include "layers/functional/layer_norm.h"
#include "layers/functional/linear.h"
#include "layers/functional/residual.h"

namespace bonafide::fn {
namespace {

Tensor composed(const Tensor& x, const ConvNeXtBlockParameters& p, const Tensor& drop_scale) {
  Tensor t = depthwise_conv(x, p.dw_weight, p.dw_bias);
  t = layer_norm(t, p.norm_weight, p.norm_bias);
  t = gelu(linear(t, p.fc1_weight, p.fc1_bias));
  t = grn(t, p.grn_weight, p.grn_bias);
  return residual(x, linear(t, p.fc2_weight, p.fc2_bias), drop_scale);
}

// Holds the graph of the single operations between a stand-in for x and the result. Backward runs it with x's own
// gradient slot lent to the stand-in, so that nothing is copied; parameters are leaves of both graphs.
struct ComposedBlockNode final : Node {
  Tensor x_inside, y_inside;
  const char* name() const override { return "convnext_block"; }
  void backward(const Tensor& dy) override {
    const auto dx = inputs[0].grad_slot();
    if (dx.mode != GradMode::skip) x_inside.set_grad_buffer(dx.buffer, dx.mode == GradMode::add);
    backward_nested(y_inside, dy);
  }
};

// ---------------------------------------------------------------- fused

kernels::ConvNeXtMlpShape mlp_shape(const Tensor& x) {
  return {.N = x.shape()[0], .HW = x.shape()[1] * x.shape()[2], .C = x.shape()[3]};
}
template <class T>
kernels::ConvNeXtMlpParameters<T> mlp_parameters(const ConvNeXtBlockParameters& p, const Tensor& w1, const Tensor& w2) {
  return {.norm_gamma = p.norm_weight.cspan(),
          .norm_beta = p.norm_bias.cspan(),
          .w1 = w1.cspan<T>(),
          .b1 = p.fc1_bias.cspan(),
          .grn_gamma = p.grn_weight.cspan(),
          .grn_beta = p.grn_bias.cspan(),
          .w2 = w2.cspan<T>(),
          .b2 = p.fc2_bias.cspan()};
}
template <class T = float>
Span<const T> optional(const Tensor& t) {
  return t ? t.cspan<T>() : Span<const T>();
}

struct FusedBlockNode final : Node {
  ConvNeXtBlockParameters p;
  Tensor w1, w2, drop_scale;  // the matrices as forward read them
  Tensor u, h, mean, rstd, G;
  const char* name() const override { return "convnext_block"; }

  void backward(const Tensor& dy) override {
    const Tensor& x = inputs[0];
    const auto shape = mlp_shape(x);
    const Tensor du = Tensor::empty(x.context(), x.shape(), x.dtype());
    auto dx = x.grad_slot();
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      mlp_backward<T>(dy, du);
      kernels::residual_bwd<T>(x.context().target(), {.dout = dy.cspan<T>(),
                                                      .dx = dx.span<T>(),
                                                      .dx_mode = dx.mode,
                                                      .dy_mode = GradMode::skip,
                                                      .N = shape.N,
                                                      .S = shape.HW * shape.C});
    });
    if (dx.mode != GradMode::skip) dx.mode = GradMode::add;  // to the residual's
    depthwise_conv_backward(du, x, p.dw_weight, dx, p.dw_weight.grad_slot(), p.dw_bias.grad_slot());
  }

  template <class T>
  void mlp_backward(const Tensor& dy, const Tensor& du) {
    const auto dnorm_gamma = p.norm_weight.grad_slot(), dnorm_beta = p.norm_bias.grad_slot(),
               dw1 = p.fc1_weight.grad_slot(), db1 = p.fc1_bias.grad_slot(), dgrn_gamma = p.grn_weight.grad_slot(),
               dgrn_beta = p.grn_bias.grad_slot(), dw2 = p.fc2_weight.grad_slot(), db2 = p.fc2_bias.grad_slot();
    const auto shape = mlp_shape(u);
    const Tensor work =
        Tensor::empty(u.context(), {kernels::convnext_mlp_bwd_workspace<T>(u.context().target().kind, shape)},
                      DType::f32, "workspace");
    kernels::convnext_mlp_bwd<T>(u.context().target(), {.shape = shape,
                                                        .dy = dy.cspan<T>(),
                                                        .u = u.cspan<T>(),
                                                        .h = h.cspan<T>(),
                                                        .scale = optional(drop_scale),
                                                        .mean = mean.cspan(),
                                                        .rstd = rstd.cspan(),
                                                        .G = G.cspan(),
                                                        .p = mlp_parameters<T>(p, w1, w2),
                                                        .du = du.span<T>(),
                                                        .dnorm_gamma = dnorm_gamma.span(),
                                                        .dnorm_beta = dnorm_beta.span(),
                                                        .dw1 = dw1.span(),
                                                        .db1 = db1.span(),
                                                        .dgrn_gamma = dgrn_gamma.span(),
                                                        .dgrn_beta = dgrn_beta.span(),
                                                        .dw2 = dw2.span(),
                                                        .db2 = db2.span(),
                                                        .dnorm_gamma_mode = dnorm_gamma.mode,
                                                        .dnorm_beta_mode = dnorm_beta.mode,
                                                        .dw1_mode = dw1.mode,
                                                        .db1_mode = db1.mode,
                                                        .dgrn_gamma_mode = dgrn_gamma.mode,
                                                        .dgrn_beta_mode = dgrn_beta.mode,
                                                        .dw2_mode = dw2.mode,
                                                        .db2_mode = db2.mode,
                                                        .workspace = work.span(),
                                                        .products = u.context().f32_products()});
  }
};

}  // namespace

class PackedBlock {
 public:
  std::optional<kernels::ConvNeXtMlpPacked<float>> f32;
  std::optional<kernels::ConvNeXtMlpPacked<bf16>> low;
  template <class T>
  const kernels::ConvNeXtMlpPacked<T>* get() const {
    if constexpr (std::is_same_v<T, float>) return f32 ? &*f32 : nullptr;
    if constexpr (std::is_same_v<T, bf16>) return low ? &*low : nullptr;
  }
};

std::shared_ptr<const PackedBlock> pack_block(const ConvNeXtBlockParameters& p, DType compute) {
  auto packed = std::make_shared<PackedBlock>();
  if (p.fc1_weight.context().target().kind == Device::cuda) return packed;  // nothing to gain there
  const Tensor w1 = p.fc1_weight.as(compute), w2 = p.fc2_weight.as(compute);
  const std::int64_t C = p.norm_weight.numel();
  for_storage("pack_block", compute, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, float>)
      packed->f32.emplace(w1.cspan<T>(), w2.cspan<T>(), C);
    else
      packed->low.emplace(w1.cspan<T>(), w2.cspan<T>(), C);
  });
  return packed;
}

namespace {

Tensor fused(const Tensor& x, const ConvNeXtBlockParameters& p, const Tensor& drop_scale, const PackedBlock* packed,
             bool record) {
  BF_CHECK(x.shape().rank() == 4, "convnext_block: x ", x.shape().str(), ", expected [N, H, W, C]");
  Context& ctx = x.context();
  const auto shape = mlp_shape(x);
  const Tensor w1 = p.fc1_weight.as(x.dtype()), w2 = p.fc2_weight.as(x.dtype());
  Tensor u, y = Tensor::empty(ctx, x.shape(), x.dtype()), h, mean, rstd, G;
  {
    const NoGrad inside(ctx);  // the block's own node is the record
    u = depthwise_conv(x, p.dw_weight, p.dw_bias);
  }
  if (record) {
    h = Tensor::empty(ctx, x.shape().with_last(shape.hidden()), x.dtype());
    mean = Tensor::empty(ctx, {shape.rows()}), rstd = Tensor::empty(ctx, {shape.rows()});
    G = Tensor::empty(ctx, {shape.N, shape.hidden()});
  }
  for_storage("convnext_block", x.dtype(), [&]<class T>(T) {
    const Tensor work = Tensor::empty(ctx, {kernels::convnext_mlp_fwd_workspace<T>(ctx.target().kind, shape, record)},
                                      DType::f32, "workspace");
    kernels::convnext_mlp_fwd<T>(ctx.target(), {.shape = shape,
                                                .u = u.cspan<T>(),
                                                .x = x.cspan<T>(),
                                                .scale = optional(drop_scale),
                                                .p = mlp_parameters<T>(p, w1, w2),
                                                .packed = packed ? packed->get<T>() : nullptr,
                                                .y = y.span<T>(),
                                                .h = h ? h.span<T>() : Span<T>(),
                                                .mean = mean ? mean.span() : Span<float>(),
                                                .rstd = rstd ? rstd.span() : Span<float>(),
                                                .G = G ? G.span() : Span<float>(),
                                                .workspace = work.span(),
                                                .products = x.context().f32_products()});
  });
  if (!record) return y;
  auto n = std::make_shared<FusedBlockNode>();
  n->p = p, n->w1 = w1, n->w2 = w2, n->drop_scale = drop_scale;
  n->u = u, n->h = h, n->mean = mean, n->rstd = rstd, n->G = G;
  n->inputs = {x,          p.dw_weight,  p.dw_bias,  p.norm_weight, p.norm_bias, p.fc1_weight,
               p.fc1_bias, p.grn_weight, p.grn_bias, p.fc2_weight,  p.fc2_bias};
  return y.set_node(std::move(n));
}

}  // namespace

Tensor convnext_block(const Tensor& x, const ConvNeXtBlockParameters& p, const Tensor& drop_scale,
                      BlockImplementation implementation, const PackedBlock* packed) {
  Context& ctx = x.context();
  const bool record = needs_grad(ctx, x, p.dw_weight, p.dw_bias, p.norm_weight, p.norm_bias, p.fc1_weight, p.fc1_bias,
                                 p.grn_weight, p.grn_bias, p.fc2_weight, p.fc2_bias);
  if (implementation == BlockImplementation::fused) return fused(x, p, drop_scale, packed, record);
  if (!record) return composed(x, p, drop_scale);
  auto n = std::make_shared<ComposedBlockNode>();
  n->inputs = {x,          p.dw_weight,  p.dw_bias,  p.norm_weight, p.norm_bias, p.fc1_weight,
               p.fc1_bias, p.grn_weight, p.grn_bias, p.fc2_weight,  p.fc2_bias};
  n->x_inside = x.detach();
  if (x.requires_grad()) n->x_inside.require_grad();
  n->y_inside = composed(n->x_inside, p, drop_scale);
  return n->y_inside.detach().set_node(std::move(n));
}

}  // namespace bonafide::fn
