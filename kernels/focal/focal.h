// kernels/focal/focal.h — binary focal loss of logits, in the published and in the canonical form.
//
//   p = sigmoid(z), z, y [N] f32, y in [0, 1] (1 = attack), loss [1] f32
//
//   detached_one_sided (Paired-Sampling Contrastive Framework, as its code has it):
//     loss = mean_i a (1 - p_i)^gamma BCE(z_i, y_i)      a = alpha, or 1 - alpha in a batch whose labels sum to 0
//     dz_i = dloss a (1 - p_i)^gamma (p_i - y_i) / N     the weight is a constant to the gradient, and the same formula
//                                                        for both classes: genuine samples are weighted down where hard
//   canonical (Lin et al., 2017), with a soft label as the mixture of its two terms:
//     loss = mean_i y_i FL1(z_i) + (1 - y_i) FL0(z_i)
//     FL1  = -alpha (1 - p)^gamma log p                  dFL1/dz = alpha (1 - p)^gamma (gamma p log p + p - 1)
//     FL0  = -(1 - alpha) p^gamma log(1 - p)             dFL0/dz = (1 - alpha) p^gamma (p - gamma (1 - p) log(1 - p))
//
// Arithmetic is f64, summed in order: finite for every finite logit. Deterministic. N = 0 is an error.
#pragma once
#include "engine/base.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

enum class FocalForm : std::uint8_t { detached_one_sided, canonical };

struct FocalFwd {
  Span<const float> z, y;
  Span<float> loss;
  FocalForm form = FocalForm::detached_one_sided;
  double alpha = 0.528, gamma = 0.73;
};
struct FocalBwd {
  Span<const float> dloss, z, y;
  Span<float> dz;
  GradMode dz_mode = GradMode::write;
  FocalForm form = FocalForm::detached_one_sided;
  double alpha = 0.528, gamma = 0.73;
};

constexpr Cost focal_fwd_cost(std::int64_t n) { return {8.0 * double(n), 4, 100.0 * double(n)}; }
constexpr Cost focal_bwd_cost(std::int64_t n) { return {8.0 * double(n), 4.0 * double(n), 120.0 * double(n)}; }

void check(const FocalFwd&);  // throws; called by every backend
void check(const FocalBwd&);

BF_PASS_PLAIN(focal_fwd, FocalFwd);
BF_PASS_PLAIN(focal_bwd, FocalBwd);

}  // namespace bonafide::kernels
