// data/batch_planner.h — makes the plan of any training batch from (settings, manifest, step) and nothing else.
//
// Two sorts of training set:
//   pairs       attacks and genuine photographs that the manifest pairs (pair_filename). An epoch is a fresh
//   permutation of
//               the pairs cut to floor(epoch_fraction * pairs); a batch is [attack0, genuine0, attack1, genuine1, …].
//   simulated   genuine photographs only. Each pair is an attack of a species drawn from a weighted list, to be
//   rendered
//               from a photograph, and a genuine photograph seen through the same simulated camera. Photographs are
//               used equally often (one permutation after another, over epochs); an epoch is `steps_per_epoch` batches.
//
// Draws are keyed by name (engine/philox.h): order by (seed, "order", epoch), a sample's by (seed, purpose, epoch,
// sample) where sample is 2 * pair + (0 attack, 1 genuine), CutMix by (seed, "cutmix", step). So they do not depend on
// processes, workers or resumption, and a change of one setting leaves all other draws as they were.
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "data/batch_plan.h"
#include "data/manifest.h"
#include "engine/philox.h"

namespace bonafide {

// What an attack without a genuine partner of its own becomes.
enum class UnmatchedAttacks : std::uint8_t {
  drop,           // left out, counted (published)
  class_partner,  // half of a pair with a genuine photograph drawn afresh each epoch: no species is lost
};

struct SimulateSettings {
  // The genuine half of a simulated pair.
  enum class Partner : std::uint8_t {
    same_photo,    // the photograph that the attack was rendered from
    same_subject,  // another photograph of the same subject, drawn; the same one where the subject has no other
    any,           // any photograph, drawn
  };
  bool on = false;
  std::vector<std::pair<Label, double>> species;  // with weights, not necessarily of sum 1
  // The second person of a face swap.
  enum class Donor : std::uint8_t {
    other_subject,  // certainly somebody else
    any,            // any other photograph, for lists without subjects
  };
  Partner partner = Partner::same_photo;
  Donor donor = Donor::other_subject;
  std::int64_t steps_per_epoch = 0;  // 0: as many as show every photograph once
};

struct PlanSettings {
  std::uint64_t seed = 42;
  std::int64_t batch_size = 32;                // pairs: a batch has twice as many images
  bool shuffle = true;                         // false: manifest order every epoch
  bool drop_last = true;                       // false: an epoch's last batch may be smaller (pairs only)
  double epoch_fraction = 0.5;                 // pairs only
  float margin_min = 1.1f, margin_max = 1.3f;  // crop margins are U(min, max), drawn for each image
  UnmatchedAttacks unmatched = UnmatchedAttacks::drop;
  SimulateSettings simulate;
  // Control experiment: labels carry no information about the images. Pairs: the labels of the training photographs are
  // permuted among them, once for the whole run. Simulated: permuted within each batch. Everything else stays as it was
  // (augmentation still follows the true class).
  bool shuffle_labels = false;
  // Draws one image's augmentation; empty: none. Bind draw_augment of data/augment.h to the settings of each class: the
  // published recipe augments genuine images only.
  std::function<AugmentDraw(Random&)> augment_genuine, augment_attack;
  // Draws the CutMix of a batch of these images (bind draw_cutmix of data/cutmix.h); empty: never.
  std::function<CutMixDraw(Random&, const std::vector<SampleDraw>& samples)> cutmix;
};

class BatchPlanner {
 public:
  // Keeps the manifest. Throws, naming its file: no pairs (or no genuine photographs, simulated), a settings value out
  // of range, an epoch without a single batch.
  BatchPlanner(std::shared_ptr<const Manifest> manifest, PlanSettings settings);

  BatchPlan plan(std::int64_t step) const;  // step counts from 0 over the run; thread-safe
  std::int64_t steps_per_epoch() const { return steps_per_epoch_; }
  std::int64_t pairs() const { return std::int64_t(pairs_.size()); }  // simulated: genuine photographs
  const Manifest& manifest() const { return *manifest_; }
  const PlanSettings& settings() const { return settings_; }

  // The attacks that training sees, with their pairs or (simulated) their weights.
  std::map<Label, double> species() const;
  // Pairs per species; what was left out and why; empty reasons do not appear.
  std::string summary() const;
  const std::map<std::string, std::int64_t>& left_out() const { return left_out_; }  // reason -> rows of the manifest
  // Simulated: every attack's plan names a donor. For Donor::other_subject that takes at least two subjects, and every
  // photograph's subject; for Donor::any two photographs.
  bool has_donors() const { return has_donors_; }

 private:
  struct Pair {
    std::int64_t attack = -1, genuine = -1;  // records; genuine -1: drawn. Simulated: attack is the photograph
  };
  using Order = std::shared_ptr<const std::vector<std::int64_t>>;
  Order order(std::string_view purpose, std::uint64_t key) const;  // a permutation of the pairs, the last ones cached
  void find_pairs();
  void find_photographs();
  void plan_pairs(BatchPlan& plan) const;
  void plan_simulated(BatchPlan& plan) const;
  SampleDraw sample(std::int64_t record, bool attack, std::int64_t epoch, std::uint64_t number) const;

  std::shared_ptr<const Manifest> manifest_;
  PlanSettings settings_;
  std::int64_t steps_per_epoch_ = 0, pairs_per_epoch_ = 0;
  std::vector<Pair> pairs_;
  std::vector<std::int64_t> genuine_;     // records that pairs use; class_partner draws from these
  std::vector<std::int64_t> by_subject_;  // simulated: photographs of known people, grouped by person
  std::vector<std::pair<std::int64_t, std::int64_t>>
      subject_range_;                  // per photograph: its person's part of by_subject_
  std::vector<float> shuffled_label_;  // per record, shuffle_labels only
  std::map<std::string, std::int64_t> left_out_;
  bool has_donors_ = false;
  mutable std::mutex mutex_;
  mutable std::map<std::pair<std::string, std::uint64_t>, Order> orders_;
};

// The plan of evaluation: every record once, in manifest order, margin 1.2, no augmentation, the last batch smaller.
class EvaluationPlanner {
 public:
  EvaluationPlanner(std::shared_ptr<const Manifest> manifest, std::int64_t batch_size, double margin = 1.2);
  BatchPlan plan(std::int64_t step) const;
  std::int64_t steps() const;
  const Manifest& manifest() const { return *manifest_; }

 private:
  std::shared_ptr<const Manifest> manifest_;
  std::int64_t batch_size_;
  double margin_;
};

}  // namespace bonafide
