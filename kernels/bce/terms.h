// kernels/bce/terms.h — one logit's term of the loss and its slope: the arithmetic of every backend.
#pragma once
#include "kernels/logistic.h"

namespace bonafide::kernels {

BF_HD inline double smoothed(float y, float s) { return double(y) * (1 - double(s)) + (1 - double(y)) * double(s); }
BF_HD inline double bce_term(float z, float y, float s) { return cross_entropy(z, smoothed(y, s)); }
BF_HD inline double bce_slope(float z, float y, float s) { return sigmoid(z) - smoothed(y, s); }

}  // namespace bonafide::kernels
