// data/metrics/report.cpp — one struct, four outputs.
#include "data/metrics/report.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/csv.h"

namespace bonafide {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Rate& r) { return {{"value", r.value()}, {"errors", r.errors}, {"n", r.n}}; }

Json json_of(const EqualErrorRate& e) {
  Json j{{"value", e.value}};
  j["threshold"] = std::isfinite(e.threshold) ? Json(e.threshold) : Json("inf");
  j["apcer"] = e.apcer;
  j["bpcer"] = e.bpcer;
  return j;
}

Json json_of(const ErrorRates& r) {
  return {{"threshold", r.threshold},
          {"apcer_pooled", json_of(r.apcer)},
          {"apcer_worst", json_of(r.worst_species().apcer)},
          {"worst_species", r.worst_species().species.name()},
          {"bpcer", json_of(r.bpcer)},
          {"acer_pooled", r.acer_pooled()},
          {"acer_worst", r.acer_worst()},
          {"hter", r.hter()}};
}

Json json_of(const std::vector<FixedPoint>& points) {
  Json j = Json::array();
  for (const FixedPoint& p : points) {
    j.push_back({{"target", p.target}});
    j.back().update(json_of(p.rates));
  }
  return j;
}

// 0.05 -> "5", 0.001 -> "0.1"
std::string percent_name(double target) { return str(std::round(target * 1e6) / 1e4); }

// snprintf into a string.
template <class... Ts>
std::string format(const char* pattern, Ts... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

std::string row_of(const char* name, const Rate& r, const std::string& remark = {}) {
  return format("  %-24s%8.2f %%   %lld of %lld%s%s\n", name, 100 * r.value(), static_cast<long long>(r.errors),
                static_cast<long long>(r.n), remark.empty() ? "" : "  ", remark.c_str());
}

}  // namespace

Report make_report(std::span<const double> scores, std::span<const std::optional<Label>> labels,
                   const std::optional<Threshold>& threshold, const std::vector<double>& targets) {
  BF_CHECK(scores.size() == labels.size(), scores.size(), " scores and ", labels.size(), " labels");
  Report r;
  std::vector<double> known;
  std::vector<Label> known_labels;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!labels[i]) continue;
    known.push_back(scores[i]);
    known_labels.push_back(*labels[i]);
  }
  r.unlabelled = std::int64_t(scores.size() - known.size());
  if (known.empty() && r.unlabelled)
    throw Error(str("error rates need labels; all ", r.unlabelled, " images are unlabelled"));
  const RocTable roc(known, known_labels);
  r.attacks = roc.attacks();
  r.genuine = roc.genuine();
  r.auc = roc.auc();
  r.eer = roc.eer();
  r.eer_published = roc.eer_published();
  r.threshold = threshold.value_or(Threshold{r.eer.threshold, "EER of this very set", true});
  r.rates = roc.at(r.threshold.value);
  for (const SpeciesRate& s : r.rates.species) r.species.push_back({s.species, s.apcer, roc.auc(s.species)});
  for (const double t : targets) {
    r.bpcer_at_apcer.push_back({t, roc.bpcer_at_apcer(t)});
    r.bpcer_at_worst_apcer.push_back({t, roc.bpcer_at_apcer(t, Pooling::worst_species)});
    r.apcer_at_bpcer.push_back({t, roc.apcer_at_bpcer(t)});
  }
  return r;
}

std::string to_json(const Report& r) {
  Json j;
  j["score"] = "P(attack); an attack is declared at score >= threshold";
  j["n_attack"] = r.attacks;
  j["n_genuine"] = r.genuine;
  j["n_unlabelled"] = r.unlabelled;
  j["auc"] = r.auc;
  j["eer"] = json_of(r.eer);
  j["eer_published"] = json_of(r.eer_published);
  j["threshold"] = {
      {"value", r.threshold.value}, {"origin", r.threshold.origin}, {"optimistic", r.threshold.optimistic}};
  j["rates"] = json_of(r.rates);
  j["species"] = Json::array();
  for (const SpeciesReport& s : r.species)
    j["species"].push_back(
        {{"species", s.species.name()}, {"code", s.species.code()}, {"apcer", json_of(s.apcer)}, {"auc", s.auc}});
  j["bpcer_at_apcer"] = json_of(r.bpcer_at_apcer);
  j["bpcer_at_worst_apcer"] = json_of(r.bpcer_at_worst_apcer);
  j["apcer_at_bpcer"] = json_of(r.apcer_at_bpcer);
  return j.dump(2) + "\n";
}

