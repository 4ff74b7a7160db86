// data/batch_planner.cpp — pairs, orders and draws.
#include "data/batch_planner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

namespace bonafide {

BatchPlanner::BatchPlanner(std::shared_ptr<const Manifest> manifest, PlanSettings settings)
    : manifest_(std::move(manifest)), settings_(std::move(settings)) {
  BF_CHECK(manifest_, "no manifest");
  const PlanSettings& s = settings_;
  if (s.batch_size < 1) throw Error(str("batch_size is ", s.batch_size, ", expected at least 1 (pair)"));
  if (!(s.epoch_fraction > 0 && s.epoch_fraction <= 1))
    throw Error(str("epoch_fraction is ", s.epoch_fraction, ", expected a number above 0, at most 1"));
  if (!(s.margin_min > 0 && s.margin_min <= s.margin_max))
    throw Error(
        str("crop margins ", s.margin_min, " to ", s.margin_max, ": expected positive numbers in rising order"));
  if (s.simulate.on)
    find_photographs();
  else
    find_pairs();

  if (s.shuffle_labels && !s.simulate.on) {
    // The labels of the photographs that training sees, dealt out again among them.
    shuffled_label_.assign(manifest_->records.size(), 0);
    std::vector<std::int64_t> used = genuine_;
    for (const Pair& p : pairs_) used.push_back(p.attack);
    std::sort(used.begin(), used.end());
    const std::vector<std::int64_t> dealt = Random(s.seed, "shuffle_labels").permutation(std::int64_t(used.size()));
    for (std::size_t i = 0; i < used.size(); ++i)
      shuffled_label_[std::size_t(used[i])] =
          manifest_->records[std::size_t(used[std::size_t(dealt[i])])].attack() ? 1.0f : 0.0f;
  }
}

void BatchPlanner::find_pairs() {
  std::unordered_map<std::string_view, std::int64_t> row_of;
  const auto& records = manifest_->records;
  for (std::size_t i = 0; i < records.size(); ++i) row_of.emplace(records[i].filename, std::int64_t(i));
  std::vector<bool> partner(records.size());  // genuine photographs of some pair
  const bool draw = settings_.unmatched == UnmatchedAttacks::class_partner;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Record& r = records[i];
    if (!r.label) ++left_out_["unlabelled"];
    if (!r.attack()) continue;
    Pair pair{std::int64_t(i), -1};
    if (const auto it = row_of.find(r.pair_filename); it != row_of.end()) {
      const Record& live = records[std::size_t(it->second)];
      if (!live.genuine())
        throw Error(
            str(manifest_->where(r), ": pair_filename ", live.filename, " (line ", live.line, ") is not genuine"));
      pair.genuine = it->second;
      partner[std::size_t(it->second)] = true;
    } else if (!draw) {
      ++left_out_[r.pair_filename.empty() ? "attacks without a genuine partner"
                                          : "attacks whose partner is not in the list"];
      continue;
    }
    pairs_.push_back(pair);
  }
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (!records[i].genuine()) continue;
    if (draw || partner[i])
      genuine_.push_back(std::int64_t(i));
    else
      ++left_out_["genuine photographs without an attack"];
  }
  if (pairs_.empty())
    throw Error(str(manifest_->origin, ": no training pairs: no attack has a genuine partner in the list",
                    draw ? "" : " (pairs.unmatched_attacks = class_partner draws partners)"));
  if (genuine_.empty()) throw Error(str(manifest_->origin, ": no genuine photographs"));

  pairs_per_epoch_ = std::int64_t(std::floor(settings_.epoch_fraction * double(pairs_.size())));
  steps_per_epoch_ =
      settings_.drop_last ? pairs_per_epoch_ / settings_.batch_size : ceil_div(pairs_per_epoch_, settings_.batch_size);
  if (steps_per_epoch_ == 0)
    throw Error(str(manifest_->origin, ": ", pairs_.size(), " pairs, of which epoch_fraction ",
                    settings_.epoch_fraction, " uses ", pairs_per_epoch_, " an epoch, do not fill one batch of ",
                    settings_.batch_size, " pairs"));
}

