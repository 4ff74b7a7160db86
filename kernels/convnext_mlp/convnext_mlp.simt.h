// kernels/convnext_mlp/convnext_mlp.simt.h — the block behind its depthwise convolution on CUDA. Products are
// cublaslt_gemm.h's, LayerNorm and GRN launch their own kernels; what lies between is done by these, each of which
// reads and writes the wide tensors [N, HW, 4C] once:
//
//   forward     BiasGelu     z = gelu(h + b1), sums of z^2 over the pixels of a piece      reads h, writes z
//               BranchEnd    y = x + s (t + b2)
//   backward    GeluSums     sums of da z and of da over the pixels of a piece             reads da, h
//               GeluGrnBwd   dh = (da factors[0] + z factors[1]) gelu'(h + b1), a = GRN(z), sums of dh
//                                                                                          reads da, h, writes dh, a
//
// Pieces are those of grn.h. h is kept as the product leaves it, without its bias: what adds it has it in a register.
#pragma once
#include "kernels/convnext_mlp/convnext_mlp.h"
#include "kernels/convnext_mlp/cuda_memory.h"
#include "kernels/gelu/gelu.simt.h"
#include "kernels/grn/grn.simt.h"
#include "kernels/layer_norm/layer_norm.simt.h"
#include "kernels/matmul/column_sums.simt.h"
#include "kernels/matmul/cublaslt_gemm.h"
#include "kernels/residual/residual.simt.h"
#include "kernels/simt/columns.h"