std::string metrics_csv(const Report& r) {
  std::string csv = csv_line({"metric", "value", "errors", "n", "n_attack", "n_genuine", "threshold"});
  const std::string attacks = str(r.attacks), genuine = str(r.genuine);
  const auto number = [&](const std::string& name, double value, const std::string& threshold = {}) {
    csv += csv_line({name, format_number(value), "", "", attacks, genuine, threshold});
  };
  const auto rate = [&](const std::string& name, const Rate& x, double threshold) {
    csv +=
        csv_line({name, format_number(x.value()), str(x.errors), str(x.n), attacks, genuine, format_number(threshold)});
  };
  const std::string at = format_number(r.rates.threshold);
  number("auc", r.auc);
  number("eer", r.eer.value, format_number(r.eer.threshold));
  number("eer_published", r.eer_published.value, format_number(r.eer_published.threshold));
  rate("apcer_pooled", r.rates.apcer, r.rates.threshold);
  rate("apcer_worst", r.rates.worst_species().apcer, r.rates.threshold);
  rate("bpcer", r.rates.bpcer, r.rates.threshold);
  number("acer_pooled", r.rates.acer_pooled(), at);
  number("acer_worst", r.rates.acer_worst(), at);
  number("hter", r.rates.hter(), at);
  for (const FixedPoint& p : r.bpcer_at_apcer)
    rate("bpcer_at_apcer_" + percent_name(p.target), p.rates.bpcer, p.rates.threshold);
  for (const FixedPoint& p : r.bpcer_at_worst_apcer)
    rate("bpcer_at_worst_apcer_" + percent_name(p.target), p.rates.bpcer, p.rates.threshold);
  for (const FixedPoint& p : r.apcer_at_bpcer) {
    rate("apcer_at_bpcer_" + percent_name(p.target), p.rates.apcer, p.rates.threshold);
    rate("worst_apcer_at_bpcer_" + percent_name(p.target), p.rates.worst_species().apcer, p.rates.threshold);
  }
  return csv;
}

std::string species_csv(const Report& r) {
  std::string csv = csv_line({"species", "code", "apcer", "errors", "n", "auc", "threshold"});
  for (const SpeciesReport& s : r.species)
    csv += csv_line({s.species.name(), s.species.code(), format_number(s.apcer.value()), str(s.apcer.errors),
                     str(s.apcer.n), format_number(s.auc), format_number(r.rates.threshold)});
  return csv;
}

std::string to_table(const Report& r) {
  const auto n = [](std::int64_t v) { return static_cast<long long>(v); };
  std::string t = format("%lld genuine, %lld attacks%s\n", n(r.genuine), n(r.attacks),
                         r.unlabelled ? str(" (", r.unlabelled, " unlabelled left out)").c_str() : "");
  t += format("threshold %.6g: %s%s\n", r.threshold.value, r.threshold.origin.c_str(),
              r.threshold.optimistic ? " (optimistic)" : "");
  t += format("  %-24s%8.4f\n", "AUC", r.auc);
  t += format("  %-24s%8.2f %%\n", "EER", 100 * r.eer.value);
  t += row_of("APCER pooled", r.rates.apcer);
  t += row_of("APCER worst species", r.rates.worst_species().apcer, r.rates.worst_species().species.name());
  t += row_of("BPCER", r.rates.bpcer);
  t += format("  %-24s%8.2f %%\n", "ACER pooled (HTER)", 100 * r.rates.acer_pooled());
  t += format("  %-24s%8.2f %%\n", "ACER worst", 100 * r.rates.acer_worst());
  for (const FixedPoint& p : r.bpcer_at_apcer)
    t += row_of(("BPCER at APCER " + percent_name(p.target) + " %").c_str(), p.rates.bpcer);
  for (const FixedPoint& p : r.apcer_at_bpcer)
    t += row_of(("APCER at BPCER " + percent_name(p.target) + " %").c_str(), p.rates.apcer);
  t += format("  %-24s%8s    %6s  %6s\n", "species", "APCER", "AUC", "n");
  for (const SpeciesReport& s : r.species)
    t +=
        format("  %-24s%8.2f %%  %6.4f  %6lld\n", s.species.name().c_str(), 100 * s.apcer.value(), s.auc, n(s.apcer.n));
  return t;
}

void write_report(const std::filesystem::path& folder, const Report& r) {
  std::error_code ec;
  std::filesystem::create_directories(folder, ec);
  if (ec) throw Error(str(folder.string(), ": cannot make the folder: ", ec.message()));
  write_file_atomically(folder / "metrics.json", to_json(r));
  write_file_atomically(folder / "metrics.csv", metrics_csv(r));
  write_file_atomically(folder / "species.csv", species_csv(r));
}

}  // namespace bonafide
