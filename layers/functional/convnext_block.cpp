// layers/functional/convnext_block.cpp
#include "layers/functional/convnext_block.h"

#include "engine/autograd.h"
#include "layers/functional/depthwise_conv.h"
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

}  // namespace

Tensor convnext_block(const Tensor& x, const ConvNeXtBlockParameters& p, const Tensor& drop_scale, BlockImplementation) {
  Context& ctx = x.context();
  const bool record = needs_grad(ctx, x, p.dw_weight, p.dw_bias, p.norm_weight, p.norm_bias, p.fc1_weight, p.fc1_bias,
                                 p.grn_weight, p.grn_bias, p.fc2_weight, p.fc2_bias);
  if (!record) return composed(x, p, drop_scale);
  auto n = std::make_shared<ComposedBlockNode>();
  n->inputs = {x, p.dw_weight, p.dw_bias, p.norm_weight, p.norm_bias, p.fc1_weight, p.fc1_bias,
               p.grn_weight, p.grn_bias, p.fc2_weight, p.fc2_bias};
  n->x_inside = x.detach();
  if (x.requires_grad()) n->x_inside.require_grad();
  n->y_inside = composed(n->x_inside, p, drop_scale);
  return n->y_inside.detach().set_node(std::move(n));
}

}  // namespace bonafide::fn
