// data/manifest.cpp — rows in, records out, nothing lost on the way.
#include "data/manifest.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "data/csv.h"

namespace bonafide {
namespace {

const std::vector<std::string> kHeader = {
    "filename", "subject",   "attack_type",   "split",         "domain",          "x1",           "y1", "x2",
    "y2",       "landmarks", "embedding_row", "pair_filename", "pair_similarity", "reject_reason"};

// Why the whole frame stands in for a box.
constexpr const char* kNoFace = "no face found (a corner of the box is negative)";
constexpr const char* kNoSize = "the box has no size";
constexpr const char* kNoCorners = "a corner of the box is missing";
constexpr const char* kNoColumns = "the file has no box columns";
constexpr const char* kNotInTable = "not in the box file";
constexpr const char* kNoTable = "no box file";
constexpr const char* kNoPartnerRow = "the genuine partner has no row of its own";

struct BoxColumns {
  int x1, y1, x2, y2;
  explicit BoxColumns(const CsvReader& csv)
      : x1(csv.find("x1")), y1(csv.find("y1")), x2(csv.find("x2")), y2(csv.find("y2")) {}
  bool all() const { return x1 >= 0 && y1 >= 0 && x2 >= 0 && y2 >= 0; }
  bool none() const { return x1 < 0 && y1 < 0 && x2 < 0 && y2 < 0; }
  bool is(int column) const { return column == x1 || column == y1 || column == x2 || column == y2; }
};

// The box of the current row, and why it is not one.
std::pair<Box, std::string> read_box(const CsvReader& csv, const BoxColumns& c) {
  const auto x1 = csv.number(c.x1), y1 = csv.number(c.y1), x2 = csv.number(c.x2), y2 = csv.number(c.y2);
  if (!x1 || !y1 || !x2 || !y2) return {Box{}, kNoCorners};
  constexpr double kLargest = 1 << 27;  // no image has a longer side
  if (const double most = std::max({*x1, *y1, *x2, *y2}); most > kLargest)
    csv.fail(str("a corner of the box is at ", most, ": no image is that large"));
  if (const double least = std::min({*x1, *y1, *x2, *y2}); least < -kLargest)
    csv.fail(str("a corner of the box is at ", least));
  const Box box{float(*x1), float(*y1), float(*x2), float(*y2)};
  if (std::min({*x1, *y1, *x2, *y2}) < 0) return {Box{}, kNoFace};
  if (!box.valid()) return {Box{}, kNoSize};
  return {box, {}};
}

std::optional<Label> read_label(const CsvReader& csv, int column) {
  const std::string_view text = csv.field(column);
  if (csv_missing(text)) return std::nullopt;
  const auto label = Label::parse(text);
  if (!label)
    csv.fail(str("column '", csv.header()[std::size_t(column)], "': '", text,
                 "' is no label (expected a code such as 1_0_2, or a name such as print)"));
  return label;
}

// As written; empty where the column is absent.
std::string optional_path(const CsvReader& csv, int column) {
  const std::string_view text = csv.field(column);
  if (!printable_path(text)) csv.fail(str("column '", csv.header()[std::size_t(column)], "': the path holds a control character"));
  return std::string(text);
}

std::string read_path(const CsvReader& csv, int column) {
  std::string text = optional_path(csv, column);
  if (text.empty()) csv.fail(str("column '", csv.header()[std::size_t(column)], "' is empty"));
  return text;
}

// Refuses the second row of a path.
class Once {
 public:
  void check(const CsvReader& csv, const std::string& path) {
    const auto [it, fresh] = lines_.emplace(path, csv.line());
    if (!fresh) csv.fail(str(path, " is listed twice, first in line ", it->second));
  }