void BatchPlanner::find_photographs() {
  const SimulateSettings& s = settings_.simulate;
  double total = 0;
  for (const auto& [species, weight] : s.species) {
    if (species.genuine()) throw Error("simulate.species: genuine is no species of attack");
    if (!(weight >= 0 && std::isfinite(weight)))
      throw Error(
          str("simulate.species: the weight of ", species.name(), " is ", weight, ", expected a number of at least 0"));
    total += weight;
  }
  if (!(total > 0)) throw Error("simulate.species: no species with a weight above 0");
  if (s.steps_per_epoch < 0)
    throw Error(str("simulate.steps_per_epoch is ", s.steps_per_epoch, ", expected at least 0"));

  std::map<std::string, std::vector<std::int64_t>> people;
  std::int64_t of_unknown_subject = 0;
  const auto& records = manifest_->records;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (!records[i].label)
      ++left_out_["unlabelled"];
    else if (records[i].attack())
      ++left_out_["attacks (simulated ones are used instead)"];
    if (!records[i].genuine()) continue;
    pairs_.push_back({std::int64_t(i), std::int64_t(i)});
    if (records[i].subject.empty())
      ++of_unknown_subject;
    else
      people[records[i].subject].push_back(std::int64_t(i));
  }
  if (pairs_.empty()) throw Error(str(manifest_->origin, ": no genuine photographs to simulate attacks from"));
  steps_per_epoch_ =
      s.steps_per_epoch ? s.steps_per_epoch : ceil_div(std::int64_t(pairs_.size()), settings_.batch_size);
  has_donors_ =
      s.donor == SimulateSettings::Donor::any ? pairs_.size() > 1 : people.size() > 1 && of_unknown_subject == 0;

  std::map<std::string, std::pair<std::int64_t, std::int64_t>> range;
  for (const auto& [subject, photos] : people) {
    const std::int64_t begin = std::int64_t(by_subject_.size());
    by_subject_.insert(by_subject_.end(), photos.begin(), photos.end());
    range[subject] = {begin, std::int64_t(by_subject_.size())};
  }
  for (const Pair& p : pairs_) {
    const std::string& subject = records[std::size_t(p.attack)].subject;
    subject_range_.push_back(subject.empty() ? std::pair<std::int64_t, std::int64_t>{0, 0} : range.at(subject));
  }
}

BatchPlanner::Order BatchPlanner::order(std::string_view purpose, std::uint64_t key) const {
  const std::scoped_lock lock(mutex_);
  const auto name = std::pair(std::string(purpose), key);
  if (const auto it = orders_.find(name); it != orders_.end()) return it->second;
  if (orders_.size() >= 4) orders_.clear();  // steps come in order: old epochs are done with
  auto made = std::make_shared<const std::vector<std::int64_t>>(
      Random(settings_.seed, purpose, key).permutation(std::int64_t(pairs_.size())));
  return orders_[name] = std::move(made);
}

// What every image has: record, label, margin, augmentation.
SampleDraw BatchPlanner::sample(std::int64_t record, bool attack, std::int64_t epoch, std::uint64_t number) const {
  SampleDraw d;
  d.record = record;
  d.label = attack ? 1.0f : 0.0f;
  const std::uint64_t e = std::uint64_t(epoch);
  d.margin = Random(settings_.seed, "margin", e, number).uniform(settings_.margin_min, settings_.margin_max);
  const auto& augment = attack ? settings_.augment_attack : settings_.augment_genuine;
  if (augment) {
    Random random(settings_.seed, "augment", e, number);
    d.augment = augment(random);
  }
  return d;
}

BatchPlan BatchPlanner::plan(std::int64_t step) const {
  BF_CHECK(step >= 0, "step ", step);
  BatchPlan plan;
  plan.seed = settings_.seed;
  plan.step = step;
  plan.epoch = step / steps_per_epoch_;
  plan.group = 2;
  if (settings_.simulate.on)
    plan_simulated(plan);
  else
    plan_pairs(plan);
  if (settings_.cutmix) {
    Random random(settings_.seed, "cutmix", std::uint64_t(step));
    plan.cutmix = settings_.cutmix(random, plan.samples);
  }
  return plan;
}

void BatchPlanner::plan_pairs(BatchPlan& plan) const {
  const std::uint64_t epoch = std::uint64_t(plan.epoch);
  const std::int64_t first = plan.step % steps_per_epoch_ * settings_.batch_size;
  const std::int64_t end = std::min(first + settings_.batch_size, pairs_per_epoch_);
  const Order permutation = settings_.shuffle ? order("order", epoch) : nullptr;
  for (std::int64_t at = first; at < end; ++at) {
    const std::int64_t number = permutation ? (*permutation)[std::size_t(at)] : at;
    const Pair& pair = pairs_[std::size_t(number)];
    const std::uint64_t n = 2 * std::uint64_t(number);
    std::int64_t genuine = pair.genuine;
    if (genuine < 0)
      genuine = genuine_[std::size_t(Random(settings_.seed, "partner", epoch, n).below(std::int64_t(genuine_.size())))];
    plan.samples.push_back(sample(pair.attack, true, plan.epoch, n));
    plan.samples.push_back(sample(genuine, false, plan.epoch, n + 1));
  }
  if (settings_.shuffle_labels)
    for (SampleDraw& d : plan.samples) d.label = shuffled_label_[std::size_t(d.record)];
}

