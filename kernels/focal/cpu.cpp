// kernels/focal/cpu.cpp — one thread: a batch is a few dozen logits.
#include "kernels/focal/focal.h"

#include <cmath>

#include "kernels/grad_store.h"
#include "kernels/logistic.h"

namespace bonafide::kernels {
namespace {

template <class A>
void check_common(const A& a, std::int64_t scalar) {
  BF_CHECK(a.z.len > 0, "focal: the mean of no logits");
  BF_CHECK(a.y.len == a.z.len, "focal: ", a.y.len, " labels for ", a.z.len, " logits");
  BF_CHECK(scalar == 1, "focal: the loss has ", scalar, " elements, expected 1");
  BF_CHECK(a.alpha >= 0 && a.alpha <= 1 && a.gamma >= 0, "focal: alpha ", a.alpha, ", gamma ", a.gamma);
}

// sigmoid(z)^gamma without underflow on the way.
double sigmoid_power(double z, double gamma) { return std::exp(gamma * log_sigmoid(z)); }

// The published form's alpha looks at the whole batch.
double batch_alpha(Span<const float> y, double alpha) {
  double sum = 0;
  for (const float v : y) sum += double(v);
  return sum != 0 ? alpha : 1 - alpha;
}

}  // namespace

void check(const FocalFwd& a) { check_common(a, a.loss.len); }
void check(const FocalBwd& a) {
  check_common(a, a.dloss.len);
  BF_CHECK(a.dz_mode == GradMode::skip || a.dz.len == a.z.len, "focal: dz has ", a.dz.len, " elements, z has ",
           a.z.len);
}

namespace cpu {

void focal_fwd(const FocalFwd& a) {
  check(a);
  double sum = 0;
  if (a.form == FocalForm::detached_one_sided) {
    for (std::int64_t i = 0; i < a.z.len; ++i) sum += sigmoid_power(-a.z[i], a.gamma) * cross_entropy(a.z[i], a.y[i]);
    sum *= batch_alpha(a.y, a.alpha);
  } else {
    for (std::int64_t i = 0; i < a.z.len; ++i) {
      const double z = a.z[i], y = a.y[i];
      sum -= y * a.alpha * sigmoid_power(-z, a.gamma) * log_sigmoid(z);
      sum -= (1 - y) * (1 - a.alpha) * sigmoid_power(z, a.gamma) * log_sigmoid(-z);
    }
  }
  a.loss[0] = float(sum / double(a.z.len));
}

void focal_bwd(const FocalBwd& a) {
  check(a);
  if (a.dz_mode == GradMode::skip) return;
  const double share = double(a.dloss[0]) / double(a.z.len), alpha = batch_alpha(a.y, a.alpha);
  store_gradient(a.dz_mode, a.dz, 0, a.z.len, [&](std::int64_t i) {
    const double z = a.z[i], y = a.y[i], p = sigmoid(z);
    if (a.form == FocalForm::detached_one_sided) return float(share * alpha * sigmoid_power(-z, a.gamma) * (p - y));
    const double d1 = a.alpha * sigmoid_power(-z, a.gamma) * (a.gamma * p * log_sigmoid(z) - sigmoid(-z));
    const double d0 = (1 - a.alpha) * sigmoid_power(z, a.gamma) * (p - a.gamma * sigmoid(-z) * log_sigmoid(-z));
    return float(share * (y * d1 + (1 - y) * d0));
  });
}

}  // namespace cpu
}  // namespace bonafide::kernels
