// data/check.cpp — the checks of lists and photographs. Those of embeddings: check_embeddings.cpp; the report: check_report.cpp.
#include "data/check.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <unordered_map>

#include "data/check_findings.h"
#include "data/perceptual_hash.h"

namespace bonafide {
namespace {

std::string species_of(const Record& r) { return r.label ? r.label->name() : "unlabelled"; }

std::string percent(std::int64_t n, std::int64_t of) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * double(n) / double(std::max<std::int64_t>(1, of)));
  return text;
}

void check_labels(Findings& f, const std::vector<CheckRow>& rows) {
  auto unlabelled = f.rows(Severity::warning, "labels");
  auto contradictions = f.rows(Severity::error, "labels");
  std::unordered_map<std::string_view, const CheckRow*> seen;
  for (const CheckRow& r : rows) {
    const Record& record = f.record(r);
    if (!record.label) {
      unlabelled.add(f.where(r));
      continue;
    }
    const auto [it, fresh] = seen.emplace(record.filename, &r);
    if (!fresh && f.record(*it->second).label != record.label)
      contradictions.add(str(f.where(r), ": is ", record.label->code(), ", and ", f.record(*it->second).label->code(), " in ", f.where(*it->second)));
  }
  contradictions.done("a photograph has two labels");
  unlabelled.done("rows have no label: training does not use them");
}

void check_counts(Findings& f, const CheckReport& report, const CheckSettings& settings) {
  for (const auto& [split, species] : report.counts) {
    std::int64_t genuine = 0, attacks = 0;
    for (const auto& [name, n] : species) {
      if (name == "unlabelled") continue;
      (name == "genuine" ? genuine : attacks) += n.images;
      if (n.images < settings.min_images)
        f.add(Severity::warning, "counts", str("split ", split, " has ", n.images, " ", name, ", fewer than ", settings.min_images), n.images);
    }
    if (attacks > 0 && genuine == 0) f.add(Severity::error, "counts", str("split ", split, " has ", attacks, " attacks and no genuine photograph"), attacks);
    if (attacks == 0 && genuine > 0)
      f.add(Severity::warning, "counts", str("split ", split, " has ", genuine, " genuine photographs and no attack (enough for simulated ones only)"), genuine);
  }
}

void check_faces(Findings& f, const CheckReport& report, const std::vector<CheckRow>& rows, const CheckSettings& settings) {
  for (const auto& [split, species] : report.counts)
    for (const auto& [name, n] : species) {
      if (double(n.no_face) <= settings.max_no_face * double(n.images)) continue;
      auto found = f.rows(Severity::warning, "no-face");
      for (const CheckRow& r : rows)
        if (r.split == split && species_of(f.record(r)) == name && !f.record(r).box.valid()) found.add(f.where(r));
      found.done(n.no_face, " of ", n.images, " ", name, " in ", split, " (", percent(n.no_face, n.images), ") have no face box, more than ",
                 settings.max_no_face * 100, " %: their whole frame is used, which a network can tell from a crop");
    }
}

void check_pairs(Findings& f, const CheckReport& report, const std::vector<CheckRow>& rows) {
  std::map<std::size_t, std::unordered_map<std::string_view, const CheckRow*>> by_name;  // of each list
  for (const CheckRow& r : rows) by_name[r.list].emplace(f.record(r).filename, &r);
  auto missing = f.rows(Severity::error, "pairs"), attacks = f.rows(Severity::error, "pairs"), apart = f.rows(Severity::error, "pairs");
  for (const CheckRow& r : rows) {
    const std::string& partner = f.record(r).pair_filename;
    if (partner.empty()) continue;
    const auto& names = by_name[r.list];
    const auto it = names.find(partner);
    if (it == names.end())
      missing.add(str(f.where(r), ": its partner ", partner, " is not in the list"));
    else if (!f.record(*it->second).genuine())
      attacks.add(str(f.where(r), ": its partner ", partner, " is ", species_of(f.record(*it->second))));
    else if (it->second->split != r.split)
      apart.add(str(f.where(r), ": its partner ", partner, " is in split ", it->second->split));
  }
  missing.done("the genuine partner of an attack is missing");
  attacks.done("the partner of an attack is not genuine");
  apart.done("an attack and its genuine partner are in different splits");
  for (const auto& [split, species] : report.counts) {
    if (std::none_of(species.begin(), species.end(), [](const auto& s) { return s.second.pairs > 0; })) continue;  // not a list of pairs
    for (const auto& [name, n] : species)
      if (n.pairs == 0 && name != "genuine" && name != "unlabelled")
        f.add(Severity::error, "lost-species", str("none of the ", n.images, " ", name, " in ", split, " has a partner: training on pairs never sees one"), n.images);
  }
}

