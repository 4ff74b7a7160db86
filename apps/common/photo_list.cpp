// apps/common/photo_list.cpp
#include "apps/common/photo_list.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <set>

#include "apps/common/exit_codes.h"
#include "data/images/decode.h"
#include "data/images/header.h"
#include "data/list_folder.h"
#include "engine/digest.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

bool lies_in(const fs::path& path, const fs::path& folder) {
  const fs::path p = fs::weakly_canonical(path), f = fs::weakly_canonical(folder);
  return std::mismatch(f.begin(), f.end(), p.begin(), p.end()).first == f.end();
}

}  // namespace

PhotoList read_photo_list(const PhotoSource& o) {
  PhotoList in;
  InputFingerprint fingerprint;
  in.root = !o.src.empty() ? fs::path(o.src) : !o.root.empty() ? fs::path(o.root) : fs::path(o.manifest).parent_path();
  if (lies_in(in.root.empty() ? "." : in.root, o.dst))
    throw UsageError(str("--dst ", o.dst, " is the folder of the photographs or one above it: outputs would lie among them"));
  if (!o.src.empty()) {
    const FolderListing listing = list_folder(o.src, o.extensions, fs::exists(o.dst) ? fs::path(o.dst) : fs::path());
    in.list = manifest_of_folder(o.src, listing, o.extensions);
    if (listing.others) std::printf("%lld other files in %s are left alone\n", (long long)listing.others, o.src.c_str());
  } else {
    in.list = read_any_list(o.manifest, {}, {.keep_rejected = true});
    fingerprint.add(file_digest(o.manifest));
  }
  for (std::size_t i = 0; i < in.list.records.size(); ++i) {
    const Record& r = in.list.records[i];
    if (!r.reject_reason.empty()) continue;
    in.rows.push_back(i);
    in.names.push_back(r.filename);
    fingerprint.add_file(in.root / r.filename, r.filename);
  }
  in.fingerprint = fingerprint.value();
  return in;
}

void clear_away(const fs::path& dst, const std::vector<std::string>& outputs) {
  std::set<fs::path> folders{dst};
  for (const std::string& output : outputs) folders.insert((dst / output).parent_path());
  for (const fs::path& folder : folders) remove_abandoned_files(folder);
}

void count_rows(RejectList& list, const Manifest& m) {
  for (const Record& r : m.records)
    if (r.reject_reason.empty())
      list.accept();
    else
      list.reject(r.filename, r.reject_reason);
  for (const Manifest::Dropped& d : m.dropped) list.reject(d.filename, d.reason);
}

Photo load_photo(const std::string& path, double max_megapixels) {
  try {
    const std::string file = read_image_file(path);
    const Span<const std::uint8_t> bytes{reinterpret_cast<const std::uint8_t*>(file.data()), std::int64_t(file.size())};
    Photo photo{decode_image_bytes(bytes, path, std::int64_t(max_megapixels * 1e6)), 1};
    if (const auto header = images::read_header(bytes); header && header->format == images::Format::jpeg)
      photo.orientation = images::exif_orientation(bytes);
    return photo;
  } catch (const Error& e) {
    throw Rejected(reason_of(e, path));
  }
}

Select parse_select(const std::string& word) {
  BF_CHECK(word == "largest" || word == "surest" || word == "only", "select '", word, "'");
  return word == "surest" ? Select::surest : word == "only" ? Select::only : Select::largest;
}

std::int64_t choose_face(std::span<const Face> faces, Select select) {
  if (select == Select::only && faces.size() > 1) return -1;
  return select == Select::surest ? surest_face(faces) : largest_face(faces);
}

std::string Found::text() const {
  std::string s = str(kBegins, orientation, " ", width, " ", height, " ", faces);
  if (!chosen) return s;
  for (const float v : {face.score, face.box.x1, face.box.y1, face.box.x2, face.box.y2}) s += " " + format_number(v);
  for (const Point& p : face.landmarks) s += str(" ", format_number(p.x), " ", format_number(p.y));
  return s;
}

Found Found::parse(std::string_view text) {
  std::vector<double> v;
  text.remove_prefix(kBegins.size());
  for (const char *at = text.data(), *end = at + text.size(); at < end;) {
    const auto [next, error] = std::from_chars(at, end, v.emplace_back());
    BF_CHECK(error == std::errc(), "what was found in a photograph: '", text, "'");
    at = next + 1;
  }
  BF_CHECK(v.size() == 4 || (v.size() >= 9 && v.size() % 2 == 1), "what was found in a photograph: '", text, "'");
  Found f{int(v[0]), int(v[1]), int(v[2]), std::int64_t(v[3]), v.size() > 4, {}};
  if (!f.chosen) return f;
  f.face = {{float(v[5]), float(v[6]), float(v[7]), float(v[8])}, float(v[4]), {}};
  for (std::size_t i = 9; i < v.size(); i += 2) f.face.landmarks.push_back({float(v[i]), float(v[i + 1])});
  return f;
}

Column::Column(Manifest& m, const char* name) {
  const auto it = std::find(m.extra_columns.begin(), m.extra_columns.end(), name);
  at_ = std::size_t(it - m.extra_columns.begin());
  if (it == m.extra_columns.end()) m.extra_columns.emplace_back(name);
}
void Column::set(Record& r, std::string value) const {
  if (r.extra.size() <= at_) r.extra.resize(at_ + 1);
  r.extra[at_] = std::move(value);
}

}  // namespace bonafide
