// layers/schedule.h — learning rates as plain functions of the step.
#pragma once
#include "engine/base.h"

namespace bonafide {

// Linear warm-up from `min` to `max` over `warmup` steps, then half a cosine back to `min` at `total`. k counts
// optimiser steps from 0:
//   k < W   min + (max - min) k / W
//   else    min + (max - min) (1 + cos(pi (k - W) / (T - W))) / 2
// The first step of a warm-up runs at `min`; from step T on the rate stays there. Source: the published training code.
struct CosineSchedule {
  double max = 0, min = 0;
  std::int64_t warmup = 0, total = 0;
};
struct ConstantSchedule {
  double value = 0;
};

// Warm-up steps as published: a share of the run, rounded down.
constexpr std::int64_t warmup_steps(std::int64_t total, double share = 0.05) {
  return std::int64_t(share * double(total));
}

double learning_rate(const CosineSchedule&, std::int64_t step);
double learning_rate(const ConstantSchedule&, std::int64_t step);

}  // namespace bonafide
