// bench/gpu/kernels.cpp — every pass of every operation on the shapes that ConvNeXt-V2 tiny gives it, in bf16.
#include "bench/gpu/measure.h"
#include "kernels/adamw/adamw.h"
#include "kernels/depthwise_conv/depthwise_conv.h"
#include "kernels/ema/ema.h"
#include "kernels/gelu/gelu.h"
#include "kernels/grad_norm/grad_norm.h"
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
  const auto work = a.workspace(kernels::linear_bwd_weight_workspace(a.rows, a.C, wide));
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
  (void)G;
}

void optimizer(Measure& m) {
  Context& ctx = m.context();
  const std::int64_t n = 28'600'000;
  const Tensor p = random_tensor(ctx, {n}, DType::f32), g = random_tensor(ctx, {n}, DType::f32), first = Tensor::zeros(ctx, {n}),
               second = Tensor::full(ctx, {n}, 1), copy = Tensor::empty(ctx, {n}, DType::bf16);
  m({.name = "adamw", .shape = "28.6 M, bf16 copy", .cost = kernels::adamw_cost(n, true)}, [&] {
    kernels::adamw(ctx.target(), {.p = p.span(), .m = first.span(), .v = second.span(), .g = g.cspan(), .copy = copy.span<bf16>(), .lr = 1e-4});
  });
  m({.name = "ema", .shape = "28.6 M", .cost = kernels::ema_cost(n)},
    [&] { kernels::ema(ctx.target(), {.e = first.span(), .p = p.cspan(), .decay = 0.9998}); });
}

}  // namespace

void measure_kernels(Measure& m, std::int64_t batch) {
  for (const Stage s : kStages) {
    const std::string shape = str(batch, " x ", s.side, "^2 x ", s.C);
    const Arrays a(m.context(), batch, s);
    depthwise(m, a, shape);
    layer_norm(m, a, shape);
    residual(m, a, shape);
    products(m, a, shape);
    hidden(m, a, shape);
  }
  optimizer(m);
}

}  // namespace bonafide::bench
