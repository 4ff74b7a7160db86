// data/metrics/bootstrap.h — how far a threshold would move had other images of the same kind been at hand.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "data/label.h"

namespace bonafide {

// Percentile interval (95 %) of the EER threshold over `resamples` draws with replacement, genuine and attack images drawn
// apart so that no draw lacks a class. Images count as independent: where several are of one person the true interval is
// wider. Depends on `seed` alone. Unlabelled images are left out. Throws as RocTable does.
std::pair<double, double> eer_threshold_interval(std::span<const double> scores, std::span<const std::optional<Label>> labels,
                                                 std::uint64_t seed, int resamples = 500);

}  // namespace bonafide
