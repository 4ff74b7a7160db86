// bench/gpu/kernels.cpp — every pass of the network's operations on the shapes that ConvNeXt-V2 tiny gives them, in bf16.
#include "bench/gpu/measure.h"
#include "kernels/avg_pool/avg_pool.h"
#include "kernels/convnext_mlp/convnext_mlp.h"
#include "kernels/depthwise_conv/depthwise_conv.h"
#include "kernels/gelu/gelu.h"
#include "kernels/grn/grn.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/matmul/matmul.h"
#include "kernels/patchify/patchify.h"
#include "kernels/residual/residual.h"

namespace bonafide::bench {
namespace {

using T = bf16;

struct Stage {
  std::int64_t side, C;
};
constexpr Stage kStages[] = {{56, 96}, {28, 192}, {14, 384}, {7, 768}};

// One stage of the network, with every array its operations need.
struct Arrays {
  Context& ctx;
  std::int64_t N, HW, rows, C;
  int side;
  Tensor x, dy, y, vector, gradient, statistics, work;
  Arrays(Context& c, std::int64_t batch, Stage s)
      : ctx(c), N(batch), HW(s.side * s.side), rows(batch * HW), C(s.C), side(int(s.side)),
        x(random_tensor(c, {rows, C}, DType::bf16)), dy(random_tensor(c, {rows, C}, DType::bf16)),
        y(Tensor::empty(c, {rows, C}, DType::bf16)), vector(random_tensor(c, {64 * C}, DType::f32)),
        gradient(Tensor::empty(c, {64 * C})), statistics(Tensor::full(c, {rows}, 1)) {}
  Span<float> workspace(std::int64_t n) {
    work = Tensor::empty(ctx, {n});
    return work.span();
  }
  Span<const float> v(std::int64_t n, std::int64_t from = 0) const { return vector.cspan().slice(from, n); }
  Span<float> g(std::int64_t n, std::int64_t from = 0) const { return gradient.span().slice(from, n); }
};

void depthwise(Measure& m, Arrays a, const std::string& shape) {
  const Target t = a.ctx.target();
  const int C = int(a.C);
  const auto f = a.workspace(kernels::depthwise_conv_filter_workspace(C));
  m({.name = "depthwise_conv_fwd", .shape = shape, .cost = kernels::depthwise_conv_fwd_cost<T>(a.N, a.side, a.side, C)}, [&] {
    kernels::depthwise_conv_fwd<T>(t, {.x = a.x.cspan<T>(), .f = a.v(49 * C), .b = a.v(C), .y = a.y.span<T>(), .workspace = f,
                                       .N = a.N, .H = a.side, .W = a.side, .C = C});
  });
  m({.name = "depthwise_conv_bwd_data", .shape = shape, .cost = kernels::depthwise_conv_bwd_data_cost<T>(a.N, a.side, a.side, C)}, [&] {
    kernels::depthwise_conv_bwd_data<T>(t, {.dy = a.dy.cspan<T>(), .f = a.v(49 * C), .dx = a.y.span<T>(), .workspace = f,
                                            .N = a.N, .H = a.side, .W = a.side, .C = C});
  });
  const auto w = a.workspace(kernels::depthwise_conv_weight_workspace(a.N, a.side, a.side, C));
  m({.name = "depthwise_conv_bwd_weight", .shape = shape, .cost = kernels::depthwise_conv_bwd_weight_cost<T>(a.N, a.side, a.side, C)}, [&] {
    kernels::depthwise_conv_bwd_weight<T>(t, {.dy = a.dy.cspan<T>(), .x = a.x.cspan<T>(), .df = a.g(49 * C), .db = a.g(C, 49 * C),
                                              .workspace = w, .N = a.N, .H = a.side, .W = a.side, .C = C});
  });
}

void layer_norm(Measure& m, Arrays a, const std::string& shape) {
  const Target t = a.ctx.target();
  const int C = int(a.C);
  const Tensor mean = Tensor::zeros(a.ctx, {a.rows});
  m({.name = "layer_norm_fwd", .shape = shape, .cost = kernels::layer_norm_fwd_cost<T>(a.rows, C)}, [&] {
    kernels::layer_norm_fwd<T>(t, {.x = a.x.cspan<T>(), .gamma = a.v(C), .beta = a.v(C), .y = a.y.span<T>(), .mean = mean.span(),
                                   .rstd = a.statistics.span(), .rows = a.rows, .C = C});
  });
  const auto w = a.workspace(kernels::layer_norm_bwd_workspace(a.rows, C));
  m({.name = "layer_norm_bwd", .shape = shape, .cost = kernels::layer_norm_bwd_cost<T>(a.rows, C)}, [&] {
    kernels::layer_norm_bwd<T>(t, {.dy = a.dy.cspan<T>(), .x = a.x.cspan<T>(), .gamma = a.v(C), .mean = mean.cspan(),
                                   .rstd = a.statistics.cspan(), .dx = a.y.span<T>(), .dgamma = a.g(C), .dbeta = a.g(C, C),
                                   .workspace = w, .rows = a.rows, .C = C});
  });
}

void residual(Measure& m, Arrays a, const std::string& shape) {
  const std::int64_t S = a.HW * a.C;
  m({.name = "residual_fwd", .shape = shape, .cost = kernels::residual_fwd_cost<T>(a.N, S)}, [&] {
    kernels::residual_fwd<T>(a.ctx.target(), {.x = a.x.cspan<T>(), .y = a.dy.cspan<T>(), .out = a.y.span<T>(), .N = a.N, .S = S});
  });
  const Tensor dx = Tensor::empty(a.ctx, {a.rows, a.C}, DType::bf16);
  m({.name = "residual_bwd", .shape = shape, .cost = kernels::residual_bwd_cost<T>(a.N, S)}, [&] {
    kernels::residual_bwd<T>(a.ctx.target(), {.dout = a.dy.cspan<T>(), .dx = dx.span<T>(), .dy = a.y.span<T>(), .N = a.N, .S = S});
  });
}

// h = x w1^T and back: the two directions of the MLP have the same three products.
void products(Measure& m, Arrays a, const std::string& shape) {
  const Target t = a.ctx.target();
  const std::int64_t wide = 4 * a.C;
  const Tensor h = random_tensor(a.ctx, {a.rows, wide}, DType::bf16), w = random_tensor(a.ctx, {wide, a.C}, DType::bf16),
               dw = Tensor::empty(a.ctx, {wide, a.C});
  m({.name = "linear_fwd", .shape = shape, .cost = kernels::linear_fwd_cost<T>(a.rows, a.C, wide)}, [&] {
    kernels::linear_fwd<T>(t, {.x = a.x.cspan<T>(), .w = w.cspan<T>(), .b = a.v(wide), .y = h.span<T>(), .rows = a.rows, .in = a.C, .out = wide});
  });
  m({.name = "linear_bwd_data", .shape = shape, .cost = kernels::linear_bwd_data_cost<T>(a.rows, a.C, wide)}, [&] {
    kernels::linear_bwd_data<T>(t, {.dy = h.cspan<T>(), .w = w.cspan<T>(), .dx = a.y.span<T>(), .rows = a.rows, .in = a.C, .out = wide});
  });
  const auto work = a.workspace(kernels::linear_bwd_weight_workspace(t.kind, a.rows, a.C, wide));
  m({.name = "linear_bwd_weight", .shape = shape, .cost = kernels::linear_bwd_weight_cost<T>(a.rows, a.C, wide)}, [&] {
    kernels::linear_bwd_weight<T>(t, {.dy = h.cspan<T>(), .x = a.x.cspan<T>(), .dw = dw.span(), .db = a.g(wide), .workspace = work,
                                      .rows = a.rows, .in = a.C, .out = wide});
  });
}

// The operations on [N, HW, 4C].
void hidden(Measure& m, Arrays a, const std::string& shape) {
  const Target t = a.ctx.target();
  const int C = int(4 * a.C);
  const std::int64_t n = a.rows * C;
  const Tensor x = random_tensor(a.ctx, {a.rows, C}, DType::bf16), dy = random_tensor(a.ctx, {a.rows, C}, DType::bf16),
               y = Tensor::empty(a.ctx, {a.rows, C}, DType::bf16), G = Tensor::full(a.ctx, {a.N, C}, 1);
  m({.name = "gelu_fwd", .shape = shape, .cost = kernels::gelu_fwd_cost<T>(n)},
    [&] { kernels::gelu_fwd<T>(t, {.x = x.cspan<T>(), .y = y.span<T>()}); });
  m({.name = "gelu_bwd", .shape = shape, .cost = kernels::gelu_bwd_cost<T>(n)},
    [&] { kernels::gelu_bwd<T>(t, {.dy = dy.cspan<T>(), .x = x.cspan<T>(), .dx = y.span<T>()}); });
  const auto forward = a.workspace(kernels::grn_fwd_workspace(a.N, a.HW, C));
  m({.name = "grn_fwd", .shape = shape, .cost = kernels::grn_fwd_cost<T>(a.N, a.HW, C)}, [&] {
    kernels::grn_fwd<T>(t, {.x = x.cspan<T>(), .gamma = a.v(C), .beta = a.v(C), .y = y.span<T>(), .G = G.span(),
                            .workspace = forward, .samples = a.N, .HW = a.HW, .C = C});
  });
  const auto backward = a.workspace(kernels::grn_bwd_workspace(a.N, a.HW, C));
  m({.name = "grn_bwd", .shape = shape, .cost = kernels::grn_bwd_cost<T>(a.N, a.HW, C)}, [&] {
    kernels::grn_bwd<T>(t, {.dy = dy.cspan<T>(), .x = x.cspan<T>(), .gamma = a.v(C), .G = G.cspan(), .dx = y.span<T>(),
                            .dgamma = a.g(C), .dbeta = a.g(C, C), .workspace = backward, .samples = a.N, .HW = a.HW, .C = C});
  });
}

// LayerNorm to residual in one call: what the fused block does between its depthwise convolutions.
void mlp(Measure& m, Arrays a, const std::string& shape) {
  const Target t = a.ctx.target();
  const kernels::ConvNeXtMlpShape s{a.N, a.HW, a.C};
  const std::int64_t wide = s.hidden();
  const Tensor u = random_tensor(a.ctx, {a.rows, a.C}, DType::bf16), w1 = random_tensor(a.ctx, {wide, a.C}, DType::bf16),
               w2 = random_tensor(a.ctx, {a.C, wide}, DType::bf16), h = Tensor::empty(a.ctx, {a.rows, wide}, DType::bf16),
               mean = Tensor::empty(a.ctx, {a.rows}), rstd = Tensor::empty(a.ctx, {a.rows}), G = Tensor::empty(a.ctx, {a.N, wide}),
               dw1 = Tensor::empty(a.ctx, {wide, a.C}), dw2 = Tensor::empty(a.ctx, {a.C, wide});
  const kernels::ConvNeXtMlpParameters<T> p{.norm_gamma = a.v(a.C), .norm_beta = a.v(a.C), .w1 = w1.cspan<T>(), .b1 = a.v(wide),
                                            .grn_gamma = a.v(wide), .grn_beta = a.v(wide), .w2 = w2.cspan<T>(), .b2 = a.v(a.C)};
  const auto inference = a.workspace(kernels::convnext_mlp_fwd_workspace<T>(t.kind, s, false));
  m({.name = "convnext_mlp_fwd, inference", .shape = shape, .cost = kernels::convnext_mlp_fwd_cost<T>(s)}, [&] {
    kernels::convnext_mlp_fwd<T>(t, {.shape = s, .u = u.cspan<T>(), .x = a.x.cspan<T>(), .p = p, .y = a.y.span<T>(), .workspace = inference});
  });
  const auto forward = a.workspace(kernels::convnext_mlp_fwd_workspace<T>(t.kind, s, true));
  m({.name = "convnext_mlp_fwd, training", .shape = shape, .cost = kernels::convnext_mlp_fwd_cost<T>(s)}, [&] {
    kernels::convnext_mlp_fwd<T>(t, {.shape = s, .u = u.cspan<T>(), .x = a.x.cspan<T>(), .p = p, .y = a.y.span<T>(), .h = h.span<T>(),
                                     .mean = mean.span(), .rstd = rstd.span(), .G = G.span(), .workspace = forward});
  });
  const auto backward = a.workspace(kernels::convnext_mlp_bwd_workspace<T>(t.kind, s));
  m({.name = "convnext_mlp_bwd", .shape = shape, .cost = kernels::convnext_mlp_bwd_cost<T>(s)}, [&] {
    kernels::convnext_mlp_bwd<T>(t, {.shape = s, .dy = a.dy.cspan<T>(), .u = u.cspan<T>(), .h = h.cspan<T>(), .mean = mean.cspan(),
                                     .rstd = rstd.cspan(), .G = G.cspan(), .p = p, .du = a.y.span<T>(), .dnorm_gamma = a.g(a.C),
                                     .dnorm_beta = a.g(a.C, a.C), .dw1 = dw1.span(), .db1 = a.g(wide, 2 * a.C),
                                     .dgrn_gamma = a.g(wide, 6 * a.C), .dgrn_beta = a.g(wide, 10 * a.C), .dw2 = dw2.span(),
                                     .db2 = a.g(a.C, 14 * a.C), .workspace = backward});
  });
}

// The columns of the stem's convolution, or of the downsampling one behind this stage.
void patchify(Measure& m, Context& ctx, std::int64_t batch, std::int64_t side, std::int64_t C, std::int64_t k) {
  const std::string shape = str(batch, " x ", side, "^2 x ", C, ", ", k, " x ", k);
  const Tensor x = random_tensor(ctx, {batch, side, side, C}, DType::bf16), y = random_tensor(ctx, {batch, side, side, C}, DType::bf16);
  const auto cost = kernels::patchify_cost<T>(batch, side, side, C, k);
  m({.name = "patchify_fwd", .shape = shape, .cost = cost}, [&] {
    kernels::patchify_fwd<T>(ctx.target(), {.x = x.cspan<T>(), .y = y.span<T>(), .N = batch, .H = side, .W = side, .C = C, .k = k});
  });
  m({.name = "patchify_bwd", .shape = shape, .cost = cost}, [&] {
    kernels::patchify_bwd<T>(ctx.target(), {.dy = y.cspan<T>(), .dx = x.span<T>(), .N = batch, .H = side, .W = side, .C = C, .k = k});
  });
}

void avg_pool(Measure& m, Context& ctx, std::int64_t batch, std::int64_t P, std::int64_t C) {
  const std::string shape = str(batch, " x ", P, " x ", C);
  const Tensor x = random_tensor(ctx, {batch, P, C}, DType::bf16), y = Tensor::empty(ctx, {batch, C});
  m({.name = "avg_pool_fwd", .shape = shape, .cost = kernels::avg_pool_fwd_cost<T>(batch, P, C)},
    [&] { kernels::avg_pool_fwd<T>(ctx.target(), {.x = x.cspan<T>(), .y = y.span(), .N = batch, .P = P, .C = C}); });
  m({.name = "avg_pool_bwd", .shape = shape, .cost = kernels::avg_pool_bwd_cost<T>(batch, P, C)},
    [&] { kernels::avg_pool_bwd<T>(ctx.target(), {.dy = y.cspan(), .dx = x.span<T>(), .N = batch, .P = P, .C = C}); });
}

}  // namespace

void measure_kernels(Measure& m, std::int64_t batch) {
  Context& ctx = m.context();
  patchify(m, ctx, batch, 224, 3, 4);
  for (const Stage s : kStages) {
    const std::string shape = str(batch, " x ", s.side, "^2 x ", s.C);
    const Arrays a(ctx, batch, s);
    depthwise(m, a, shape);
    layer_norm(m, a, shape);
    residual(m, a, shape);
    products(m, a, shape);
    hidden(m, a, shape);
    mlp(m, a, shape);
    if (s.side > 7) patchify(m, ctx, batch, s.side, s.C, 2);
  }
  avg_pool(m, ctx, batch, 49, 768);
}

}  // namespace bonafide::bench
