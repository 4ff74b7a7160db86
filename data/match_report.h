// data/match_report.h — what a matching did to each species: how many attacks each threshold keeps, how similar they are, how
// often each genuine face is used. Every row of the list is in the counts (also those dropped when it was read), and they add up.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/match.h"

namespace bonafide {

struct MatchReportSettings {
  std::vector<double> thresholds = {0.70, 0.80, 0.84, 0.90, 0.92, 0.95};  // retention at these and at those in force
  double near_duplicate = 0.999;  // a pair at least this similar is as good as one image twice
};

struct SpeciesMatch {
  std::string split;
  Label species;
  std::int64_t attacks = 0;      // in the list, also those that came rejected
  std::int64_t compared = 0;     // had an embedding, and genuine faces to compare it with
  std::int64_t pairs = 0, class_pairs = 0, rejected = 0;  // attacks is their sum
  std::int64_t near_duplicates = 0;
  double threshold = 0;                             // in force
  std::vector<std::int64_t> kept_at;                // for each of MatchReport::thresholds: pairs there would be
  std::vector<std::int64_t> histogram;              // of the similarity to the nearest genuine face: kBins bins
  double least = 0, median = 0, greatest = 0;       // of the same; NaN where nothing was compared
  bool lost() const { return pairs + class_pairs == 0; }
};

struct MatchReport {
  static constexpr int kBins = 100;  // bin i holds [i / 50 - 1, (i + 1) / 50 - 1), the last also 1
  static double edge(int bin) { return double(bin - kBins / 2) / (kBins / 2); }

  std::int64_t records = 0, genuine = 0, pairs = 0, class_pairs = 0, rejected = 0;  // records is the sum of the others
  std::vector<double> thresholds;
  double near_duplicate = 0;
  std::vector<SpeciesMatch> species;           // by split, then code
  std::map<std::string, std::int64_t> reasons;  // of the rejected
  std::vector<std::int64_t> uses;              // of each record: attacks paired with it (without class pairs)
  std::int64_t genuine_used = 0, most_uses = 0;
  double mean_uses = 0, median_uses = 0;       // of the genuine faces that are used

  std::vector<std::string> lost() const;  // "print", "print of split val": species that keep no sample
};

MatchReport make_match_report(const Manifest& list, const Matching& matching, const MatchReportSettings& settings = {});

std::string to_table(const MatchReport& report);  // for a terminal
std::string to_json(const MatchReport& report, const Matching& matching, const std::map<std::string, std::string>& provenance);

// match.json and, with fixed headers (docs/data.md), retention.csv, histogram.csv, reuse.csv, attacks.csv, rejects.csv,
// near_duplicates.csv and, for top_k, neighbours.csv, in `folder` (made where it is missing).
void write_match_report(const std::filesystem::path& folder, const Manifest& list, const Matching& matching,
                        const MatchReport& report, const std::map<std::string, std::string>& provenance);

}  // namespace bonafide
