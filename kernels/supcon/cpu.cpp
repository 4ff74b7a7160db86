// kernels/supcon/cpu.cpp — one work item is one anchor: its row of similarities, made and forgotten.
#include "kernels/supcon/supcon.h"

#include <algorithm>

#include "engine/parallel.h"
#include "kernels/grad_store.h"
#include "kernels/supcon/terms.h"

namespace bonafide::kernels {
namespace {

template <class A>
void check_common(const A& a) {
  BF_CHECK(a.N > 0 && a.D > 0, "supcon: the mean over ", a.N, " rows of ", a.D);
  BF_CHECK(a.f.len == a.N * a.D, "supcon: f has ", a.f.len, " elements, expected [", a.N, ", ", a.D, "]");
  BF_CHECK(a.labels.len == a.N, "supcon: ", a.labels.len, " labels for ", a.N, " rows");
  BF_CHECK(a.begin >= 0 && a.anchors() >= 0 && a.begin + a.anchors() <= a.N, "supcon: anchors ", a.begin, " to ", a.end, " of ", a.N);
  BF_CHECK(a.temperature > 0, "supcon: temperature ", a.temperature);
}

void check_stats(Span<const float> stats, std::int64_t rows) {
  BF_CHECK(stats.len == 3 * rows, "supcon: stats has ", stats.len, " elements, expected [", rows, ", 3]");
}
void check_scalar(std::int64_t n) { BF_CHECK(n == 1, "supcon: the loss has ", n, " elements, expected 1"); }

// s_ij. Eight partial sums, so that the loop vectorises and yet has one fixed order.
template <class A>
double similarity(const A& a, std::int64_t i, std::int64_t j) {
  constexpr int kLanes = 8;
  const float *p = a.f.ptr + i * a.D, *q = a.f.ptr + j * a.D;
  double lane[kLanes] = {};
  std::int64_t d = 0;
  for (; d + kLanes <= a.D; d += kLanes)
    for (int l = 0; l < kLanes; ++l) lane[l] += double(p[d + l]) * double(q[d + l]);
  for (; d < a.D; ++d) lane[0] += double(p[d]) * double(q[d]);
  return (((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]))) /
         double(a.temperature);
}

}  // namespace

void check(const SupConFwd& a) {
  check_common(a);
  check_stats(a.stats, a.anchors());
}
void check(const SupConMean& a) {
  BF_CHECK(a.N > 0, "supcon: the mean over ", a.N, " rows");
  check_stats(a.stats, a.N);
  check_scalar(a.loss.len);
}
void check(const SupConBwd& a) {
  check_common(a);
  check_stats(a.stats, a.N);
  check_scalar(a.dloss.len);
  BF_CHECK(a.df_mode == GradMode::skip || a.df.len == a.N * a.D, "supcon: df has ", a.df.len, " elements, f has ",
           a.f.len);
}

namespace cpu {

void supcon_fwd(const SupConFwd& a) {
  check(a);
  const bool log_outside = a.form == SupConForm::log_outside;
  parallel_for(a.anchors(), [&](std::int64_t row) {
    const std::int64_t i = a.begin + row;
    LogSum all, positive;
    double weights = 0, weighted = 0;  // sum w, sum w s
    for (std::int64_t j = 0; j < a.N; ++j) {
      if (j == i) continue;
      const double s = similarity(a, i, j), w = pair_weight(a.form, a.labels[i], a.labels[j]);
      all.add(s);
      if (log_outside && w != 0) positive.add(s);
      weights += w, weighted += w * s;
    }
    const double mass = log_outside ? positive.value() : weighted / weights;
    a.stats[3 * row] = float(all.value());
    a.stats[3 * row + 1] = float(log_outside ? mass : weights);
    a.stats[3 * row + 2] = weights > 0 ? float(all.value() - mass) : 0.0f;
  });
}

void supcon_mean(const SupConMean& a) {
  check(a);
  double sum = 0;
  for (std::int64_t i = 0; i < a.N; ++i) sum += double(a.stats[3 * i + 2]);
  a.loss[0] = float(sum / double(a.N));
}

void supcon_bwd(const SupConBwd& a) {
  check(a);
  if (a.df_mode == GradMode::skip) return;
  const auto slope = [&](std::int64_t i, double s, double w) {
    return pair_slope(a.form, s, w, a.stats[3 * i], a.stats[3 * i + 1]);
  };
  const double share = double(a.dloss[0]) / (double(a.N) * double(a.temperature));
  constexpr std::int64_t kColumns = 256;  // of one pass over the other rows: sums that stay in the first-level cache
  parallel_for(a.N * ceil_div(a.D, kColumns), [&](std::int64_t item) {
    const std::int64_t i = item % a.N, d0 = item / a.N * kColumns, columns = std::min(kColumns, a.D - d0);
    const bool asked = i >= a.begin && i < a.begin + a.anchors();
    double sum[kColumns] = {};
    for (std::int64_t j = 0; j < a.N && asked; ++j) {
      if (j == i) continue;
      const double s = similarity(a, i, j), w = pair_weight(a.form, a.labels[i], a.labels[j]),
                   g = slope(i, s, w) + slope(j, s, w);
      const float* f = a.f.ptr + j * a.D + d0;
      for (std::int64_t d = 0; d < columns; ++d) sum[d] += g * double(f[d]);
    }
    store_gradient(a.df_mode, a.df.slice(i * a.D + d0, columns), 0, columns,
                   [&](std::int64_t d) { return float(share * sum[d]); });
  });
}

}  // namespace cpu
}  // namespace bonafide::kernels
