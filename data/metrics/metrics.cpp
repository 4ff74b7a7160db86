// data/metrics/metrics.cpp — counting.
#include "data/metrics/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace bonafide {
namespace {

std::int64_t below(const std::vector<double>& sorted, double t) {
  return std::lower_bound(sorted.begin(), sorted.end(), t) - sorted.begin();
}

// The smallest float above every score: a threshold nothing reaches, also after it was stored as a float.
double above(double highest) {
  float f = float(highest);
  while (!(double(f) > highest)) f = std::nextafter(f, std::numeric_limits<float>::infinity());
  return std::isfinite(f) ? double(f) : std::nextafter(highest, std::numeric_limits<double>::infinity());
}

// P(attack > genuine) + P(equal) / 2 in whole numbers: twice the count of won pairs.
double auc_of(const std::vector<double>& attack, const std::vector<double>& genuine) {
  std::int64_t twice = 0;
  for (const double a : attack) {
    const auto [lo, hi] = std::equal_range(genuine.begin(), genuine.end(), a);
    twice += (lo - genuine.begin()) + (hi - genuine.begin());
  }
  return double(twice) / (2.0 * double(attack.size()) * double(genuine.size()));
}

}  // namespace

RocTable::RocTable(std::span<const double> scores, std::span<const Label> labels) {
  BF_CHECK(scores.size() == labels.size(), scores.size(), " scores and ", labels.size(), " labels");
  std::map<Label, std::vector<double>> attacks;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i]))
      throw Error(str("score ", i, " is ", scores[i], " (", labels[i].name(), "): rates need finite scores"));
    (labels[i].genuine() ? genuine_scores_ : attacks[labels[i]]).push_back(scores[i]);
  }
  genuine_ = std::int64_t(genuine_scores_.size());
  attacks_ = std::int64_t(scores.size()) - genuine_;
  if (scores.empty()) throw Error("error rates need scores; there are none");
  if (genuine_ == 0) throw Error(str("error rates need both classes; all ", attacks_, " images are attacks"));
  if (attacks_ == 0) throw Error(str("error rates need both classes; all ", genuine_, " images are genuine"));

  std::vector<double> all(scores.begin(), scores.end()), pooled;
  for (auto& [label, s] : attacks) {
    pooled.insert(pooled.end(), s.begin(), s.end());
    std::sort(s.begin(), s.end());
    species_.push_back(label);
    attack_scores_.push_back(std::move(s));
  }
  std::sort(pooled.begin(), pooled.end());
  std::sort(genuine_scores_.begin(), genuine_scores_.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  all.push_back(above(all.back()));
  for (const double t : all) points_.push_back({t, below(pooled, t), genuine_ - below(genuine_scores_, t)});
}

double RocTable::auc() const {
  double sum = 0;
  for (const auto& s : attack_scores_) sum += auc_of(s, genuine_scores_) * double(s.size());
  return sum / double(attacks_);
}

double RocTable::auc(const Label& species) const {
  const auto it = std::find(species_.begin(), species_.end(), species);
  BF_CHECK(it != species_.end(), "no images of species ", species.name());
  return auc_of(attack_scores_[std::size_t(it - species_.begin())], genuine_scores_);
}

double RocTable::threshold_at(std::size_t point) const {
  const double t = points_[point].score;
  if (point == 0 || point + 1 == points_.size()) return t;
  const double low = points_[point - 1].score, middle = low / 2 + t / 2;
  return middle > low && middle < t ? middle : t;  // neighbours in floating point have nothing between them
}

EqualErrorRate RocTable::eer() const {
  const auto apcer = [&](std::size_t i) { return double(points_[i].missed) / double(attacks_); };
  const auto bpcer = [&](std::size_t i) { return double(points_[i].rejected) / double(genuine_); };
  // The first point has APCER 0, BPCER 1 and the last APCER 1, BPCER 0: they cross once.
  std::size_t hi = 1;
  while (apcer(hi) < bpcer(hi)) ++hi;
  const std::size_t lo = hi - 1;
  const double gap_lo = bpcer(lo) - apcer(lo), gap_hi = apcer(hi) - bpcer(hi);
  EqualErrorRate e;
  const double share = gap_lo / (gap_lo + gap_hi);  // of the way from lo to hi; gap_lo > 0
  e.value = gap_hi == 0 ? apcer(hi) : apcer(lo) + share * (apcer(hi) - apcer(lo));
  const bool lower = gap_lo != gap_hi ? gap_lo < gap_hi : apcer(lo) + bpcer(lo) < apcer(hi) + bpcer(hi);
  const std::size_t best = lower ? lo : hi;
  e.threshold = threshold_at(best);
  e.apcer = apcer(best);
  e.bpcer = bpcer(best);
  return e;
}

EqualErrorRate RocTable::eer_published() const {
  // False and true positive counts from the highest score down; a point on the line between its neighbours is left out.
  struct Step {
    double score;
    std::int64_t fp, tp;
  };
  std::vector<Step> steps;
  for (std::size_t i = points_.size() - 1; i-- > 0;)
    steps.push_back({points_[i].score, points_[i].rejected, attacks_ - points_[i].missed});
  EqualErrorRate best{0, std::numeric_limits<double>::infinity(), 1, 0};  // nothing called an attack
  double smallest = 1;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Step& s = steps[i];
    if (i > 0 && i + 1 < steps.size()) {
      const Step &a = steps[i - 1], &b = steps[i + 1];
      if (a.fp - 2 * s.fp + b.fp == 0 && a.tp - 2 * s.tp + b.tp == 0) continue;
    }
    const double fpr = double(s.fp) / double(genuine_), fnr = 1.0 - double(s.tp) / double(attacks_);
    if (std::abs(fnr - fpr) < smallest) {
      smallest = std::abs(fnr - fpr);
      best = {fpr, s.score, fnr, fpr};
    }
  }
  return best;
}

ErrorRates RocTable::at(double threshold) const {
  if (std::isnan(threshold)) throw Error("the threshold is not a number");
  ErrorRates r;
  r.threshold = threshold;
  r.bpcer = {genuine_ - below(genuine_scores_, threshold), genuine_};
  r.apcer.n = attacks_;
  for (std::size_t s = 0; s < species_.size(); ++s) {
    const Rate rate{below(attack_scores_[s], threshold), std::int64_t(attack_scores_[s].size())};
    r.apcer.errors += rate.errors;
    r.species.push_back({species_[s], rate});
    if (rate.value() > r.worst_species().apcer.value()) r.worst = s;
  }
  return r;
}

ErrorRates RocTable::apcer_at_bpcer(double target) const {
  BF_CHECK(target >= 0 && target <= 1, "target ", target, " outside [0, 1]");
  // The first threshold that is high enough: every later one has at least its APCER.
  for (std::size_t i = 0;; ++i)
    if (Rate{points_[i].rejected, genuine_}.value() <= target) return at_point(i);
}

ErrorRates RocTable::bpcer_at_apcer(double target, Pooling pooling) const {
  BF_CHECK(target >= 0 && target <= 1, "target ", target, " outside [0, 1]");
  // The last threshold that is low enough. The first one misses no attack at all.
  for (std::size_t i = points_.size() - 1;; --i) {
    if (pooling == Pooling::pooled ? Rate{points_[i].missed, attacks_}.value() <= target
                                   : at(points_[i].score).worst_species().apcer.value() <= target)
      return at_point(i);
  }
}

ErrorRates RocTable::at_point(std::size_t point) const { return at(threshold_at(point)); }

}  // namespace bonafide
