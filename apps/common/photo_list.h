// apps/common/photo_list.h — what commands that look at every photograph of a folder or a list share: which ones, how one is
// read, what was found in it, in the form that a journal keeps.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/faces/face_detector.h"
#include "data/image.h"
#include "data/manifest.h"
#include "data/work_list.h"

namespace bonafide {

struct PhotoSource {
  std::string src, manifest;  // a folder, or a list: one of the two
  std::string root;           // what the list's filenames are relative to; empty: the list's folder
  std::string dst;            // where outputs go: not entered, and refused where photographs lie in it
  std::vector<std::string> extensions;  // of images below src
};

struct PhotoList {
  Manifest list;
  std::filesystem::path root;
  std::vector<std::size_t> rows;  // of `list`, those without a reject_reason: the inputs of the work
  std::vector<std::string> names;  // one a row: its filename
  std::uint64_t fingerprint = 0;   // data/work_list.h

  const Record& record(std::int64_t input) const { return list.records[rows[std::size_t(input)]]; }
  std::filesystem::path file(std::int64_t input) const { return root / record(input).filename; }
};
// Says on stdout how many other files there are. Throws what list_folder() and read_any_list() throw, and a UsageError where
// outputs would lie among the photographs.
PhotoList read_photo_list(const PhotoSource& source);

// Deletes what an earlier start left half written in `dst` and beside its `outputs` (paths below dst) when it was killed. To be
// called under the journal's lock: that says that it is at work no more.
void clear_away(const std::filesystem::path& dst, const std::vector<std::string>& outputs);

// Every record is an output or a reject, and what was dropped when the list was read is a reject.
void count_rows(RejectList& list, const Manifest& m);

struct Photo {
  Image image;
  int orientation = 1;  // EXIF's; the image is upright already
};
Photo load_photo(const std::string& path, double max_megapixels);  // throws a Rejected with the reason

enum class Select { largest, surest, only };
Select parse_select(const std::string& word);
// Index of the chosen face, or -1: there is none, or there are several and `only` is wanted.
std::int64_t choose_face(std::span<const Face> faces, Select select);

// What is known of one photograph.
struct Found {
  int orientation = 1, width = 0, height = 0;
  std::int64_t faces = 0;  // detected
  bool chosen = false;     // one of them: `face`
  Face face;

  static constexpr std::string_view kBegins = "photo ";  // what text() begins with, and no reason of a reject
  std::string text() const;
  static Found parse(std::string_view text);
};

// A further column of a manifest by name: there already, or added.
class Column {
 public:
  Column(Manifest& m, const char* name);
  void set(Record& r, std::string value) const;

 private:
  std::size_t at_;
};

}  // namespace bonafide
