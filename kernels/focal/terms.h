// kernels/focal/terms.h — one logit's term of the loss and its slope: the arithmetic of every backend.
#pragma once
#include "kernels/focal/focal.h"
#include "kernels/logistic.h"

namespace bonafide::kernels {

// sigmoid(z)^gamma without underflow on the way.
BF_HD inline double sigmoid_power(double z, double gamma) { return std::exp(gamma * log_sigmoid(z)); }

// What a batch's terms are weighted with: the published form's alpha looks at the whole batch, the canonical one's is
// inside its terms.
template <class A>
BF_HD double batch_weight(const A& a, double label_sum) {
  if (a.form == FocalForm::canonical) return 1;
  return label_sum != 0 ? a.alpha : 1 - a.alpha;
}
template <class A>
BF_HD double focal_term(const A& a, double z, double y) {
  if (a.form == FocalForm::detached_one_sided) return sigmoid_power(-z, a.gamma) * cross_entropy(z, y);
  const double attack = a.alpha * sigmoid_power(-z, a.gamma) * log_sigmoid(z);
  const double genuine = (1 - a.alpha) * sigmoid_power(z, a.gamma) * log_sigmoid(-z);
  return -y * attack - (1 - y) * genuine;
}
template <class A>
BF_HD double focal_slope(const A& a, double z, double y) {
  const double p = sigmoid(z);
  if (a.form == FocalForm::detached_one_sided) return sigmoid_power(-z, a.gamma) * (p - y);
  const double attack = a.alpha * sigmoid_power(-z, a.gamma) * (a.gamma * p * log_sigmoid(z) - sigmoid(-z));
  const double genuine = (1 - a.alpha) * sigmoid_power(z, a.gamma) * (p - a.gamma * sigmoid(-z) * log_sigmoid(-z));
  return y * attack + (1 - y) * genuine;
}

}  // namespace bonafide::kernels