namespace bonafide::kernels {

template <class T>
struct BiasGelu {
  Span<const T> h;      // [samples, HW, C], without bias
  Span<const float> b;  // [C]
  Span<T> z;            // may be h
  Span<float> squares;  // [samples, grn_pieces(HW), C]
  std::int64_t samples = 0, HW = 0, C = 0;
};
template <class T>
struct BranchEnd {
  Span<const T> x;             // [samples, HW, C]
  Span<const float> b, scale;  // [C]; [samples] or empty: 1
  Span<T> y;                   // t before, y after
  std::int64_t samples = 0, HW = 0, C = 0;
};
template <class T>
struct GeluSums {
  Span<const T> da, h;   // [samples, HW, C]
  Span<const float> b;   // [C]
  Span<float> partials;  // [samples, grn_pieces(HW), 2, C]
  std::int64_t samples = 0, HW = 0, C = 0;
};
template <class T>
struct GeluGrnBwd {
  Span<T> da;  // [samples, HW, C]: da before, dh after
  Span<const T> h;
  Span<const float> b, factors, beta;  // [C], [samples, 2, C], [C]
  Span<T> a;                           // or empty
  Span<float> dh_sums;                 // [samples, grn_pieces(HW), C]
  std::int64_t samples = 0, HW = 0, C = 0;
};

template <class T, class F>
void for_each_array(const BiasGelu<T>& a, F&& f) {
  f("h", a.h), f("b", a.b), f("z", a.z), f("squares", a.squares);
}
template <class T, class F>
void for_each_array(const BranchEnd<T>& a, F&& f) {
  f("x", a.x), f("b", a.b), f("scale", a.scale), f("y", a.y);
}
template <class T, class F>
void for_each_array(const GeluSums<T>& a, F&& f) {
  f("da", a.da), f("h", a.h), f("b", a.b), f("partials", a.partials);
}
template <class T, class F>
void for_each_array(const GeluGrnBwd<T>& a, F&& f) {
  f("da", a.da), f("h", a.h), f("b", a.b), f("factors", a.factors), f("beta", a.beta), f("a", a.a);
  f("dh_sums", a.dh_sums);
}

namespace simt_bodies {
using namespace simt;

// The rows of a block, blockIdx.x: a piece of a sample. `sample` counts samples, `begin` and `end` rows of all of them.
struct PieceOfSample {
  std::int64_t sample, begin, end;
  template <Block B>
  BF_DEVICE PieceOfSample(B& block, std::int64_t HW) {
    const std::int64_t pieces = grn_pieces(HW), first = block.bx() % pieces * kGrnPieceRows,
                       last = first + kGrnPieceRows;
    sample = block.bx() / pieces;
    begin = sample * HW + first, end = sample * HW + (last < HW ? last : HW);
  }
};
// For the kernels of this file: a block per piece and strip of columns.
template <class T, class A>
LaunchShape piece_shape(const A& a) {
  return strip_shape<T>(a.samples * grn_pieces(a.HW), a.C);
}

struct BiasGeluKernel {
  static constexpr const char* kName = "bias_gelu";
  static constexpr int kMaxThreads = kStripThreads;
  struct Tile;
  template <class T>
  static LaunchShape shape(const BiasGelu<T>& a) {
    return piece_shape<T>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const BiasGelu<T>& a) {
    constexpr int N = kWidest<T>;
    const OwnColumns<T> own(block, a.C, a.h, a.z);
    const PieceOfSample piece(block, a.HW);
    float squares[N] = {};
    if (own) {
      float b[N];
      own.load(block, b, a.b);
      for (std::int64_t row = piece.begin + block.ty(); row < piece.end; row += kStripRows) {
        auto v = own.load(block, a.h, row);
        for (int k = 0; k < N; ++k) {
          const float z = gelu(to_f32(v[k]) + b[k]);
          squares[k] += z * z;
          v[k] = from_f32<T>(z);
        }
        own.store(block, a.z, row, v);
      }
    }
    for_strip_sums<Tile>(block, a.C, squares,
                         [&](std::int64_t c, float sum) { block.store(a.squares, block.bx() * a.C + c, sum); });
  }
};

struct BranchEndKernel {
  static constexpr const char* kName = "branch_end";
  static constexpr int kMaxThreads = kStripThreads;
  template <class T>
  static LaunchShape shape(const BranchEnd<T>& a) {
    return piece_shape<T>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const BranchEnd<T>& a) {
    constexpr int N = kWidest<T>;
    const OwnColumns<T> own(block, a.C, a.x, a.y);
    if (!own) return;
    const PieceOfSample piece(block, a.HW);
    const float s = a.scale ? block.load(a.scale, piece.sample) : 1.0f;
    float b[N];
    own.load(block, b, a.b);
    for (std::int64_t row = piece.begin + block.ty(); row < piece.end; row += kStripRows) {
      const auto x = own.load(block, a.x, row);
      auto y = own.load(block, a.y, row);
      for (int k = 0; k < N; ++k) y[k] = from_f32<T>(to_f32(x[k]) + s * (to_f32(y[k]) + b[k]));
      own.store(block, a.y, row, y);
    }
  }
};

struct GeluSumsKernel {
  static constexpr const char* kName = "gelu_sums";
  static constexpr int kMaxThreads = kStripThreads, kMinBlocks = 2;  // unsaid, ptxas spills for a third block on sm_80
  struct Tile;
  template <class T>
  static LaunchShape shape(const GeluSums<T>& a) {
    return piece_shape<T>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const GeluSums<T>& a) {
    constexpr int N = kWidest<T>;
    const OwnColumns<T> own(block, a.C, a.da, a.h);
    const PieceOfSample piece(block, a.HW);
    float da_z[N] = {}, da_sum[N] = {};
    if (own) {
      float b[N];
      own.load(block, b, a.b);
      for (std::int64_t row = piece.begin + block.ty(); row < piece.end; row += kStripRows) {
        const auto da = own.load(block, a.da, row), h = own.load(block, a.h, row);
        for (int k = 0; k < N; ++k) {
          da_z[k] += to_f32(da[k]) * gelu(to_f32(h[k]) + b[k]);
          da_sum[k] += to_f32(da[k]);
        }
      }
    }
    const std::int64_t at = std::int64_t(block.bx()) * 2 * a.C;
    for_strip_sums<Tile>(block, a.C, da_z, [&](std::int64_t c, float sum) { block.store(a.partials, at + c, sum); });
    for_strip_sums<Tile>(block, a.C, da_sum,
                         [&](std::int64_t c, float sum) { block.store(a.partials, at + a.C + c, sum); });
  }
};

struct GeluGrnBwdKernel {
  static constexpr const char* kName = "gelu_grn_bwd";
  static constexpr int kMaxThreads = kStripThreads;
  struct Tile;
  template <class T>
  static LaunchShape shape(const GeluGrnBwd<T>& a) {
    return piece_shape<T>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const GeluGrnBwd<T>& a) {
    constexpr int N = kWidest<T>;
    const OwnColumns<T> own(block, a.C, a.da, a.h, a.a);
    const PieceOfSample piece(block, a.HW);
    float sums[N] = {};
    if (own) {
      float b[N], scale[N], of_z[N], beta[N];
      own.load(block, b, a.b), own.load(block, beta, a.beta);
      own.load(block, scale, a.factors, piece.sample * 2), own.load(block, of_z, a.factors, piece.sample * 2 + 1);
      for (std::int64_t row = piece.begin + block.ty(); row < piece.end; row += kStripRows) {
        auto da = own.load(block, a.da, row), v = own.load(block, a.h, row);
        for (int k = 0; k < N; ++k) {
          const float h = to_f32(v[k]) + b[k], z = gelu(h);
          const float dh = (to_f32(da[k]) * scale[k] + z * of_z[k]) * gelu_derivative(h);
          sums[k] += dh;
          da[k] = from_f32<T>(dh);
          v[k] = from_f32<T>(z * scale[k] + beta[k]);
        }
        own.store(block, a.da, row, da);
        if (a.a) own.store(block, a.a, row, v);
      }
    }
    for_strip_sums<Tile>(block, a.C, sums,
                         [&](std::int64_t c, float sum) { block.store(a.dh_sums, block.bx() * a.C + c, sum); });
  }
};

// What is launched, in order.
template <class Launch, class T>
void convnext_mlp_fwd(Launch&& launch, const ConvNeXtMlpFwd<T>& a) {
  check(a, Device::cuda);
  const auto& s = a.shape;
  const std::int64_t N = s.N, HW = s.HW, C = s.C, H = s.hidden(), rows = s.rows();
  Carver carver(a.workspace);
  const convnext_mlp_cuda::FwdMemory<T> m(s, bool(a.h), carver);
  const Span<float> G = a.h ? a.G : m.G;
  const Span<T> h = a.h ? a.h : m.z;

  layer_norm_fwd(launch, LayerNormFwd<T>{.x = a.u,
                                         .gamma = a.p.norm_gamma,
                                         .beta = a.p.norm_beta,
                                         .y = m.n,
                                         .mean = a.h ? a.mean : m.mean,
                                         .rstd = a.h ? a.rstd : m.rstd,
                                         .rows = rows,
                                         .C = int(C),
                                         .eps = a.eps});
  cuda::gemm<T, T>(
      {.a = m.n, .b = a.p.w1, .c = h, .m = rows, .n = H, .k = C, .b_transposed = true, .products = a.products},
      launch.stream());
  launch(BiasGeluKernel(), BiasGelu<T>{h, a.p.b1, m.z, m.squares, N, HW, H});
  launch(GrnFactorsKernel(), GrnFactors{m.squares, a.p.grn_gamma, G, m.scale, N, grn_pieces(HW), int(H), a.eps});
  launch_grn<GrnApplyKernel>(launch, GrnApply<T>{m.z, m.scale, a.p.grn_beta, m.z, N, HW, int(H)}, m.z);
  cuda::gemm<T, T>(
      {.a = m.z, .b = a.p.w2, .c = a.y, .m = rows, .n = C, .k = H, .b_transposed = true, .products = a.products},
      launch.stream());
  launch(BranchEndKernel(), BranchEnd<T>{a.x, a.p.b2, a.scale, a.y, N, HW, C});
}

template <class Launch, class T>
void convnext_mlp_bwd(Launch&& launch, const ConvNeXtMlpBwd<T>& a) {
  check(a, Device::cuda);
  const auto& s = a.shape;
  const std::int64_t N = s.N, HW = s.HW, C = s.C, H = s.hidden(), rows = s.rows();
  Carver carver(a.workspace);
  const convnext_mlp_cuda::BwdMemory<T> m(s, carver);
  const auto product = [&](Span<const T> left, Span<const T> right, Span<T> result, std::int64_t columns,
                           std::int64_t k) {
    cuda::gemm<T, T>({.a = left, .b = right, .c = result, .m = rows, .n = columns, .k = k, .products = a.products},
                     launch.stream());
  };
  const auto weight_gradient = [&](Span<const T> left, std::int64_t out, Span<const T> right, std::int64_t in,
                                   Span<float> dw, GradMode mode) {
    if (mode == GradMode::skip) return;
    cuda::gemm<T, float>({.a = left,
                          .b = right,
                          .c = dw,
                          .m = out,
                          .n = in,
                          .k = rows,
                          .a_transposed = true,
                          .beta = mode == GradMode::add ? 1.0f : 0.0f,
                          .products = a.products},
                         launch.stream());
  };

  // g = s dy
  Span<const T> g = a.dy;
  if (a.scale) {
    residual_bwd(
        launch,
        ResidualBwd<T>{
            .dout = a.dy, .scale = a.scale, .dx = {}, .dy = m.g, .dx_mode = GradMode::skip, .N = N, .S = HW * C});
    g = m.g;
  }
  column_sums(launch, g, rows, C, a.db2, a.db2_mode, m.column_sums);

  // Through W2, GRN and GELU.
  product(g, a.p.w2, m.da, H, C);
  launch(GeluSumsKernel(), GeluSums<T>{m.da, a.h, a.p.b1, m.da_sums, N, HW, H});
  launch(GrnBwdFactorsKernel(),
         GrnBwdFactors{m.da_sums, a.p.grn_gamma, a.G, m.factors, m.sums, N, grn_pieces(HW), int(H), a.eps});
  launch(GrnParametersKernel(),
         GrnParameters{m.sums, a.dgrn_gamma, a.dgrn_beta, a.dgrn_gamma_mode, a.dgrn_beta_mode, N, int(H)});
  const Span<T> activation = a.dw2_mode == GradMode::skip ? Span<T>() : m.a;
  launch(GeluGrnBwdKernel(),
         GeluGrnBwd<T>{m.da, a.h, a.p.b1, m.factors, a.p.grn_beta, activation, m.db1_sums, N, HW, H});
  weight_gradient(g, C, m.a, H, a.dw2, a.dw2_mode);
  column_sums(launch, Span<const float>(m.db1_sums), convnext_mlp_cuda::pieces(s), H, a.db1, a.db1_mode, m.column_sums);

  // Through W1 and LayerNorm, whose result is computed again.
  if (a.dw1_mode != GradMode::skip)
    layer_norm_fwd(launch, LayerNormFwd<T>{.x = a.u,
                                           .gamma = a.p.norm_gamma,
                                           .beta = a.p.norm_beta,
                                           .y = m.n,
                                           .mean = m.mean,
                                           .rstd = m.rstd,
                                           .rows = rows,
                                           .C = int(C),
                                           .eps = a.eps});
  weight_gradient(m.da, H, m.n, C, a.dw1, a.dw1_mode);
  product(m.da, a.p.w1, m.dn, C, H);
  layer_norm_bwd(launch, LayerNormBwd<T>{.dy = m.dn,
                                         .x = a.u,
                                         .gamma = a.p.norm_gamma,
                                         .mean = a.mean,
                                         .rstd = a.rstd,
                                         .dx = a.du,
                                         .dgamma = a.dnorm_gamma,
                                         .dbeta = a.dnorm_beta,
                                         .dgamma_mode = a.dnorm_gamma_mode,
                                         .dbeta_mode = a.dnorm_beta_mode,
                                         .workspace = m.norm,
                                         .rows = rows,
                                         .C = int(C)});
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
