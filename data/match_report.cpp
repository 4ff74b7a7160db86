// data/match_report.cpp — see match_report.h.
#include "data/match_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/csv.h"

namespace bonafide {
namespace {

using Json = nlohmann::ordered_json;

int bin_of(double similarity) {
  int bin = std::clamp(int((similarity + 1) * (MatchReport::kBins / 2)), 0, MatchReport::kBins - 1);
  while (bin > 0 && similarity < MatchReport::edge(bin)) --bin;
  while (bin + 1 < MatchReport::kBins && similarity >= MatchReport::edge(bin + 1)) ++bin;
  return bin;
}

double median(std::vector<double> v) {
  if (v.empty()) return MatchOutcome::kNoSimilarity;
  std::sort(v.begin(), v.end());
  const std::size_t half = v.size() / 2;
  return v.size() % 2 ? v[half] : (v[half - 1] + v[half]) / 2;
}

std::string number(double v) { return std::isnan(v) ? std::string() : format_number(v); }

const char* kind_of(const MatchOutcome& o) {
  switch (o.kind) {
    case MatchOutcome::genuine: return "genuine";
    case MatchOutcome::pair: return "identity";
    case MatchOutcome::class_pair: return "class";
    case MatchOutcome::rejected: break;
  }
  return "rejected";
}

template <class... Args>
std::string printed(const char* format, Args... args) {
  char text[256];
  std::snprintf(text, sizeof text, format, args...);
  return text;
}

}  // namespace

std::vector<std::string> MatchReport::lost() const {
  std::vector<std::string> names;
  for (const SpeciesMatch& s : species)
    if (s.lost()) names.push_back(s.species.name() + (s.split.empty() ? "" : " of split " + s.split));
  return names;
}

MatchReport make_match_report(const Manifest& list, const Matching& matching, const MatchReportSettings& settings) {
  BF_CHECK(matching.outcomes.size() == list.records.size(), matching.outcomes.size(), " outcomes of ", list.records.size());
  MatchReport report;
  report.records = std::int64_t(list.records.size() + list.dropped.size());
  for (const Manifest::Dropped& d : list.dropped) ++report.rejected, ++report.reasons[d.reason];
  report.near_duplicate = settings.near_duplicate;
  report.thresholds = settings.thresholds;
  report.thresholds.push_back(matching.settings.threshold);
  for (const auto& [label, t] : matching.settings.species_threshold) report.thresholds.push_back(t);
  std::sort(report.thresholds.begin(), report.thresholds.end());
  report.thresholds.erase(std::unique(report.thresholds.begin(), report.thresholds.end()), report.thresholds.end());

  report.uses.resize(list.records.size());
  std::map<std::pair<std::string, Label>, std::pair<SpeciesMatch, std::vector<double>>> species;
  for (std::size_t i = 0; i < list.records.size(); ++i) {
    const Record& r = list.records[i];
    const MatchOutcome& o = matching.outcomes[i];
    switch (o.kind) {
      case MatchOutcome::genuine: ++report.genuine; break;
      case MatchOutcome::pair: ++report.pairs, ++report.uses[std::size_t(o.partner)]; break;
      case MatchOutcome::class_pair: ++report.class_pairs; break;
      case MatchOutcome::rejected: ++report.rejected, ++report.reasons[o.reason]; break;
    }
    if (!r.attack()) continue;
    auto& [s, similarities] = species[{r.split, *r.label}];
    s.split = r.split, s.species = *r.label, s.threshold = matching.threshold(*r.label);
    s.kept_at.resize(report.thresholds.size());
    s.histogram.resize(MatchReport::kBins);
    ++s.attacks;
    s.pairs += o.kind == MatchOutcome::pair;
    s.class_pairs += o.kind == MatchOutcome::class_pair;
    s.rejected += o.kind == MatchOutcome::rejected;
    if (o.neighbours.empty()) continue;
    const double similarity = o.nearest_similarity();
    ++s.compared;
    ++s.histogram[std::size_t(bin_of(similarity))];
    similarities.push_back(similarity);
    s.near_duplicates += similarity >= report.near_duplicate;
    for (std::size_t t = 0; t < report.thresholds.size(); ++t) s.kept_at[t] += o.mutual && similarity >= report.thresholds[t];
  }
  for (auto& [key, entry] : species) {
    auto& [s, similarities] = entry;
    s.median = median(similarities);
    const auto [least, greatest] = std::minmax_element(similarities.begin(), similarities.end());
    s.least = similarities.empty() ? MatchOutcome::kNoSimilarity : *least;
    s.greatest = similarities.empty() ? MatchOutcome::kNoSimilarity : *greatest;
    report.species.push_back(std::move(s));
  }
  BF_CHECK(report.genuine + report.pairs + report.class_pairs + report.rejected == report.records, "records lost");

  std::vector<double> used;
  for (const std::int64_t n : report.uses)
    if (n) used.push_back(double(n));
  report.genuine_used = std::int64_t(used.size());
  for (const double n : used) report.mean_uses += n / double(used.size()), report.most_uses = std::max(report.most_uses, std::int64_t(n));
  report.median_uses = used.empty() ? 0 : median(used);
  return report;
}

std::string to_table(const MatchReport& r) {
  std::string s = "attacks whose nearest genuine face is at least so similar:\n";
  std::string head = printed("  %-24s %8s %8s", "", "attacks", "compared");
  for (const double t : r.thresholds) head += printed(" %7g", t);
  std::string split = "\n";  // none is called so
  const auto line = [&](const std::string& name, std::int64_t attacks, std::int64_t compared, const std::vector<std::int64_t>& kept) {
    s += printed("  %-24s %8lld %8lld", name.c_str(), (long long)attacks, (long long)compared);
    for (const std::int64_t n : kept) s += printed(" %7lld", (long long)n);
  };
  SpeciesMatch all;
  all.kept_at.resize(r.thresholds.size());
  s += head + "    pairs    class rejected\n";
  for (const SpeciesMatch& m : r.species) {
    if (m.split != split && !m.split.empty()) s += "  split " + m.split + "\n";
    split = m.split;
    line(m.species.name(), m.attacks, m.compared, m.kept_at);
    s += printed(" %8lld %8lld %8lld  at %g%s\n", (long long)m.pairs, (long long)m.class_pairs, (long long)m.rejected, m.threshold,
                 m.lost() ? "  LOST" : "");
    all.attacks += m.attacks, all.compared += m.compared, all.pairs += m.pairs, all.class_pairs += m.class_pairs, all.rejected += m.rejected;
    for (std::size_t t = 0; t < r.thresholds.size(); ++t) all.kept_at[t] += m.kept_at[t];
    all.near_duplicates += m.near_duplicates;
  }
  line("all attacks", all.attacks, all.compared, all.kept_at);
  s += printed(" %8lld %8lld %8lld\n", (long long)all.pairs, (long long)all.class_pairs, (long long)all.rejected);
  s += printed("near-duplicates: %lld attacks are as similar as %g or more to a genuine face\n", (long long)all.near_duplicates, r.near_duplicate);
  s += printed("re-use: %lld of %lld genuine faces have attacks; %lld at most, %.1f on average, median %g\n", (long long)r.genuine_used,
               (long long)r.genuine, (long long)r.most_uses, r.mean_uses, r.median_uses);
  s += printed("%lld records = %lld genuine + %lld pairs + %lld class pairs + %lld rejected\n", (long long)r.records, (long long)r.genuine,
               (long long)r.pairs, (long long)r.class_pairs, (long long)r.rejected);
  for (const auto& [reason, n] : r.reasons) s += str("  rejected: ", n, " (", reason, ")\n");
  return s;
}

std::string to_json(const MatchReport& r, const Matching& m, const std::map<std::string, std::string>& provenance) {
  Json j;
  for (const auto& [key, value] : provenance) j["provenance"][key] = value;
  Json& rule = j["rule"];
  rule["mode"] = name_of(m.settings.mode);
  if (m.settings.mode == MatchMode::top_k) rule["k"] = m.settings.k;
  rule["threshold"] = m.settings.threshold;
  for (const auto& [label, t] : m.settings.species_threshold) rule["species_threshold"][label.name()] = t;
  rule["same_subject"] = m.settings.same_subject;
  rule["class_partners"] = m.settings.class_partners;
  rule["seed"] = m.settings.seed;
  j["records"] = r.records;
  j["genuine"] = r.genuine;
  j["pairs"] = r.pairs;
  j["class_pairs"] = r.class_pairs;
  j["rejected"] = r.rejected;
  j["reasons"] = Json::object();
  for (const auto& [reason, n] : r.reasons) j["reasons"][reason] = n;
  j["retention_thresholds"] = r.thresholds;
  j["near_duplicate"] = r.near_duplicate;
  j["species"] = Json::array();
  for (const SpeciesMatch& s : r.species) {
    const auto similarity = [](double v) { return std::isnan(v) ? Json() : Json(v); };
    j["species"].push_back({{"split", s.split},
                            {"species", s.species.name()},
                            {"code", s.species.code()},
                            {"attacks", s.attacks},
                            {"compared", s.compared},
                            {"threshold", s.threshold},
                            {"pairs", s.pairs},
                            {"class_pairs", s.class_pairs},
                            {"rejected", s.rejected},
                            {"kept_at", s.kept_at},
                            {"near_duplicates", s.near_duplicates},
                            {"similarity_least", similarity(s.least)},
                            {"similarity_median", similarity(s.median)},
                            {"similarity_greatest", similarity(s.greatest)}});
  }
  j["reuse"] = {{"genuine", r.genuine}, {"used", r.genuine_used}, {"most", r.most_uses}, {"mean", r.mean_uses}, {"median", r.median_uses}};
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void write_match_report(const std::filesystem::path& folder, const Manifest& list, const Matching& matching,
                        const MatchReport& r, const std::map<std::string, std::string>& provenance) {
  std::filesystem::create_directories(folder);
  const auto filename = [&](std::int64_t i) { return list.records[std::size_t(i)].filename; };

  CsvWriter retention(folder / "retention.csv", {"split", "species", "code", "attacks", "compared", "threshold", "kept"});
  CsvWriter histogram(folder / "histogram.csv", {"split", "species", "code", "from", "to", "attacks"});
  for (const SpeciesMatch& s : r.species) {
    for (std::size_t t = 0; t < r.thresholds.size(); ++t)
      retention.row({s.split, s.species.name(), s.species.code(), str(s.attacks), str(s.compared), format_number(r.thresholds[t]), str(s.kept_at[t])});
    for (int b = 0; b < MatchReport::kBins; ++b)
      if (s.histogram[std::size_t(b)])
        histogram.row({s.split, s.species.name(), s.species.code(), format_number(MatchReport::edge(b)), format_number(MatchReport::edge(b + 1)),
                       str(s.histogram[std::size_t(b)])});
  }
  retention.commit(), histogram.commit();

  CsvWriter reuse(folder / "reuse.csv", {"filename", "subject", "split", "attacks"});
  CsvWriter attacks(folder / "attacks.csv", {"filename", "code", "split", "kind", "partner", "similarity", "nearest", "nearest_similarity", "reason"});
  CsvWriter rejects(folder / "rejects.csv", {"filename", "reason"});
  for (const Manifest::Dropped& d : list.dropped) rejects.row({d.filename, d.reason});
  CsvWriter near_duplicates(folder / "near_duplicates.csv", {"filename", "code", "nearest", "similarity"});
  std::optional<CsvWriter> neighbours;
  if (matching.settings.mode == MatchMode::top_k)
    neighbours.emplace(folder / "neighbours.csv", std::vector<std::string>{"filename", "rank", "genuine", "similarity"});
  for (std::size_t i = 0; i < list.records.size(); ++i) {
    const Record& rec = list.records[i];
    const MatchOutcome& o = matching.outcomes[i];
    if (o.kind == MatchOutcome::genuine) reuse.row({rec.filename, rec.subject, rec.split, str(r.uses[i])});
    if (o.kind == MatchOutcome::rejected) rejects.row({rec.filename, o.reason});
    if (!rec.attack()) continue;
    const std::string nearest = o.neighbours.empty() ? "" : filename(o.neighbours[0].index);
    attacks.row({rec.filename, rec.label->code(), rec.split, kind_of(o), o.partner < 0 ? "" : filename(o.partner), number(o.similarity), nearest,
                 number(o.nearest_similarity()), o.reason});
    for (std::size_t n = 0; neighbours && n < o.neighbours.size(); ++n)
      neighbours->row({rec.filename, str(n + 1), filename(o.neighbours[n].index), format_number(o.neighbours[n].similarity)});
    if (o.nearest_similarity() >= r.near_duplicate) near_duplicates.row({rec.filename, rec.label->code(), nearest, number(o.nearest_similarity())});
  }
  reuse.commit(), attacks.commit(), rejects.commit(), near_duplicates.commit();
  if (neighbours) neighbours->commit();
  write_file_atomically(folder / "match.json", to_json(r, matching, provenance));
}

}  // namespace bonafide
