// kernels/logistic.h — the logistic function and its logarithm in f64, accurate for every logit.
#pragma once
#include <cmath>

#include "engine/base.h"

namespace bonafide::kernels {

// log(1 / (1 + e^-z)): about z for very negative z, about -e^-z for large z. Never -inf for a finite logit.
BF_HD inline double log_sigmoid(double z) { return (z < 0 ? z : 0) - std::log1p(std::exp(-std::abs(z))); }
BF_HD inline double sigmoid(double z) { return z < 0 ? std::exp(z) / (1 + std::exp(z)) : 1 / (1 + std::exp(-z)); }

// Binary cross-entropy of logit z with a label y in [0, 1].
BF_HD inline double cross_entropy(double z, double y) { return -y * log_sigmoid(z) - (1 - y) * log_sigmoid(-z); }

}  // namespace bonafide::kernels
