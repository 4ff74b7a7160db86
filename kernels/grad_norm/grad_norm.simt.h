// kernels/grad_norm/grad_norm.simt.h — the global L2 norm, the bodies of its CUDA kernels: a warp per piece, then a block
// over the pieces.
#pragma once
#include <cmath>

#include "kernels/grad_norm/grad_norm.h"
#include "kernels/simt/collectives.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const GradNorm& a, F&& f) {
  f("g", a.g), f("norm", a.norm), f("workspace", a.workspace);
}

namespace simt_bodies {
using namespace simt;

// The last pieces come first: the step that follows begins at element 0, and finds the end of this walk in the L2 cache.
struct GradNormPiecesKernel {
  static constexpr const char* kName = "grad_norm_pieces";
  static constexpr int kWarps = 8, kMaxThreads = kWarps * kWarp;
  static LaunchShape shape(const GradNorm& a) {
    return {.grid = {ceil_div<std::int64_t>(grad_norm_workspace(a.g.len), kWarps)}, .block = {kWarp, kWarps}};
  }
  template <Block B>
  BF_DEVICE static void run(B& block, const GradNorm& a) {
    const std::int64_t piece = grad_norm_workspace(a.g.len) - 1 - (std::int64_t(block.bx()) * kWarps + block.ty());
    if (piece < 0) return;  // a warp leaves as a whole, and nothing below waits for the block
    const std::int64_t begin = piece * kGradNormPiece;
    const std::int64_t end = begin + kGradNormPiece < a.g.len ? begin + kGradNormPiece : a.g.len;
    double sum = 0;
    for (std::int64_t i = begin + block.tx(); i < end; i += kWarp) {
      const double g = double(block.load(a.g, i));
      sum += g * g;
    }
    sum = warp_sum(block, sum);
    if (block.tx() == 0) block.store(a.workspace, piece, sum);
  }
};

struct GradNormKernel {
  static constexpr const char* kName = "grad_norm";
  static constexpr int kMaxThreads = kGradNormLanes;
  struct Sums;
  static LaunchShape shape(const GradNorm&) { return {.grid = {1}, .block = {kGradNormLanes}}; }
  template <Block B>
  BF_DEVICE static void run(B& block, const GradNorm& a) {
    double sum = 0;
    for (std::int64_t i = block.tx(); i < grad_norm_workspace(a.g.len); i += kGradNormLanes)
      sum += block.load(a.workspace, i);
    sum = block_sum<Sums>(block, sum);
    if (block.tx() == 0) block.store(a.norm, 0, sqrt(sum));
  }
};

// What is launched, in order. Launch: called with a kernel and its arguments.
template <class Launch>
void grad_norm(Launch&& launch, const GradNorm& a) {
  check(a);
  launch(GradNormPiecesKernel(), a);
  launch(GradNormKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
