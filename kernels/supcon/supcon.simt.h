// kernels/supcon/supcon.simt.h — the contrastive loss, the bodies of its CUDA kernels: a block per anchor, the other
// rows in tiles, a thread per row of the tile. No matrix of similarities; sums in f64 in an order that N and D fix.
#pragma once
#include "kernels/simt/collectives.h"
#include "kernels/simt/elementwise.h"
#include "kernels/supcon/supcon.h"
#include "kernels/supcon/terms.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const SupConFwd& a, F&& f) {
  f("f", a.f), f("labels", a.labels), f("stats", a.stats);
}
template <class F>
void for_each_array(const SupConMean& a, F&& f) {
  f("stats", a.stats), f("loss", a.loss);
}
template <class F>
void for_each_array(const SupConBwd& a, F&& f) {
  f("dloss", a.dloss), f("f", a.f), f("labels", a.labels), f("stats", a.stats), f("df", a.df);
}

namespace simt_bodies {
using namespace simt;

inline constexpr int kSupConTile = 128;  // rows of a tile, threads of a block, columns of a block in backward

// s_ij for j = first + thread, in every block of kSupConTile threads. The rows come through shared memory, 32 columns
// at a time: read from memory side by side, used one per thread, each in a bank of its own.
struct SupConRowTile;
struct SupConAnchor;
template <Block B, class A>
BF_DEVICE double own_similarity(B& block, const A& a, std::int64_t i, std::int64_t first) {
  constexpr int kPitch = kWarp + 1;
  const auto rows = block.template shared<SupConRowTile, float, kSupConTile * kPitch>();
  const auto anchor = block.template shared<SupConAnchor, float, kWarp>();
  const int lane = block.tx() % kWarp;
  double dot = 0;
  for (std::int64_t d = 0; d < a.D; d += kWarp) {
    const int columns = a.D - d < kWarp ? int(a.D - d) : kWarp;
    if (lane < columns)
      for (int r = block.tx() / kWarp; r < kSupConTile && first + r < a.N; r += kSupConTile / kWarp)
        block.store(rows, r * kPitch + lane, block.load(a.f, (first + r) * a.D + d + lane));
    if (block.tx() < columns) block.store(anchor, block.tx(), block.load(a.f, i * a.D + d + block.tx()));
    block.sync();
    if (first + block.tx() < a.N)
      for (int c = 0; c < columns; ++c)
        dot += double(block.load(anchor, c)) * double(block.load(rows, block.tx() * kPitch + c));
    block.sync();  // before the next columns
  }
  return dot / double(a.temperature);
}

// The block's sum of what its threads have summed.
template <class Tag, Block B>
BF_DEVICE LogSum block_log_sum(B& block, LogSum own) {
  LogSum all;
  all.max = block_max<Tag>(block, own.max);
  all.sum = block_sum<Tag>(block, own.sum > 0 ? own.sum * std::exp(own.max - all.max) : own.sum);  // none, or NaN
  return all;
}

struct SupConRowsKernel {
  static constexpr const char* kName = "supcon_rows";
  static constexpr int kMaxThreads = kSupConTile, kMinBlocks = 2;  // unsaid, ptxas spills for a fourth block on sm_100
  struct Scratch;
  static LaunchShape shape(const SupConFwd& a) { return {.grid = {a.anchors()}, .block = {kMaxThreads}}; }
  template <Block B>
  BF_DEVICE static void run(B& block, const SupConFwd& a) {
    const std::int64_t row = block.bx(), i = a.begin + row;
    const bool log_outside = a.form == SupConForm::log_outside;
    const double label = block.load(a.labels, i);
    LogSum all, positive;
    double weights = 0, weighted = 0;  // sum w, sum w s
    for (std::int64_t first = 0; first < a.N; first += kSupConTile) {
      const double s = own_similarity(block, a, i, first);
      const std::int64_t j = first + block.tx();
      if (j >= a.N || j == i) continue;
      const double w = pair_weight(a.form, label, block.load(a.labels, j));
      all.add(s);
      if (log_outside && w != 0) positive.add(s);
      weights += w, weighted += w * s;
    }
    all = block_log_sum<Scratch>(block, all), positive = block_log_sum<Scratch>(block, positive);
    weights = block_sum<Scratch>(block, weights), weighted = block_sum<Scratch>(block, weighted);
    if (block.tx() == 0) {
      const double mass = log_outside ? positive.value() : weighted / weights;
      block.store(a.stats, 3 * row, float(all.value()));
      block.store(a.stats, 3 * row + 1, float(log_outside ? mass : weights));
      block.store(a.stats, 3 * row + 2, weights > 0 ? float(all.value() - mass) : 0.0f);
    }
  }
};

struct SupConMeanKernel {
  static constexpr const char* kName = "supcon_mean";
  static constexpr int kMaxThreads = 256;
  struct Sum;
  static LaunchShape shape(const SupConMean&) { return {.grid = {1}, .block = {kMaxThreads}}; }
  template <Block B>
  BF_DEVICE static void run(B& block, const SupConMean& a) {
    double sum = 0;
    for (std::int64_t i = block.tx(); i < a.N; i += kMaxThreads) sum += double(block.load(a.stats, 3 * i + 2));
    sum = block_sum<Sum>(block, sum);
    if (block.tx() == 0) block.store(a.loss, 0, float(sum / double(a.N)));
  }
};

// A block per anchor and 128 columns of its gradient. Slopes first, a thread per row of the tile; then their products
// with the rows, a thread per column.
struct SupConBwdKernel {
  static constexpr const char* kName = "supcon_bwd";
  static constexpr int kMaxThreads = kSupConTile;
  struct Slopes;
  static LaunchShape shape(const SupConBwd& a) {
    return {.grid = {a.N * ceil_div<std::int64_t>(a.D, kSupConTile)}, .block = {kMaxThreads}};
  }
  template <Block B>
  BF_DEVICE static void run(B& block, const SupConBwd& a) {
    const std::int64_t i = block.bx() % a.N, d = block.bx() / a.N * kSupConTile + block.tx();
    const auto slope = [&](std::int64_t row, double s, double w) {
      return pair_slope(a.form, s, w, block.load(a.stats, 3 * row), block.load(a.stats, 3 * row + 1));
    };
    const auto slopes = block.template shared<Slopes, double, kSupConTile>();
    const double label = block.load(a.labels, i);
    const bool asked = i >= a.begin && i < a.begin + a.anchors();  // of the whole block
    double sum = 0;
    for (std::int64_t first = 0; first < a.N && asked; first += kSupConTile) {
      const double s = own_similarity(block, a, i, first);
      const std::int64_t j = first + block.tx();
      double g = 0;
      if (j < a.N && j != i) {
        const double w = pair_weight(a.form, label, block.load(a.labels, j));
        g = slope(i, s, w) + slope(j, s, w);
      }
      block.store(slopes, block.tx(), g);
      block.sync();
      if (d < a.D)
        for (int k = 0; k < kSupConTile && first + k < a.N; ++k)
          sum += block.load(slopes, k) * double(block.load(a.f, (first + k) * a.D + d));
    }  // the next tile's similarities have barriers of their own before its slopes are stored
    if (d >= a.D) return;
    const double share = double(block.load(a.dloss, 0)) / (double(a.N) * double(a.temperature));
    store_gradient<1>(block, a.df_mode, a.df, i * a.D + d, [&](int) { return float(share * sum); });
  }
};

template <class Launch>
void supcon_fwd(Launch&& launch, const SupConFwd& a) {
  check(a);
  if (a.anchors() > 0) launch(SupConRowsKernel(), a);
}
template <class Launch>
void supcon_mean(Launch&& launch, const SupConMean& a) {
  check(a);
  launch(SupConMeanKernel(), a);
}
template <class Launch>
void supcon_bwd(Launch&& launch, const SupConBwd& a) {
  check(a);
  if (a.df_mode != GradMode::skip) launch(SupConBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
