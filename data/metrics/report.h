// data/metrics/report.h — everything an evaluation says, as one struct, and its four outputs: JSON, two CSVs, a table.
#pragma once
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/metrics/metrics.h"

namespace bonafide {

struct Threshold {
  double value = 0.5;
  std::string origin;       // for people: "model file (val.eer)", "--threshold"
  bool optimistic = false;  // chosen on the very images it is reported on
};

struct SpeciesReport {
  Label species;
  Rate apcer;  // at the threshold
  double auc = 0;
};

// The best reachable rate with another one held at a target (never beyond it).
struct FixedPoint {
  double target = 0;
  ErrorRates rates;
};

struct Report {
  std::int64_t attacks = 0, genuine = 0;
  std::int64_t unlabelled = 0;  // scored, not counted anywhere
  double auc = 0;
  EqualErrorRate eer, eer_published;
  Threshold threshold;
  ErrorRates rates;  // at the threshold
  std::vector<SpeciesReport> species;
  std::vector<FixedPoint> bpcer_at_apcer, bpcer_at_worst_apcer, apcer_at_bpcer;  // targets as given, default 10, 5, 1 %
};

// Without a threshold this set's own EER is taken, and marked optimistic. Throws as RocTable does; unlabelled images
// are counted and left out.
Report make_report(std::span<const double> scores, std::span<const std::optional<Label>> labels,
                   const std::optional<Threshold>& threshold = std::nullopt,
                   const std::vector<double>& targets = {0.10, 0.05, 0.01});

std::string to_json(const Report& report);      // indented, keys in a fixed order, a line break at the end
std::string to_table(const Report& report);     // for a terminal, 72 columns at most
std::string metrics_csv(const Report& report);  // metric,value,errors,n,n_attack,n_genuine,threshold
std::string species_csv(const Report& report);  // species,code,apcer,errors,n,auc,threshold

// metrics.json, metrics.csv, species.csv in `folder` (made where it is missing).
void write_report(const std::filesystem::path& folder, const Report& report);

}  // namespace bonafide