void check_files(Findings& f, const std::vector<CheckRow>& rows) {
  auto again = f.rows(Severity::error, "splits");
  std::unordered_map<std::string_view, const CheckRow*> seen;
  for (const CheckRow& r : rows) {
    const auto [it, fresh] = seen.emplace(f.record(r).filename, &r);
    if (!fresh && it->second->split != r.split) again.add(str(f.where(r), ": split ", r.split, ", and ", it->second->split, " in ", f.where(*it->second)));
  }
  again.done("a photograph is in two splits");
}

void check_subjects(Findings& f, const std::vector<CheckRow>& rows) {
  std::map<std::string_view, std::map<std::string_view, std::pair<std::int64_t, const CheckRow*>>> where;
  for (const CheckRow& r : rows) {
    if (f.record(r).subject.empty()) continue;
    auto& [n, first] = where[f.record(r).subject][r.split];
    if (n++ == 0) first = &r;
  }
  auto found = f.rows(Severity::error, "subjects");
  for (const auto& [subject, splits] : where) {
    if (splits.size() < 2) continue;
    std::string list;
    for (const auto& [split, n] : splits) list += str(list.empty() ? "" : ", ", n.first, " in ", split, " (", f.where(*n.second), ")");
    found.add(str("subject ", subject, ": ", list));
  }
  found.done("a person is in more than one split");
}

// Share of the box that lies outside the photograph.
double outside(const Box& b, const ImageFacts& p) {
  const double all = (double(b.x2) - b.x1) * (double(b.y2) - b.y1);
  const double w = std::max(0.0, std::min(double(b.x2), double(p.width)) - b.x1), h = std::max(0.0, std::min(double(b.y2), double(p.height)) - b.y1);
  return 1 - w * h / all;
}

void check_photographs(Findings& f, const std::vector<CheckRow>& rows, const std::vector<CheckedImage>& images, const CheckSettings& settings) {
  auto missing = f.rows(Severity::error, "paths"), broken = f.rows(Severity::error, "decode"), turned = f.rows(Severity::note, "exif");
  for (const CheckedImage& i : images) {
    const CheckRow r{i.list, i.record, {}, -1};
    if (!i.problem.empty()) (i.missing ? missing : broken).add(str(f.where(r), ": ", i.problem));
    if (i.facts.orientation != 1) turned.add(str(f.where(r), ": EXIF orientation ", i.facts.orientation));
  }
  missing.done("photographs are not there");
  broken.done("photographs cannot be read");
  turned.done("photographs are stood upright by their EXIF orientation: boxes must be those of the upright ones");

  auto beside = f.rows(Severity::error, "boxes"), across = f.rows(Severity::warning, "boxes");
  for (const CheckRow& r : rows) {
    const CheckedImage& i = images[std::size_t(r.image)];
    const Box& b = f.record(r).box;
    if (!b.valid() || !i.problem.empty() || i.facts.width < 1) continue;
    const double share = outside(b, i.facts);
    const auto text = [&] { return str(f.where(r), ": ", b.x1, ",", b.y1, ",", b.x2, ",", b.y2, " in ", i.facts.width, " x ", i.facts.height); };
    if (share >= 1) beside.add(text());
    else if (share > settings.max_outside) across.add(text());
  }
  beside.done("a box lies wholly outside its photograph: the whole frame would be used");
  across.done("more than ", settings.max_outside * 100, " % of a box lies outside its photograph");
}

