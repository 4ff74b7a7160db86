// kernels/cutmix/cutmix.h — one rectangle of every image replaced by its partner's (Yun et al., 2019), and the labels.
//
//   out[n, y, x, :] = image[partner[n], y, x, :]   where x1 <= x < x2 and y1 <= y < y2
//                     image[n, y, x, :]            elsewhere
//   mixed[n] = keep labels[n] + (1 - keep) labels[partner[n]],  keep = 1 - area / (H W)
//
// image [M, H, W, C] stored as T (u8, f32, bf16), out [N, H, W, C], partner [N] with values in [0, M), N <= M: rows
// beyond N are donors only (a process's share of a batch). Partners give what they were before any pasting, so out must
// not be image. Copies are exact; labels are f64 inside, so two attacks mix to exactly 1. Deterministic. Not
// differentiable. The CPU refuses a partner outside [0, M); on CUDA, where partners are on the device, the caller
// answers for them.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

template <class T>
struct CutMix {
  Span<const T> image;
  Span<const std::int32_t> partner;
  Span<T> out;
  std::int64_t M = 0, H = 0, W = 0, C = 0;  // N is partner's length
  int x1 = 0, y1 = 0, x2 = 0, y2 = 0;       // exclusive; an empty box pastes nothing
};
struct CutMixLabels {
  Span<const float> labels;  // [M]
  Span<const std::int32_t> partner;
  Span<float> mixed;
  float keep = 1;
};

template <class T>
constexpr Cost cutmix_cost(std::int64_t N, std::int64_t H, std::int64_t W, std::int64_t C) {
  const double bytes = double(sizeof(T)) * double(N) * double(H) * double(W) * double(C);
  return {bytes, bytes, 0};
}

template <class T>
void check(const CutMix<T>&);  // throws; called by every backend
void check(const CutMixLabels&);

BF_PASS(cutmix, CutMix);
BF_PASS_PLAIN(cutmix_labels, CutMixLabels);

// keep own + (1 - keep) other, on every backend.
BF_HD inline float mixed_label(float keep, float own, float other) {
  return float(double(keep) * double(own) + (1 - double(keep)) * double(other));
}

}  // namespace bonafide::kernels