 private:
  std::unordered_map<std::string, int> lines_;
};

// "x y;x y;…"
std::vector<Point> parse_landmarks(const CsvReader& csv, std::string_view text) {
  std::vector<Point> points;
  const char *at = text.data(), *const end = text.data() + text.size();
  const auto coordinate = [&](float& v) {
    while (at != end && *at == ' ') ++at;
    const auto [next, error] = std::from_chars(at, end, v);
    if (error != std::errc() || !std::isfinite(v))
      csv.fail(str("column 'landmarks': expected points such as `36.5 40;74 40.25`, found '", text, "'"));
    at = next;
  };
  while (at != end) {
    Point p;
    coordinate(p.x);
    coordinate(p.y);
    points.push_back(p);
    while (at != end && *at == ' ') ++at;
    if (at != end && *at++ != ';')
      csv.fail(str("column 'landmarks': expected a semicolon between points, found '", text, "'"));
  }
  return points;
}

std::string format_landmarks(const std::vector<Point>& points) {
  std::string s;
  for (const Point& p : points) s += str(s.empty() ? "" : ";", format_number(p.x), " ", format_number(p.y));
  return s;
}

void require_records(const Manifest& m) {
  if (!m.records.empty()) return;
  std::string why;
  for (const auto& [reason, n] : m.dropped_counts())
    why += str(why.empty() ? "; dropped: " : ", ", n, " (", reason, ")");
  throw Error(str(m.origin, ": has no usable rows", why));
}

}  // namespace

std::map<std::string, std::map<std::string, std::int64_t>> Manifest::counts() const {
  std::map<std::string, std::map<std::string, std::int64_t>> n;
  for (const Record& r : records) ++n[r.split][r.label ? r.label->name() : "unlabelled"];
  return n;
}

std::map<std::string, std::int64_t> Manifest::dropped_counts() const {
  std::map<std::string, std::int64_t> n;
  for (const Dropped& d : dropped) ++n[d.reason];
  return n;
}

std::string Manifest::summary() const {
  std::string s;
  for (const auto& [split, labels] : counts()) {
    std::int64_t total = 0;
    std::string parts;
    const auto part = [&](const std::string& label, std::int64_t n) {
      parts += str(parts.empty() ? "" : ", ", n, " ", label);
    };
    if (const auto it = labels.find("genuine"); it != labels.end()) part(it->first, it->second);
    for (const auto& [label, n] : labels) {
      total += n;
      if (label != "genuine") part(label, n);
    }
    s += str(split.empty() ? "records" : split, ": ", total, " (", parts, ")\n");
  }
  for (const auto& [reason, n] : full_frame) s += str("full frame: ", n, " (", reason, ")\n");
  for (const auto& [reason, n] : dropped_counts()) s += str("dropped: ", n, " (", reason, ")\n");
  return s;
}

std::int64_t Manifest::find(const std::string& filename) const {
  for (std::size_t i = 0; i < records.size(); ++i)
    if (records[i].filename == filename) return std::int64_t(i);
  return -1;
}

Manifest Manifest::only_split(const std::string& split) const {
  Manifest m = *this;
  std::erase_if(m.records, [&](const Record& r) { return r.split != split; });
  if (!m.records.empty()) return m;
  std::string there;
  for (const auto& [name, labels] : counts()) there += str(there.empty() ? "" : ", ", "'", name, "'");
  throw Error(str(origin, ": no rows of split '", split, "'; there are: ", there));
}

BoxTable read_box_csv(const std::filesystem::path& path) {
  CsvReader csv(path);
  BoxTable table;
  table.origin = csv.name();
  const int path_column = csv.column("path");
  for (const char* c : {"x1", "y1", "x2", "y2"}) csv.column(c);
  const BoxColumns columns(csv);
  while (csv.next()) {
    BoxTable::Entry entry;
    std::tie(entry.box, entry.reason) = read_box(csv, columns);
    entry.line = csv.line();
    const std::string file = read_path(csv, path_column);
    const auto [it, fresh] = table.boxes.emplace(file, entry);
    const Box &a = it->second.box, &b = entry.box;
    if (!fresh && (a.x1 != b.x1 || a.y1 != b.y1 || a.x2 != b.x2 || a.y2 != b.y2))
      csv.fail(str(file, " has another box in line ", it->second.line));
  }
  if (table.boxes.empty()) throw Error(str(table.origin, ": has a header and no rows"));
  return table;
}

Manifest manifest_from_protocol(const Protocol& protocol, const BoxTable* boxes, const ProtocolImport& options) {
  Manifest m;
  m.origin = protocol.origin;
  std::unordered_map<std::string_view, int> seen;
  for (const ProtocolEntry& e : protocol.entries) {
    if (const auto [it, fresh] = seen.emplace(e.path, e.line); !fresh && !options.keep_duplicates) {
      m.dropped.push_back({e.path, "listed before", e.line});
      continue;
    }
    Record r;
    r.filename = e.path;
    r.label = e.label;
    r.split = options.split;
    r.line = e.line;
    std::string reason = kNoTable;
    if (boxes) {
      const auto it = boxes->boxes.find(e.path);
      reason = it == boxes->boxes.end() ? kNotInTable : it->second.reason;
      if (it != boxes->boxes.end()) r.box = it->second.box;
    }
    if (!r.box.valid()) ++m.full_frame[reason];
    m.records.push_back(std::move(r));
  }
  return m;
}

Manifest read_published_csv(const std::filesystem::path& path, const std::string& split) {
  CsvReader csv(path);
  Manifest m;
  m.origin = csv.name();
  const int path_column = csv.column("path"), label_column = csv.column("label_original");
  const int binary = csv.find("label"), partner = csv.find("paired_live_path"), similarity = csv.find("max_live_sim");
  const BoxColumns box(csv);
  if (!box.all() && !box.none()) throw Error(str(m.origin, ":1: has some of the columns x1, y1, x2, y2 and not all"));
  const int subject = csv.find("subject"), domain = csv.find("domain"),
            split_column = split.empty() ? csv.find("split") : -1;
  std::vector<int> extra;
  for (int c = 0; c < int(csv.header().size()); ++c) {
    const std::string& name = csv.header()[std::size_t(c)];
    if (c == path_column || c == label_column || c == partner || c == similarity || c == subject || c == domain ||
        name == "split" || box.is(c))
      continue;
    if (std::find(kHeader.begin(), kHeader.end(), name) != kHeader.end())
      throw Error(str(m.origin, ":1: column '", name, "' belongs to our manifest, not to a published list; rename it"));
    extra.push_back(c);
    m.extra_columns.push_back(name);
  }

  Once once;
  while (csv.next()) {
    Record r;
    r.line = csv.line();
    r.filename = read_path(csv, path_column);
    once.check(csv, r.filename);
    r.label = read_label(csv, label_column);
    r.subject = csv.field(subject);
    r.domain = csv.field(domain);
    r.split = split.empty() ? std::string(csv.field(split_column)) : split;
    if (const auto b = csv.number(binary); b && r.label && (*b != 0) != !r.label->genuine())
      csv.fail(str("label ", csv.field(binary), " contradicts label_original ", r.label->code()));
    std::string reason = kNoColumns;
    if (box.all()) std::tie(r.box, reason) = read_box(csv, box);
    if (!r.box.valid()) ++m.full_frame[reason];
    if (const std::string p = optional_path(csv, partner); !csv_missing(p)) {
      if (!r.attack())
        csv.fail(str("a ", r.label ? "genuine" : "unlabelled", " row has a paired_live_path; only attacks are paired"));
      r.pair_filename = p;
      if (const auto s = csv.number(similarity)) r.pair_similarity = *s;
    }
    for (const int c : extra) r.extra.emplace_back(csv.field(c));
    m.records.push_back(std::move(r));
  }
  require_records(m);

  std::unordered_map<std::string, std::size_t> row_of;
  for (std::size_t i = 0; i < m.records.size(); ++i) row_of.emplace(m.records[i].filename, i);
  for (std::size_t i = 0, n = m.records.size(); i < n; ++i) {
    if (m.records[i].pair_filename.empty()) continue;
    const auto [it, missing] = row_of.emplace(m.records[i].pair_filename, m.records.size());
    if (!missing) {
      const Record& live = m.records[it->second];
      if (!live.genuine())
        throw Error(str(m.where(m.records[i]), ": its paired_live_path ", live.filename, " is ",
                        live.label ? live.label->code() : "unlabelled", " (line ", live.line, "), not genuine"));
      continue;
    }
    Record live;
    live.filename = m.records[i].pair_filename;
    live.label = Label{};
    live.split = m.records[i].split;
    live.line = m.records[i].line;
    live.extra.resize(m.extra_columns.size());
    ++m.full_frame[kNoPartnerRow];
    m.records.push_back(std::move(live));
  }
  return m;
}

Manifest read_manifest(const std::filesystem::path& path, const ManifestOptions& options) {
  CsvReader csv(path);
  Manifest m;
  m.origin = csv.name();
  std::vector<int> at;
  for (const std::string& name : kHeader) at.push_back(csv.column(name));
  const auto column = [&](const char* name) {
    return at[std::size_t(std::find(kHeader.begin(), kHeader.end(), name) - kHeader.begin())];
  };
  std::vector<int> extra;
  for (int c = 0; c < int(csv.header().size()); ++c)
    if (std::find(at.begin(), at.end(), c) == at.end()) {
      extra.push_back(c);
      m.extra_columns.push_back(csv.header()[std::size_t(c)]);
    }
  const BoxColumns box(csv);
  const int filename = column("filename"), label = column("attack_type"), reject = column("reject_reason");
  const int embedding = column("embedding_row"), similarity = column("pair_similarity");

  Once once;
  while (csv.next()) {
    Record r;
    r.line = csv.line();
    r.filename = read_path(csv, filename);
    once.check(csv, r.filename);
    r.subject = csv.field(column("subject"));
    r.label = read_label(csv, label);
    if (!r.label && options.empty_is_genuine) r.label = Label{};
    r.split = csv.field(column("split"));
    r.domain = csv.field(column("domain"));
    std::string reason;
    std::tie(r.box, reason) = read_box(csv, box);
    r.landmarks = parse_landmarks(csv, csv.field(column("landmarks")));
    r.embedding_row = csv.integer(embedding).value_or(-1);
    r.pair_filename = optional_path(csv, column("pair_filename"));
    if (!r.pair_filename.empty() && !r.attack()) csv.fail("only attacks have a pair_filename");
    if (const auto s = csv.number(similarity)) r.pair_similarity = *s;
    r.reject_reason = csv.field(reject);
    for (const int c : extra) r.extra.emplace_back(csv.field(c));
    if (!r.reject_reason.empty() && !options.keep_rejected) {
      m.dropped.push_back({r.filename, r.reject_reason, r.line});
      continue;
    }
    if (!r.box.valid()) ++m.full_frame[reason];
    m.records.push_back(std::move(r));
  }
  require_records(m);
  return m;
}

Manifest read_any_list(const std::filesystem::path& path, const std::string& split, const ManifestOptions& options) {
  const std::string text = read_file(path);
  const std::string_view first = std::string_view(text).substr(0, text.find('\n'));
  if (first.find(',') == std::string_view::npos)
    return manifest_from_protocol(parse_protocol(text, path.string()), nullptr, {split});
  const CsvReader csv(text, path.string());
  if (csv.find("label_original") >= 0) return read_published_csv(path, split);
  if (csv.find("filename") < 0)
    throw Error(str(path.string(),
                    ":1: is neither our manifest (filename,…), nor a published list (path,label_original,…), "
                    "nor a protocol (`path label` a line)"));
  return split.empty() ? read_manifest(path, options) : read_manifest(path, options).only_split(split);
}

void write_manifest(const std::filesystem::path& path, const Manifest& manifest) {
  std::vector<std::string> header = kHeader;
  header.insert(header.end(), manifest.extra_columns.begin(), manifest.extra_columns.end());
  CsvWriter csv(path, header);
  for (const Record& r : manifest.records) {
    const auto corner = [&](float v) { return r.box.valid() ? format_number(v) : std::string(); };
    std::vector<std::string> row = {r.filename,
                                    r.subject,
                                    r.label ? r.label->code() : std::string(),
                                    r.split,
                                    r.domain,
                                    corner(r.box.x1),
                                    corner(r.box.y1),
                                    corner(r.box.x2),
                                    corner(r.box.y2),
                                    format_landmarks(r.landmarks),
                                    r.embedding_row < 0 ? std::string() : str(r.embedding_row),
                                    r.pair_filename,
                                    std::isnan(r.pair_similarity) ? std::string() : format_number(r.pair_similarity),
                                    r.reject_reason};
    row.insert(row.end(), r.extra.begin(), r.extra.end());
    row.resize(header.size());
    csv.row(row);
  }
  csv.commit();
}

void write_published_csv(const std::filesystem::path& path, const Manifest& manifest) {
  const auto any = [&](const auto& has) { return std::any_of(manifest.records.begin(), manifest.records.end(), has); };
  const auto& extra = manifest.extra_columns;
  const bool label = std::find(extra.begin(), extra.end(), "label") == extra.end();
  const bool subject = any([](const Record& r) { return !r.subject.empty(); });
  const bool domain = any([](const Record& r) { return !r.domain.empty(); });
  const bool split = any([](const Record& r) { return !r.split.empty(); });
  const bool box = any([](const Record& r) { return r.box.valid(); });
  std::vector<std::string> header{"path", "label_original"};
  header.insert(header.end(), extra.begin(), extra.end());
  const std::pair<bool, const char*> optional[] = {{label, "label"}, {subject, "subject"}, {domain, "domain"}, {split, "split"}};
  for (const auto& [there, name] : optional)
    if (there) header.push_back(name);
  header.insert(header.end(), {"max_live_sim", "paired_live_path"});
  if (box) header.insert(header.end(), {"x1", "y1", "x2", "y2"});

  CsvWriter csv(path, header);
  for (const bool attacks : {false, true})
    for (const Record& r : manifest.records) {
      if (!r.reject_reason.empty() || !(attacks ? r.attack() && !r.pair_filename.empty() : r.genuine())) continue;
      std::vector<std::string> row{r.filename, r.label->code()};
      row.insert(row.end(), r.extra.begin(), r.extra.end());
      row.resize(2 + extra.size());
      if (label) row.push_back(attacks ? "1" : "0");
      if (subject) row.push_back(r.subject);
      if (domain) row.push_back(r.domain);
      if (split) row.push_back(r.split);
      row.push_back(std::isnan(r.pair_similarity) ? std::string() : format_number(r.pair_similarity));
      row.push_back(r.pair_filename);
      if (box)
        for (const float corner : {r.box.x1, r.box.y1, r.box.x2, r.box.y2}) row.push_back(r.box.valid() ? format_number(corner) : "-1");
      csv.row(row);
    }
  csv.commit();
}

}  // namespace bonafide
