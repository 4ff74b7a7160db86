// kernels/bce/bce.h — binary cross-entropy of logits, with label smoothing.
//
//   y'   = y (1 - s) + (1 - y) s                                         z, y [N] f32, y in [0, 1]
//   loss = mean_i -( y'_i log sigmoid(z_i) + (1 - y'_i) log sigmoid(-z_i) )      loss [1] f32
//   dz_i = dloss (sigmoid(z_i) - y'_i) / N
//
// Smoothing as the published code has it: targets 0 and 1 become s and 1 - s (others write s/2 for the same thing).
// Arithmetic is f64, summed in order: finite for every finite logit. Deterministic. N = 0 is an error.
#pragma once
#include "engine/base.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

struct BceFwd {
  Span<const float> z, y;
  Span<float> loss;
  float smoothing = 0;
};
struct BceBwd {
  Span<const float> dloss, z, y;
  Span<float> dz;
  GradMode dz_mode = GradMode::write;
  float smoothing = 0;
};

constexpr Cost bce_fwd_cost(std::int64_t n) { return {8.0 * double(n), 4, 60.0 * double(n)}; }
constexpr Cost bce_bwd_cost(std::int64_t n) { return {8.0 * double(n), 4.0 * double(n), 30.0 * double(n)}; }

void check(const BceFwd&);  // throws; called by every backend
void check(const BceBwd&);

BF_PASS_PLAIN(bce_fwd, BceFwd);
BF_PASS_PLAIN(bce_bwd, BceBwd);

}  // namespace bonafide::kernels