void BatchPlanner::plan_simulated(BatchPlan& plan) const {
  const SimulateSettings& s = settings_.simulate;
  const std::int64_t photos = std::int64_t(pairs_.size());
  double total = 0;
  for (const auto& [species, weight] : s.species) total += weight;
  for (std::int64_t i = 0; i < settings_.batch_size; ++i) {
    // Pairs are numbered over the whole run; the photographs take turns, in a new order every round.
    const std::int64_t number = plan.step * settings_.batch_size + i, round = number / photos;
    const std::int64_t photo = settings_.shuffle
                                   ? (*order("photographs", std::uint64_t(round)))[std::size_t(number % photos)]
                                   : number % photos;
    const auto [begin, end] = subject_range_[std::size_t(photo)];
    // Within an epoch a pair's number is what counts: two epochs share no draws, whatever their length.
    const std::uint64_t epoch = std::uint64_t(plan.epoch);
    const std::uint64_t n = 2 * std::uint64_t(plan.step % steps_per_epoch_ * settings_.batch_size + i);

    const std::int64_t record = pairs_[std::size_t(photo)].attack;
    SampleDraw attack = sample(record, true, plan.epoch, n);
    Random random(settings_.seed, "species", epoch, n);
    double u = double(random.u32()) * 0x1p-32 * total;
    for (const auto& [species, weight] : s.species) {
      if (weight <= 0) continue;
      attack.species = species;  // the last one with a weight, should rounding carry u past the end
      if ((u -= weight) < 0) break;
    }
    if (has_donors_) {
      Random donors(settings_.seed, "donor", epoch, n);
      if (s.donor == SimulateSettings::Donor::any) {  // any but this photograph
        const std::int64_t k = donors.below(photos - 1);
        attack.donor = pairs_[std::size_t(k < photo ? k : k + 1)].attack;
      } else {  // any photograph of anybody else
        const std::int64_t k = donors.below(std::int64_t(by_subject_.size()) - (end - begin));
        attack.donor = by_subject_[std::size_t(k < begin ? k : k + end - begin)];
      }
    }

    std::int64_t partner = record;
    Random partners(settings_.seed, "partner", epoch, n);
    if (s.partner == SimulateSettings::Partner::any) {
      partner = pairs_[std::size_t(partners.below(photos))].attack;
    } else if (s.partner == SimulateSettings::Partner::same_subject && end - begin > 1) {
      std::int64_t k = begin + partners.below(end - begin - 1);
      if (by_subject_[std::size_t(k)] == record) k = end - 1;  // the last stands in for the photograph itself
      partner = by_subject_[std::size_t(k)];
    }
    SampleDraw genuine = sample(partner, false, plan.epoch, n + 1);

    for (SampleDraw* d : {&attack, &genuine}) {
      d->simulated = true;
      d->simulate_a = epoch;
      d->simulate_b = n + (d == &genuine);
      plan.samples.push_back(*d);
    }
  }
  if (settings_.shuffle_labels) {
    std::vector<float> labels;
    for (const SampleDraw& d : plan.samples) labels.push_back(d.label);
    Random(settings_.seed, "shuffle_labels", std::uint64_t(plan.step)).shuffle(labels);
    for (std::size_t i = 0; i < labels.size(); ++i) plan.samples[i].label = labels[i];
  }
}

std::map<Label, double> BatchPlanner::species() const {
  std::map<Label, double> shares;
  if (settings_.simulate.on)
    for (const auto& [species, weight] : settings_.simulate.species) shares[species] += weight;
  else
    for (const Pair& p : pairs_) shares[*manifest_->records[std::size_t(p.attack)].label] += 1;
  return shares;
}

std::string BatchPlanner::summary() const {
  std::string s;
  s = settings_.simulate.on ? str(pairs_.size(), " genuine photographs, attacks simulated:")
                            : str(pairs_.size(), " pairs with ", genuine_.size(), " genuine photographs:");
  for (const auto& [label, share] : species()) s += str(" ", label.name(), " ", share);
  s += str("\n", steps_per_epoch_, " steps of ", settings_.batch_size, " pairs an epoch\n");
  for (const auto& [reason, n] : left_out_) s += str("left out: ", n, " ", reason, "\n");
  return s;
}

EvaluationPlanner::EvaluationPlanner(std::shared_ptr<const Manifest> manifest, std::int64_t batch_size, double margin)
    : manifest_(std::move(manifest)), batch_size_(batch_size), margin_(margin) {
  BF_CHECK(manifest_, "no manifest");
  if (batch_size_ < 1) throw Error(str("batch_size is ", batch_size_, ", expected at least 1"));
  if (manifest_->records.empty()) throw Error(str(manifest_->origin, ": nothing to evaluate"));
}

std::int64_t EvaluationPlanner::steps() const { return ceil_div(std::int64_t(manifest_->records.size()), batch_size_); }

BatchPlan EvaluationPlanner::plan(std::int64_t step) const {
  BF_CHECK(step >= 0 && step < steps(), "step ", step, " of ", steps());
  BatchPlan plan;
  plan.step = step;
  const std::int64_t n = std::int64_t(manifest_->records.size());
  for (std::int64_t i = step * batch_size_; i < std::min(n, (step + 1) * batch_size_); ++i) {
    SampleDraw d;
    d.record = i;
    const Record& r = manifest_->records[std::size_t(i)];
    d.label = !r.label ? std::numeric_limits<float>::quiet_NaN() : r.attack() ? 1.0f : 0.0f;
    d.margin = margin_;
    plan.samples.push_back(d);
  }
  return plan;
}

}  // namespace bonafide