// Same bytes, and nearly the same pictures, in different splits. One row a photograph: its first.
void check_duplicates(Findings& f, const std::vector<CheckRow>& rows, const std::vector<CheckedImage>& images, bool near, const CheckSettings& settings) {
  std::unordered_map<std::int64_t, const CheckRow*> row_of;
  for (const CheckRow& r : rows) row_of.emplace(r.image, &r);
  std::vector<const CheckRow*> firsts;
  for (std::size_t i = 0; i < images.size(); ++i)
    if (images[i].problem.empty()) firsts.push_back(row_of.at(std::int64_t(i)));

  auto across = f.rows(Severity::error, "duplicates"), labels = f.rows(Severity::error, "duplicates"), within = f.rows(Severity::note, "duplicates");
  std::unordered_map<std::uint64_t, std::vector<const CheckRow*>> same;
  for (const CheckRow* r : firsts) {
    std::vector<const CheckRow*>& others = same[images[std::size_t(r->image)].facts.digest];
    // The first of another split, of another label, or of all: what says most.
    const auto first = [&](const auto& differs) {
      const auto it = std::find_if(others.begin(), others.end(), differs);
      return it == others.end() ? nullptr : *it;
    };
    const Record& record = f.record(*r);
    if (const CheckRow* o = first([&](const CheckRow* c) { return f.record(*c).label != record.label; }))
      labels.add(str(f.where(*r), ": ", species_of(record), ", and ", species_of(f.record(*o)), " as ", f.where(*o)));
    if (const CheckRow* o = first([&](const CheckRow* c) { return c->split != r->split; }))
      across.add(str(f.where(*r), ": split ", r->split, ", and ", o->split, " as ", f.where(*o)));
    else if (!others.empty())
      within.add(str(f.where(*r), ": the same as ", f.where(*others.front())));
    // A few of a kind are enough: one for each split and label.
    if (std::none_of(others.begin(), others.end(), [&](const CheckRow* c) { return c->split == r->split && f.record(*c).label == record.label; }))
      others.push_back(r);
  }
  across.done("the same picture is in two splits");
  labels.done("the same picture has two labels");
  within.done("the same picture comes twice in a split");
  if (!near) return;

  std::map<std::string_view, int> number;
  std::vector<std::uint64_t> hashes;
  std::vector<int> groups;
  std::vector<const CheckRow*> hashed;
  for (const CheckRow* r : firsts) {
    const auto& hash = images[std::size_t(r->image)].facts.hash;
    if (!hash) continue;
    hashes.push_back(*hash);
    groups.push_back(number.emplace(r->split, int(number.size())).first->second);
    hashed.push_back(r);
  }
  auto nearly = f.rows(Severity::error, "near-duplicates");
  const auto matches = nearest_in_other_group(hashes, groups, settings.hash_distance);
  for (std::size_t i = 0; i < matches.size(); ++i) {
    if (matches[i].other < 0) continue;
    const CheckRow &a = *hashed[i], &b = *hashed[std::size_t(matches[i].other)];
    if (images[std::size_t(a.image)].facts.digest == images[std::size_t(b.image)].facts.digest) continue;  // said above
    nearly.add(str(f.where(a), ": split ", a.split, ", ", matches[i].distance, " of 64 bits from ", f.where(b), " in ", b.split));
  }
  nearly.done("nearly the same picture is in two splits (perceptual hashes at most ", settings.hash_distance, " bits apart)");
}

}  // namespace

const char* name_of(Severity s) { return s == Severity::note ? "note" : s == Severity::warning ? "warning" : "error"; }

const std::vector<std::pair<std::string, Severity>>& checks() {
  static const std::vector<std::pair<std::string, Severity>> all = {
      {"list", Severity::error},         {"rejected", Severity::note},         {"labels", Severity::error},
      {"counts", Severity::error},       {"no-face", Severity::warning},       {"pairs", Severity::error},
      {"lost-species", Severity::error}, {"splits", Severity::error},          {"subjects", Severity::error},
      {"paths", Severity::error},        {"decode", Severity::error},          {"exif", Severity::note},
      {"boxes", Severity::error},        {"duplicates", Severity::error},      {"near-duplicates", Severity::error},
      {"embeddings", Severity::error},   {"people", Severity::warning},        {"label-errors", Severity::warning}};
  return all;
}

std::int64_t CheckReport::count(Severity s) const {
  return std::count_if(findings.begin(), findings.end(), [&](const Finding& f) { return f.severity == s; });
}

