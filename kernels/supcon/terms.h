// kernels/supcon/terms.h — what a pair of rows adds to the loss and to its gradient: the arithmetic of every backend.
#pragma once
#include <cmath>
#include <limits>

#include "kernels/supcon/supcon.h"

namespace bonafide::kernels {

inline constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// w_ij of two labels: 0 or 1 for the hard forms.
BF_HD inline double pair_weight(SupConForm form, double x, double y) {
  return form == SupConForm::soft ? x * y + (1 - x) * (1 - y) : double(std::trunc(x) == std::trunc(y));
}

// log sum e^s of a growing set; only differences to the largest s so far are exponentiated.
struct LogSum {
  double max = kMinusInfinity, sum = 0;
  BF_HD void add(double s) {
    if (s > max)
      sum = sum * std::exp(max - s) + 1, max = s;
    else
      sum += std::exp(s - max);
  }
  BF_HD double value() const { return max + std::log(sum); }  // -inf for the empty set
};

// dL_i/ds_ij, given s_ij, w_ij and what forward saved of row i: log sum_a e^s, and log sum_P e^s or the weight sum.
BF_HD inline double pair_slope(SupConForm form, double s, double w, double all, double mass) {
  if (form == SupConForm::log_outside) {
    if (mass == kMinusInfinity) return 0;
    return std::exp(s - all) - (w != 0 ? std::exp(s - mass) : 0);
  }
  return mass > 0 ? std::exp(s - all) - w / mass : 0;
}

}  // namespace bonafide::kernels
