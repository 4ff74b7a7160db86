// data/metrics/bootstrap.cpp
#include "data/metrics/bootstrap.h"

#include <algorithm>

#include "data/metrics/metrics.h"
#include "engine/philox.h"

namespace bonafide {

std::pair<double, double> eer_threshold_interval(std::span<const double> scores, std::span<const std::optional<Label>> labels,
                                                 std::uint64_t seed, int resamples) {
  BF_CHECK(scores.size() == labels.size(), scores.size(), " scores, ", labels.size(), " labels");
  BF_CHECK(resamples > 0, resamples, " resamples");
  std::vector<std::size_t> classes[2];  // genuine, attack
  for (std::size_t i = 0; i < labels.size(); ++i)
    if (labels[i]) classes[labels[i]->genuine() ? 0 : 1].push_back(i);
  std::vector<double> drawn, thresholds;
  std::vector<Label> of;
  for (int k = 0; k < resamples; ++k) {
    Random random(seed, "bootstrap", std::uint64_t(k));
    drawn.clear(), of.clear();
    for (const auto& rows : classes)
      for (std::size_t n = rows.size(); n > 0; --n) {
        const std::size_t i = rows[std::size_t(random.below(std::int64_t(rows.size())))];
        drawn.push_back(scores[i]), of.push_back(*labels[i]);
      }
    thresholds.push_back(RocTable(drawn, of).eer().threshold);
  }
  std::sort(thresholds.begin(), thresholds.end());
  const auto at = [&](double share) { return thresholds[std::size_t(share * double(thresholds.size() - 1))]; };
  return {at(0.025), at(0.975)};
}

}  // namespace bonafide