std::vector<CheckedImage> images_of(const std::vector<CheckedList>& lists) {
  std::vector<CheckedImage> images;
  std::set<std::string_view> seen;
  for (std::size_t l = 0; l < lists.size(); ++l)
    for (std::size_t i = 0; i < lists[l].manifest.records.size(); ++i) {
      const Record& r = lists[l].manifest.records[i];
      if (r.reject_reason.empty() && seen.insert(r.filename).second) images.push_back({r.filename, l, i, {}, {}, false});
    }
  return images;
}

std::string probe_result(const ImageProbe& probe, const std::vector<CheckedList>& lists, const CheckedImage& image, bool decode) {
  if (!probe.there(image.filename)) throw Rejected("missing");
  try {
    const ImageFacts f = probe.probe(image.filename, lists[image.list].manifest.records[image.record].box, decode);
    return str(f.width, " ", f.height, " ", f.orientation, " ", f.digest, f.hash ? str(" ", *f.hash) : "");
  } catch (const Error& e) {
    const std::string what = e.what();
    const std::size_t at = what.find(image.filename + ": ");
    throw Rejected(at == what.npos ? what : what.substr(at + image.filename.size() + 2));
  }
}

void set_result(CheckedImage& image, std::string_view result) {
  std::vector<std::uint64_t> v;
  for (const char *at = result.data(), *end = at + result.size(); at < end;) {
    const auto [next, error] = std::from_chars(at, end, v.emplace_back());
    BF_CHECK(error == std::errc(), "a result of check: '", result, "'");
    at = next + 1;
  }
  BF_CHECK(v.size() == 4 || v.size() == 5, "a result of check: '", result, "'");
  image.facts = {int(v[1]), int(v[0]), int(v[2]), v[3], {}};
  if (v.size() == 5) image.facts.hash = v[4];
}

CheckReport check(const std::vector<CheckedList>& lists, const std::vector<CheckedImage>& images, bool decoded, const EmbeddingsFile* embeddings,
                  Context* ctx, const CheckSettings& settings, const std::function<void(double share)>& progress) {
  CheckReport report;
  Findings f(lists, settings);
  std::unordered_map<std::string_view, std::int64_t> image_of;
  for (std::size_t i = 0; i < images.size(); ++i) image_of.emplace(images[i].filename, std::int64_t(i));
  std::vector<CheckRow> rows;
  auto rejected = f.rows(Severity::note, "rejected");
  for (std::size_t l = 0; l < lists.size(); ++l) {
    const Manifest& m = lists[l].manifest;
    for (std::size_t i = 0; i < m.records.size(); ++i) {
      const Record& r = m.records[i];
      ++report.rows;
      if (!r.reject_reason.empty()) {
        ++report.rejected;
        rejected.add(str(m.where(r), ": ", r.filename, ": ", r.reject_reason));
        continue;
      }
      const auto it = image_of.find(r.filename);
      rows.push_back({l, i, r.split.empty() ? lists[l].name : r.split, it == image_of.end() ? -1 : it->second});
      CheckReport::Count& n = report.counts[rows.back().split][species_of(r)];
      ++n.images;
      n.no_face += !r.box.valid();
      n.pairs += !r.pair_filename.empty();
    }
    for (const Manifest::Dropped& d : m.dropped) {
      ++report.rows, ++report.rejected;
      rejected.add(str(m.origin, ":", d.line, ": ", d.filename, ": ", d.reason));
    }
  }
  rejected.done("rows are in the list for the books only");
  check_labels(f, rows);
  check_counts(f, report, settings);
  check_faces(f, report, rows, settings);
  check_pairs(f, report, rows);
  check_files(f, rows);
  check_subjects(f, rows);
  report.decoded = decoded;
  report.images = std::int64_t(images.size());
  if (!images.empty()) {
    for (const CheckedImage& i : images) report.unreadable += !i.problem.empty();
    check_photographs(f, rows, images, settings);
    check_duplicates(f, rows, images, decoded && !embeddings, settings);
  }
  if (embeddings) {
    BF_CHECK(ctx, "embeddings are compared on a device");
    report.embeddings = check_embeddings(f, rows, *embeddings, *ctx, settings, progress);
  }
  report.findings = std::move(f.all);
  std::stable_sort(report.findings.begin(), report.findings.end(), [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  return report;
}

}  // namespace bonafide
