// kernels/grn/grn.simt.h — GRN, the bodies of its CUDA kernels.
//
//   forward     GrnSquares     partials[n, p, c] = sum of x^2 over piece p of sample n          reads x
//               GrnFactors     G = sqrt(sum_p partials), scale = 1 + gamma G / M                small
//               GrnApply       y = x scale + beta                                               reads x, writes y
//   backward    GrnBwdSums     partials[n, p, 0, c] = sum of dy x, [n, p, 1, c] = sum of dy     reads dy, x
//               GrnBwdFactors  factors[n, 0, c] of dy and [n, 1, c] of x; sums [n, 0] = S N, [n, 1] = B
//               GrnBwdApply    dx = dy factors[0] + x factors[1]                                reads dy, x, writes dx
//               GrnParameters  dgamma, dbeta = sums over the samples
//
// Each is a launch of its own with its own arguments: whoever writes x or dy may leave the partial sums itself, in pieces
// of its own, and go on with the factors. The sums of a block: a lane per N columns, warps take turns with the rows, then
// the warps in order.
#pragma once
#include <cmath>

#include "kernels/grn/grn.h"
#include "kernels/simt/collectives.h"

namespace bonafide::kernels {

template <class T>
struct GrnSquares {
  Span<const T> x;        // [samples, HW, C]
  Span<float> partials;   // [samples, grn_pieces(HW), C]
  std::int64_t samples = 0, HW = 0;
  int C = 0;
};
struct GrnFactors {
  Span<const float> partials, gamma;  // [samples, pieces, C], [C]
  Span<float> G, scale;               // [samples, C]
  std::int64_t samples = 0, pieces = 0;
  int C = 0;
  float eps = 1e-6f;
};
template <class T>
struct GrnApply {
  Span<const T> x;
  Span<const float> scale, beta;
  Span<T> y;
  std::int64_t samples = 0, HW = 0;
  int C = 0;
};
template <class T>
struct GrnBwdSums {
  Span<const T> dy, x;
  Span<float> partials;  // [samples, grn_pieces(HW), 2, C]
  std::int64_t samples = 0, HW = 0;
  int C = 0;
};
struct GrnBwdFactors {
  Span<const float> partials, gamma, G;  // [samples, pieces, 2, C], [C], [samples, C]
  Span<float> factors, sums;             // [samples, 2, C]
  std::int64_t samples = 0, pieces = 0;
  int C = 0;
  float eps = 1e-6f;
};
template <class T>
struct GrnBwdApply {
  Span<const T> dy, x;
  Span<const float> factors;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
  std::int64_t samples = 0, HW = 0;
  int C = 0;
};
struct GrnParameters {
  Span<const float> sums;
  Span<float> dgamma, dbeta;
  GradMode dgamma_mode = GradMode::write, dbeta_mode = GradMode::write;
  std::int64_t samples = 0;
  int C = 0;
};

template <class T, class F>
void for_each_array(const GrnSquares<T>& a, F&& f) {
  f("x", a.x), f("partials", a.partials);
}
template <class F>
void for_each_array(const GrnFactors& a, F&& f) {
  f("partials", a.partials), f("gamma", a.gamma), f("G", a.G), f("scale", a.scale);
}
template <class T, class F>
void for_each_array(const GrnApply<T>& a, F&& f) {
  f("x", a.x), f("scale", a.scale), f("beta", a.beta), f("y", a.y);
}
template <class T, class F>
void for_each_array(const GrnBwdSums<T>& a, F&& f) {
  f("dy", a.dy), f("x", a.x), f("partials", a.partials);
}
template <class F>
void for_each_array(const GrnBwdFactors& a, F&& f) {
  f("partials", a.partials), f("gamma", a.gamma), f("G", a.G), f("factors", a.factors), f("sums", a.sums);
}
template <class T, class F>
void for_each_array(const GrnBwdApply<T>& a, F&& f) {
  f("dy", a.dy), f("x", a.x), f("factors", a.factors), f("dx", a.dx);
}
template <class F>
void for_each_array(const GrnParameters& a, F&& f) {
  f("sums", a.sums), f("dgamma", a.dgamma), f("dbeta", a.dbeta);
}

namespace simt_bodies {
using namespace simt;

inline constexpr int kGrnWarps = 8;          // rows that a block works on at a time
inline constexpr int kGrnThreads = kWarp * kGrnWarps;
inline constexpr int kGrnVector = 4;         // columns of a lane, where the arrays allow it

// blockIdx.x: a piece of a sample; blockIdx.y: 32 N columns.
template <int N, class A>
LaunchShape grn_shape(const A& a) {
  return {.grid = {a.samples * grn_pieces(a.HW), ceil_div(a.C, kWarp * N)}, .block = {kWarp, kGrnWarps}};
}

// What a thread of such a block works on: columns [c, c + N), all inside or all outside of the array, and every
// kGrnWarps-th row of [begin, end), counted over all samples.
template <int N>
struct GrnTile {
  std::int64_t sample, piece, begin, end;
  int c;
  template <Block B, class A>
  BF_DEVICE GrnTile(B& block, const A& a) {
    const std::int64_t pieces = grn_pieces(a.HW);
    sample = block.bx() / pieces, piece = block.bx() % pieces;
    const std::int64_t first = piece * kGrnPieceRows, last = first + kGrnPieceRows;
    begin = sample * a.HW + first, end = sample * a.HW + (last < a.HW ? last : a.HW);
    c = (block.by() * kWarp + block.tx()) * N;
  }
  // f(offset of N elements) for the rows of this thread.
  template <Block B, class F>
  BF_DEVICE void for_rows(B& block, int C, F&& f) const {
    if (c < C)
      for (std::int64_t row = begin + block.ty(); row < end; row += kGrnWarps) f(row * C + c);
  }
};

// Sums K values for each of the block's columns over its warps, in order; f(k, column of the block, sum) in one thread for
// each. All threads must come.
template <class Tag, int K, int N, Block B, class F>
BF_DEVICE void for_column_sums(B& block, const float (&own)[K][N], F&& f) {
  constexpr int kColumns = kWarp * N;
  const auto tile = block.template shared<Tag, float, K * kGrnWarps * kColumns>();  // [K, warps, columns]
  for (int k = 0; k < K; ++k) {
    simt::Vector<float, N> v;
    for (int i = 0; i < N; ++i) v[i] = own[k][i];
    block.store_vector(tile, (k * kGrnWarps + block.ty()) * kColumns + block.tx() * N, v);
  }
  block.sync();
  for (int i = block.ty() * kWarp + block.tx(); i < K * kColumns; i += kGrnThreads) {
    const int k = i / kColumns, column = i % kColumns;
    float sum = 0;
    for (int w = 0; w < kGrnWarps; ++w) sum += block.load(tile, (k * kGrnWarps + w) * kColumns + column);
    f(k, column, sum);
  }
}

template <int N>
struct GrnSquaresKernel {
  static constexpr const char* kName = "grn_squares";
  static constexpr int kMaxThreads = kGrnThreads;
  struct Tile;
  template <class T>
  static LaunchShape shape(const GrnSquares<T>& a) {
    return grn_shape<N>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const GrnSquares<T>& a) {
    const GrnTile<N> tile(block, a);
    float squares[1][N] = {};
    tile.for_rows(block, a.C, [&](std::int64_t at) {
      const auto x = block.template load_vector<N>(a.x, at);
      for (int i = 0; i < N; ++i) squares[0][i] += to_f32(x[i]) * to_f32(x[i]);
    });
    for_column_sums<Tile>(block, squares, [&](int, int column, float sum) {
      const int c = block.by() * kWarp * N + column;
      if (c < a.C) block.store(a.partials, std::int64_t(block.bx()) * a.C + c, sum);
    });
  }
};

// A block per sample.
struct GrnFactorsKernel {
  static constexpr const char* kName = "grn_factors";
  static constexpr int kMaxThreads = 256;
  struct Sum;
  static LaunchShape shape(const GrnFactors& a) { return {.grid = {a.samples}, .block = {kMaxThreads}}; }
  template <Block B>
  BF_DEVICE static void run(B& block, const GrnFactors& a) {
    const std::int64_t sample = block.bx();
    float sum = 0;
    for (int c = block.tx(); c < a.C; c += kMaxThreads) {
      float squares = 0;
      for (std::int64_t p = 0; p < a.pieces; ++p) squares += block.load(a.partials, (sample * a.pieces + p) * a.C + c);
      const float G = sqrtf(squares);
      block.store(a.G, sample * a.C + c, G);
      sum += G;
    }
    const float inverse = 1.0f / (block_sum<Sum>(block, sum) / float(a.C) + a.eps);
    for (int c = block.tx(); c < a.C; c += kMaxThreads)  // reads what this thread wrote
      block.store(a.scale, sample * a.C + c, 1.0f + block.load(a.gamma, c) * (block.load(a.G, sample * a.C + c) * inverse));
  }
};

template <int N>
struct GrnApplyKernel {
  static constexpr const char* kName = "grn_apply";
  static constexpr int kMaxThreads = kGrnThreads;
  template <class T>
  static LaunchShape shape(const GrnApply<T>& a) {
    return grn_shape<N>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const GrnApply<T>& a) {
    const GrnTile<N> tile(block, a);
    float scale[N] = {}, beta[N] = {};
    if (tile.c < a.C)
      for (int i = 0; i < N; ++i) {
        scale[i] = block.load(a.scale, tile.sample * a.C + tile.c + i);
        beta[i] = block.load(a.beta, tile.c + i);
      }
    tile.for_rows(block, a.C, [&](std::int64_t at) {
      auto v = block.template load_vector<N>(a.x, at);
      for (int i = 0; i < N; ++i) v[i] = from_f32<T>(to_f32(v[i]) * scale[i] + beta[i]);
      block.store_vector(a.y, at, v);
    });
  }
};

template <int N>
struct GrnBwdSumsKernel {
  static constexpr const char* kName = "grn_bwd_sums";
  static constexpr int kMaxThreads = kGrnThreads;
  struct Tile;
  template <class T>
  static LaunchShape shape(const GrnBwdSums<T>& a) {
    return grn_shape<N>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const GrnBwdSums<T>& a) {
    const GrnTile<N> tile(block, a);
    float sums[2][N] = {};
    tile.for_rows(block, a.C, [&](std::int64_t at) {
      const auto dy = block.template load_vector<N>(a.dy, at), x = block.template load_vector<N>(a.x, at);
      for (int i = 0; i < N; ++i) sums[0][i] += to_f32(dy[i]) * to_f32(x[i]), sums[1][i] += to_f32(dy[i]);
    });
    for_column_sums<Tile>(block, sums, [&](int k, int column, float sum) {
      const int c = block.by() * kWarp * N + column;
      if (c < a.C) block.store(a.partials, (std::int64_t(block.bx()) * 2 + k) * a.C + c, sum);
    });
  }
};

// A block per sample.
struct GrnBwdFactorsKernel {
  static constexpr const char* kName = "grn_bwd_factors";
  static constexpr int kMaxThreads = 256;
  struct Sum;
  static LaunchShape shape(const GrnBwdFactors& a) { return {.grid = {a.samples}, .block = {kMaxThreads}}; }
  template <Block B>
  BF_DEVICE static void run(B& block, const GrnBwdFactors& a) {
    const std::int64_t sample = block.bx(), C = a.C;
    float norms = 0, weighted = 0;
    for (int c = block.tx(); c < C; c += kMaxThreads) {
      float S = 0, B_c = 0;
      for (std::int64_t p = 0; p < a.pieces; ++p) {
        S += block.load(a.partials, ((sample * a.pieces + p) * 2 + 0) * C + c);
        B_c += block.load(a.partials, ((sample * a.pieces + p) * 2 + 1) * C + c);
      }
      const float G = block.load(a.G, sample * C + c);
      norms += G, weighted += S * block.load(a.gamma, c) * G;
      block.store(a.sums, (sample * 2 + 0) * C + c, S);
      block.store(a.sums, (sample * 2 + 1) * C + c, B_c);
    }
    const float M = block_sum<Sum>(block, norms) / float(C) + a.eps, inverse = 1.0f / M;
    const float shared = block_sum<Sum>(block, weighted) / (float(C) * M * M);
    for (int c = block.tx(); c < C; c += kMaxThreads) {  // reads what this thread wrote
      const float G = block.load(a.G, sample * C + c), S = block.load(a.sums, sample * 2 * C + c);
      const float gamma = block.load(a.gamma, c), N = G * inverse, dG = gamma * S * inverse - shared;
      block.store(a.factors, (sample * 2 + 0) * C + c, 1.0f + gamma * N);
      block.store(a.factors, (sample * 2 + 1) * C + c, G > 0 ? dG / G : 0.0f);
      block.store(a.sums, sample * 2 * C + c, S * N);
    }
  }
};

template <int N>
struct GrnBwdApplyKernel {
  static constexpr const char* kName = "grn_bwd_apply";
  static constexpr int kMaxThreads = kGrnThreads;
  template <class T>
  static LaunchShape shape(const GrnBwdApply<T>& a) {
    return grn_shape<N>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const GrnBwdApply<T>& a) {
    const GrnTile<N> tile(block, a);
    const bool add = a.dx_mode == GradMode::add;
    float of_dy[N] = {}, of_x[N] = {};
    if (tile.c < a.C)
      for (int i = 0; i < N; ++i) {
        of_dy[i] = block.load(a.factors, (tile.sample * 2 + 0) * a.C + tile.c + i);
        of_x[i] = block.load(a.factors, (tile.sample * 2 + 1) * a.C + tile.c + i);
      }
    tile.for_rows(block, a.C, [&](std::int64_t at) {
      const auto dy = block.template load_vector<N>(a.dy, at), x = block.template load_vector<N>(a.x, at);
      float d[N];
      for (int i = 0; i < N; ++i) d[i] = to_f32(dy[i]) * of_dy[i] + to_f32(x[i]) * of_x[i];
      simt::Vector<T, N> dx;
      if (add) dx = block.template load_vector<N>(a.dx, at);
      for (int i = 0; i < N; ++i) dx[i] = from_f32<T>(add ? to_f32(dx[i]) + d[i] : d[i]);
      block.store_vector(a.dx, at, dx);
    });
  }
};

// A lane per column, warps take turns with the samples.
struct GrnParametersKernel {
  static constexpr const char* kName = "grn_parameters";
  static constexpr int kMaxThreads = kGrnThreads;
  struct Tile;
  static LaunchShape shape(const GrnParameters& a) {
    return {.grid = {ceil_div(a.C, kWarp)}, .block = {kWarp, kGrnWarps}};
  }
  template <Block B>
  BF_DEVICE static void run(B& block, const GrnParameters& a) {
    const int c = block.bx() * kWarp + block.tx();
    float sums[2][1] = {};
    if (c < a.C)
      for (std::int64_t n = block.ty(); n < a.samples; n += kGrnWarps)
        for (int k = 0; k < 2; ++k) sums[k][0] += block.load(a.sums, (n * 2 + k) * a.C + c);
    for_column_sums<Tile>(block, sums, [&](int k, int column, float sum) {
      const int at = block.bx() * kWarp + column;
      const GradMode mode = k == 0 ? a.dgamma_mode : a.dbeta_mode;
      const Span<float> gradient = k == 0 ? a.dgamma : a.dbeta;
      if (at < a.C && mode != GradMode::skip)
        block.store(gradient, at, mode == GradMode::add ? block.load(gradient, at) + sum : sum);
    });
  }
};

// Launches Kernel<kGrnVector> where every array can be read in such vectors, else Kernel<1>: the results are the same.
template <template <int> class Kernel, class Launch, class A, class... Arrays>
void launch_grn(Launch&& launch, const A& a, const Arrays&... arrays) {
  if (a.C % kGrnVector == 0 && (simt::aligned<kGrnVector>(arrays) && ...))
    launch(Kernel<kGrnVector>(), a);
  else
    launch(Kernel<1>(), a);
}

// What is launched, in order. Launch: called with a kernel and its arguments.
template <class Launch, class T>
void grn_fwd(Launch&& launch, const GrnFwd<T>& a) {
  check(a);
  const std::int64_t pieces = grn_pieces(a.HW), need = grn_fwd_workspace(a.samples, a.HW, a.C);
  BF_CHECK(a.workspace.len >= need, "grn: workspace of ", a.workspace.len, " floats, expected ", need);
  const auto partials = a.workspace.slice(0, a.samples * pieces * a.C);
  const auto scale = a.workspace.slice(partials.len, a.samples * a.C);
  launch_grn<GrnSquaresKernel>(launch, GrnSquares<T>{a.x, partials, a.samples, a.HW, a.C}, a.x);
  launch(GrnFactorsKernel(), GrnFactors{partials, a.gamma, a.G, scale, a.samples, pieces, a.C, a.eps});
  launch_grn<GrnApplyKernel>(launch, GrnApply<T>{a.x, scale, a.beta, a.y, a.samples, a.HW, a.C}, a.x, a.y);
}
template <class Launch, class T>
void grn_bwd(Launch&& launch, const GrnBwd<T>& a) {
  check(a);
  const bool parameters = a.dgamma_mode != GradMode::skip || a.dbeta_mode != GradMode::skip;
  if (a.dx_mode == GradMode::skip && !parameters) return;
  const std::int64_t pieces = grn_pieces(a.HW), per = a.samples * 2 * a.C;
  const auto partials = a.workspace.slice(0, per * pieces), factors = a.workspace.slice(partials.len, per);
  const auto sums = a.workspace.slice(partials.len + per, per);
  launch_grn<GrnBwdSumsKernel>(launch, GrnBwdSums<T>{a.dy, a.x, partials, a.samples, a.HW, a.C}, a.dy, a.x);
  launch(GrnBwdFactorsKernel(), GrnBwdFactors{partials, a.gamma, a.G, factors, sums, a.samples, pieces, a.C, a.eps});
  if (a.dx_mode != GradMode::skip)
    launch_grn<GrnBwdApplyKernel>(launch, GrnBwdApply<T>{a.dy, a.x, factors, a.dx, a.dx_mode, a.samples, a.HW, a.C}, a.dy,
                                  a.x, a.dx);
  if (parameters)
    launch(GrnParametersKernel(), GrnParameters{sums, a.dgamma, a.dbeta, a.dgamma_mode, a.dbeta_mode, a.samples, a.C});
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
