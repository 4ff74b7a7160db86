// kernels/layer_norm/layer_norm.simt.h — LayerNorm, the bodies of its CUDA kernels: a warp per row; parameter gradients
// by columns, in pieces of the rows, then over the pieces in order.
#pragma once
#include <cmath>

#include "kernels/layer_norm/layer_norm.h"
#include "kernels/simt/collectives.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const LayerNormFwd<T>& a, F&& f) {
  f("x", a.x), f("gamma", a.gamma), f("beta", a.beta), f("y", a.y), f("mean", a.mean), f("rstd", a.rstd);
}
template <class T, class F>
void for_each_array(const LayerNormBwd<T>& a, F&& f) {
  f("dy", a.dy), f("x", a.x), f("gamma", a.gamma), f("mean", a.mean), f("rstd", a.rstd), f("dx", a.dx);
  f("dgamma", a.dgamma), f("dbeta", a.dbeta), f("workspace", a.workspace);
}

namespace simt_bodies {
using namespace simt;

inline constexpr int kRowWarps = 4;    // rows of a block in the row kernels
inline constexpr int kPieceWarps = 8;  // rows that a block of the column kernel reads at a time

inline LaunchShape row_shape(std::int64_t rows) {
  return {.grid = {ceil_div<std::int64_t>(rows, kRowWarps)}, .block = {kWarp, kRowWarps}};
}

// The lanes of a warp own columns l, l + 32, ... of its row: neighbours in memory, no shared memory. The row is read
// three times; up to a few thousand columns it stays in L1, and device memory sees one read.
struct LayerNormFwdKernel {
  static constexpr const char* kName = "layer_norm_fwd";
  static constexpr int kMaxThreads = kWarp * kRowWarps;
  template <class T>
  static LaunchShape shape(const LayerNormFwd<T>& a) {
    return row_shape(a.rows);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const LayerNormFwd<T>& a) {
    const std::int64_t row = std::int64_t(block.bx()) * kRowWarps + block.ty(), base = row * a.C;
    if (row >= a.rows) return;  // a warp leaves as a whole, and nothing below waits for the block

    float sum = 0;
    for (int c = block.tx(); c < a.C; c += kWarp) sum += to_f32(block.load(a.x, base + c));
    const float mean = warp_sum(block, sum) / float(a.C);
    float squares = 0;
    for (int c = block.tx(); c < a.C; c += kWarp) {
      const float centred = to_f32(block.load(a.x, base + c)) - mean;
      squares += centred * centred;
    }
    const float rstd = 1.0f / sqrtf(warp_sum(block, squares) / float(a.C) + a.eps);

    for (int c = block.tx(); c < a.C; c += kWarp) {
      const float xh = (to_f32(block.load(a.x, base + c)) - mean) * rstd;
      block.store(a.y, base + c, from_f32<T>(xh * block.load(a.gamma, c) + block.load(a.beta, c)));
    }
    if (block.tx() == 0) block.store(a.mean, row, mean), block.store(a.rstd, row, rstd);
  }
};

struct LayerNormDxKernel {
  static constexpr const char* kName = "layer_norm_dx";
  static constexpr int kMaxThreads = kWarp * kRowWarps;
  template <class T>
  static LaunchShape shape(const LayerNormBwd<T>& a) {
    return row_shape(a.rows);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const LayerNormBwd<T>& a) {
    const std::int64_t row = std::int64_t(block.bx()) * kRowWarps + block.ty(), base = row * a.C;
    if (row >= a.rows) return;
    const float mean = block.load(a.mean, row), rstd = block.load(a.rstd, row);
    const auto g_of = [&](int c) { return to_f32(block.load(a.dy, base + c)) * block.load(a.gamma, c); };
    const auto xh_of = [&](int c) { return (to_f32(block.load(a.x, base + c)) - mean) * rstd; };

    float sum_g = 0, sum_gx = 0;
    for (int c = block.tx(); c < a.C; c += kWarp) {
      const float g = g_of(c);
      sum_g += g, sum_gx += g * xh_of(c);
    }
    const float mean_g = warp_sum(block, sum_g) / float(a.C), mean_gx = warp_sum(block, sum_gx) / float(a.C);

    for (int c = block.tx(); c < a.C; c += kWarp) {
      const float d = rstd * (g_of(c) - mean_g - xh_of(c) * mean_gx);
      block.store(a.dx, base + c, from_f32<T>(a.dx_mode == GradMode::add ? to_f32(block.load(a.dx, base + c)) + d : d));
    }
  }
};

// A block sums 32 columns over one piece of the rows: lane = column, warps take turns with the rows. Leaves the sums of
// piece p in workspace [pieces, 2, C].
struct LayerNormPiecesKernel {
  static constexpr const char* kName = "layer_norm_pieces";
  static constexpr int kMaxThreads = kWarp * kPieceWarps;
  struct Tile;
  template <class T>
  static LaunchShape shape(const LayerNormBwd<T>& a) {
    return {.grid = {layer_norm_pieces(a.rows), ceil_div(a.C, kWarp)}, .block = {kWarp, kPieceWarps}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const LayerNormBwd<T>& a) {
    const int lane = block.tx(), warp = block.ty(), c = block.by() * kWarp + lane;
    const std::int64_t piece = block.bx(), per = ceil_div<std::int64_t>(a.rows, block.gx());
    const std::int64_t begin = piece * per, end = begin + per < a.rows ? begin + per : a.rows;

    float dgamma = 0, dbeta = 0;
    if (c < a.C)  // a condition, not a return: every thread must reach the barrier
      for (std::int64_t row = begin + warp; row < end; row += kPieceWarps) {
        const float dy = to_f32(block.load(a.dy, row * a.C + c));
        dgamma += dy * ((to_f32(block.load(a.x, row * a.C + c)) - block.load(a.mean, row)) * block.load(a.rstd, row));
        dbeta += dy;
      }

    const auto tile = block.template shared<Tile, float, 2 * kPieceWarps * kWarp>();  // [2, warps, 32]
    block.store(tile, warp * kWarp + lane, dgamma);
    block.store(tile, (kPieceWarps + warp) * kWarp + lane, dbeta);
    block.sync();
    if (warp < 2 && c < a.C) {  // warp 0 ends dgamma, warp 1 dbeta
      float sum = 0;
      for (int w = 0; w < kPieceWarps; ++w) sum += block.load(tile, (warp * kPieceWarps + w) * kWarp + lane);
      block.store(a.workspace, (piece * 2 + warp) * a.C + c, sum);
    }
  }
};

// A thread per column: the pieces in order.
struct LayerNormParametersKernel {
  static constexpr const char* kName = "layer_norm_parameters";
  static constexpr int kMaxThreads = 128;
  template <class T>
  static LaunchShape shape(const LayerNormBwd<T>& a) {
    return {.grid = {ceil_div(a.C, kMaxThreads)}, .block = {kMaxThreads}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const LayerNormBwd<T>& a) {
    const int c = block.bx() * kMaxThreads + block.tx();
    if (c >= a.C) return;
    const auto end = [&](GradMode mode, Span<float> gradient, int which) {
      if (mode == GradMode::skip) return;
      float sum = 0;
      for (std::int64_t p = 0; p < layer_norm_pieces(a.rows); ++p)
        sum += block.load(a.workspace, (p * 2 + which) * a.C + c);
      block.store(gradient, c, mode == GradMode::add ? block.load(gradient, c) + sum : sum);
    };
    end(a.dgamma_mode, a.dgamma, 0);
    end(a.dbeta_mode, a.dbeta, 1);
  }
};

// What is launched, in order. Launch: called with a kernel and its arguments.
template <class Launch, class T>
void layer_norm_fwd(Launch&& launch, const LayerNormFwd<T>& a) {
  check(a);
  launch(LayerNormFwdKernel(), a);
}
template <class Launch, class T>
void layer_norm_bwd(Launch&& launch, const LayerNormBwd<T>& a) {
  check(a);
  if (a.dx_mode != GradMode::skip) launch(LayerNormDxKernel(), a);
  if (a.dgamma_mode == GradMode::skip && a.dbeta_mode == GradMode::skip) return;
  launch(LayerNormPiecesKernel(), a);
  launch(LayerNormParametersKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
