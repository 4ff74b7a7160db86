// data/metrics/metrics.h — error rates of a detector, defined once (ISO/IEC 30107-3 words; FACTS of both papers agree).
//
// A score is P(attack), or any number that grows with it. At a threshold t an image is called an attack iff score >= t.
//   APCER  share of attack images called genuine. Pooled: all attacks together. Per species: each label for itself; the
//          standard's figure is the worst species.
//   BPCER  share of genuine images called attack.
//   ACER   (APCER + BPCER) / 2, with the pooled or with the worst species' APCER.
//   HTER   (FAR + FRR) / 2 = pooled ACER; the name is used when the threshold comes from a development set.
//   EER    the rate where pooled APCER and BPCER meet. AUC = P(attack scores above genuine), ties counting half.
// Every rate carries its n. With one class absent nothing is defined and everything here throws (it is never 0), and so
// it does when a score is not finite.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/label.h"
#include "engine/base.h"

namespace bonafide {

struct Rate {
  std::int64_t errors = 0, n = 0;
  double value() const { return double(errors) / double(n); }
};

struct SpeciesRate {
  Label species;
  Rate apcer;
};

// All rates at one threshold.
struct ErrorRates {
  double threshold = 0;
  Rate apcer, bpcer;                 // pooled
  std::vector<SpeciesRate> species;  // in label order
  std::size_t worst = 0;             // index in species; of equals the first

  const SpeciesRate& worst_species() const { return species[worst]; }
  double acer_pooled() const { return (apcer.value() + bpcer.value()) / 2; }
  double acer_worst() const { return (worst_species().apcer.value() + bpcer.value()) / 2; }
  double hter() const { return acer_pooled(); }
};

struct EqualErrorRate {
  double value = 0;             // the rate
  double threshold = 0;         // where it is reached, or nearest to it
  double apcer = 0, bpcer = 0;  // pooled, at that threshold
};

enum class Pooling : std::uint8_t { pooled, worst_species };

// Sorted once, asked often. Thresholds are the distinct scores in rising order and one above them all; from one to the
// next APCER can only rise and BPCER only fall, so the whole trade-off is this list.
class RocTable {
 public:
  // Throws: sizes differ, nothing there, one class absent, a score that is not finite (naming its index).
  RocTable(std::span<const double> scores, std::span<const Label> labels);

  std::int64_t attacks() const { return attacks_; }
  std::int64_t genuine() const { return genuine_; }

  double auc() const;
  // AUC of one species against all genuine images. Throws when there is no such species.
  double auc(const Label& species) const;

  // APCER and BPCER drawn as straight lines between neighbouring thresholds; the value where they cross. The threshold
  // is the better one of the two neighbours (smaller |APCER - BPCER|, then smaller sum), put halfway between its score
  // and the one below so that it separates with a margin on both sides.
  EqualErrorRate eer() const;
  // As published (and as scikit-learn's roc_curve without its collinear points): the first point, from the highest
  // threshold down, with the smallest |FNR - FPR|. The value is BPCER there, the threshold the score there (infinite at
  // the first point, where nothing is called an attack: a constant score has EER 0 by this rule, and 0.5 by eer()).
  EqualErrorRate eer_published() const;

  ErrorRates at(double threshold) const;
  // Never beyond the target: among the thresholds with BPCER <= target the one of the smallest APCER, and the reverse
  // (with worst_species the APCER of every species is held). There always is one: rates of 0 are reached at the ends.
  ErrorRates apcer_at_bpcer(double target) const;
  ErrorRates bpcer_at_apcer(double target, Pooling pooling = Pooling::pooled) const;

 private:
  struct Point {  // at threshold `score`
    double score = 0;
    std::int64_t missed = 0;    // attacks below
    std::int64_t rejected = 0;  // genuine at or above
  };
  double threshold_at(std::size_t point) const;  // halfway to the score below, or the score itself at the ends
  ErrorRates at_point(std::size_t point) const;

  std::vector<Label> species_;                      // of attacks, sorted
  std::vector<std::vector<double>> attack_scores_;  // per species, sorted
  std::vector<double> genuine_scores_;              // sorted
  std::vector<Point> points_;                       // rising thresholds, the last above all scores
  std::int64_t attacks_ = 0, genuine_ = 0;
};

}  // namespace bonafide
