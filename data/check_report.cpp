// data/check_report.cpp — findings as a text for people and as data.json.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/check.h"

namespace bonafide {
namespace {

using Json = nlohmann::ordered_json;

std::string percent(std::int64_t n, std::int64_t of) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f%%", of ? 100 * double(n) / double(of) : 0.0);
  return text;
}

std::string table_line(const std::string& split, const std::string& species, const std::string& images, const std::string& pairs, const std::string& no_face) {
  char text[512];
  std::snprintf(text, sizeof text, "%-12s %-26s %9s %9s %9s\n", split.c_str(), species.c_str(), images.c_str(), pairs.c_str(), no_face.c_str());
  return text;
}

}  // namespace

std::string to_text(const CheckReport& r, std::int64_t rows_shown) {
  std::string s = table_line("split", "species", "images", "pairs", "no face");
  for (const auto& [split, species] : r.counts)
    for (const auto& [name, n] : species)
      s += table_line(split, name, str(n.images), n.pairs ? str(n.pairs) : "", n.no_face ? percent(n.no_face, n.images) : "");
  s += str(r.rows, " rows, ", r.rejected, " of them rejected");
  if (r.images) s += str("; ", r.images, " photographs ", r.decoded ? "decoded" : "looked at (headers only)", ", ", r.unreadable, " unreadable");
  if (r.embeddings) s += str("; ", r.embeddings, " embeddings");
  s += "\n";
  for (const Finding& f : r.findings) {
    s += str("\n", name_of(f.severity), " [", f.check, "] ", f.what, f.rows.empty() ? "" : str(" (", f.count, ")"), "\n");
    const auto shown = std::min<std::int64_t>(rows_shown, std::int64_t(f.rows.size()));
    for (std::int64_t i = 0; i < shown; ++i) s += "  " + f.rows[std::size_t(i)] + "\n";
    if (f.count > shown && !f.rows.empty()) s += str("  … and ", f.count - shown, " more\n");
  }
  s += str("\n", r.count(Severity::error), " errors, ", r.count(Severity::warning), " warnings, ", r.count(Severity::note), " notes\n");
  return s;
}

std::string to_json(const CheckReport& r, const CheckSettings& settings, const std::map<std::string, std::string>& provenance) {
  Json j{{"format", "bonafide data check 1"}, {"provenance", provenance}};
  j["settings"] = {{"min_images", settings.min_images},         {"max_no_face", settings.max_no_face},   {"max_outside", settings.max_outside},
                   {"hash_distance", settings.hash_distance},   {"near_duplicate", settings.near_duplicate}, {"same_person", settings.same_person},
                   {"neighbours", settings.neighbours},         {"label_margin", settings.label_margin}, {"most_rows", settings.most_rows}};
  for (const auto& [check, severity] : settings.severity) j["settings"]["severity"][check] = name_of(severity);
  j["rows"] = r.rows, j["rejected"] = r.rejected, j["images"] = r.images, j["unreadable"] = r.unreadable;
  j["decoded"] = r.decoded, j["embeddings"] = r.embeddings;
  j["counts"] = Json::object();
  for (const auto& [split, species] : r.counts)
    for (const auto& [name, n] : species) j["counts"][split][name] = {{"images", n.images}, {"no_face", n.no_face}, {"pairs", n.pairs}};
  j["errors"] = r.count(Severity::error), j["warnings"] = r.count(Severity::warning), j["notes"] = r.count(Severity::note);
  j["findings"] = Json::array();
  for (const Finding& f : r.findings)
    j["findings"].push_back({{"severity", name_of(f.severity)}, {"check", f.check}, {"what", f.what}, {"count", f.count}, {"rows", f.rows}});
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";  // names of files may be no UTF-8
}

}  // namespace bonafide
