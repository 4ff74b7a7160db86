// kernels/supcon/supcon.h — supervised contrastive loss over unit rows: published, canonical and soft-label form.
//
//   f [N, D] f32 of unit length, labels [N] f32, loss [1] f32
//   s_ij = f_i . f_j / T      q_ij = e^{s_ij} / sum_{a != i} e^{s_ia}      P(i) = {j != i : class_j = class_i}
//
//   log_outside (Paired-Sampling Contrastive Framework, as its code has it):
//     L_i = -log sum_{j in P(i)} q_ij                          dL_i/ds_ij = q_ij - [j in P(i)] q_ij / sum_{P(i)} q
//   l_out (Khosla et al., 2020):
//     L_i = -1/|P(i)| sum_{j in P(i)} log q_ij                 dL_i/ds_ij = q_ij - [j in P(i)] / |P(i)|
//   soft, l_out for mixtures: a label y in [0, 1] is the probability of class 1, and w_ij that i and j, were both
//   drawn from their labels, are of one class: w_ij = y_i y_j + (1 - y_i) (1 - y_j), W_i = sum_{j != i} w_ij
//     L_i = -1/W_i sum_{j != i} w_ij log q_ij                  dL_i/ds_ij = q_ij - w_ij / W_i
//   For labels of 0 and 1 soft is l_out.
//
//   loss = 1/N sum_i L_i;  df_i = dloss / (N T) sum_{j != i} (dL_i/ds_ij + dL_j/ds_ji) f_j
//
// The first two forms take the integer part of a label as its class, as the published code does: a mixture of attack
// and genuine is class 0.
//
// An anchor without a positive (P(i) empty, W_i = 0) has L_i = 0 and no gradient of its own; the mean is over all N in
// any case, so that losses of batches of one size are comparable. N = 0 is an error.
//
// Sums are f64 in an order that N and D fix, exponentials are taken relative to the row's maximum: finite for every
// finite s. Deterministic: one work item per anchor. Backward recomputes s instead of keeping an N x N matrix.
//
// Anchors can be shared out: fwd makes `stats` of the anchors [begin, end) alone, bwd the gradient of those rows, each with
// the bits it has when one call does all. The loss and bwd need everybody's stats.
#pragma once
#include "engine/base.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

enum class SupConForm : std::uint8_t { log_outside, l_out, soft };

inline constexpr std::int64_t kToTheLast = -1;  // end == N

struct SupConFwd {
  Span<const float> f, labels;
  Span<float> stats;  // [end - begin, 3], of each anchor: log sum_a e^s; log sum_P e^s or the weight sum; L_i
  SupConForm form = SupConForm::log_outside;
  std::int64_t N = 0, D = 0;
  float temperature = 0.141f;
  std::int64_t begin = 0, end = kToTheLast;
  BF_HD std::int64_t anchors() const { return (end == kToTheLast ? N : end) - begin; }
};
struct SupConMean {
  Span<const float> stats;  // [N, 3]
  Span<float> loss;
  std::int64_t N = 0;
};
struct SupConBwd {
  Span<const float> dloss, f, labels, stats;  // stats [N, 3]
  Span<float> df;  // [N, D]; rows of other anchors than [begin, end): written as zero, added nothing to
  GradMode df_mode = GradMode::write;
  SupConForm form = SupConForm::log_outside;
  std::int64_t N = 0, D = 0;
  float temperature = 0.141f;
  std::int64_t begin = 0, end = kToTheLast;
  BF_HD std::int64_t anchors() const { return (end == kToTheLast ? N : end) - begin; }
};

constexpr Cost supcon_fwd_cost(std::int64_t N, std::int64_t D, std::int64_t anchors = kToTheLast) {
  const double n = double(N), d = double(D), a = anchors == kToTheLast ? n : double(anchors);
  return {4 * n * (d + 1), 4 * 3 * a, a * n * (2 * d + 50)};
}
constexpr Cost supcon_bwd_cost(std::int64_t N, std::int64_t D, std::int64_t anchors = kToTheLast) {
  const double n = double(N), d = double(D), a = anchors == kToTheLast ? n : double(anchors);
  return {4 * n * (d + 4), 4 * n * d, a * n * (4 * d + 100)};
}
constexpr Cost supcon_mean_cost(std::int64_t N) { return {4.0 * 3 * double(N), 4, double(N)}; }

void check(const SupConFwd&);  // throws; called by every backend
void check(const SupConMean&);
void check(const SupConBwd&);

BF_PASS_PLAIN(supcon_fwd, SupConFwd);
BF_PASS_PLAIN(supcon_mean, SupConMean);
BF_PASS_PLAIN(supcon_bwd, SupConBwd);

}  // namespace bonafide::kernels
