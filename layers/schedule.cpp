// layers/schedule.cpp — learning rates as plain functions of the step.
#include "layers/schedule.h"

#include <cmath>
#include <numbers>

namespace bonafide {

double learning_rate(const CosineSchedule& s, std::int64_t step) {
  BF_CHECK(step >= 0 && s.warmup >= 0 && s.warmup <= s.total, "cosine schedule: step ", step, ", warm-up ", s.warmup,
           " of ", s.total, " steps");
  const double range = s.max - s.min;
  if (step < s.warmup) return s.min + range * double(step) / double(s.warmup);
  if (step >= s.total) return s.min;
  return s.min + range * (1 + std::cos(std::numbers::pi * double(step - s.warmup) / double(s.total - s.warmup))) / 2;
}

double learning_rate(const ConstantSchedule& s, std::int64_t) { return s.value; }

}  // namespace bonafide
