// data/manifest.h — the list of photographs that every command reads and writes, and converters from the published
// files.
//
// One CSV with a fixed header (docs/data.md has every column and an example):
//   filename,subject,attack_type,split,domain,x1,y1,x2,y2,landmarks,embedding_row,pair_filename,pair_similarity,reject_reason
// and any further columns, which are carried through. Every input row is accounted for: it is a record, or it is in
// `dropped` with a reason; and every record whose whole frame stands in for a missing box is counted in `full_frame`.
#pragma once
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/image.h"
#include "data/label.h"
#include "data/protocol.h"

namespace bonafide {

struct Point {
  float x = 0, y = 0;
  friend bool operator==(const Point&, const Point&) = default;
};

struct Record {
  std::string filename;          // relative to the root folder, or absolute
  std::string subject;           // the person; empty: unknown
  std::optional<Label> label;    // none: unlabelled
  std::string split, domain;     // "train", "val", "test"; the data set or camera
  Box box;                       // the face; not valid(): the whole frame
  std::vector<Point> landmarks;  // left eye, right eye, nose, left and right mouth corner (left: smaller x), or none
  std::int64_t embedding_row = -1;
  std::string pair_filename;  // an attack's genuine partner; empty: none
  double pair_similarity = std::numeric_limits<double>::quiet_NaN();
  std::string reject_reason;       // not empty: kept for the books, not used
  std::vector<std::string> extra;  // one for each of Manifest::extra_columns
  int line = 0;                    // in Manifest::origin

  bool genuine() const { return label && label->genuine(); }
  bool attack() const { return label && !label->genuine(); }
};

struct Manifest {
  struct Dropped {
    std::string filename, reason;
    int line = 0;
  };

  std::string origin;  // the file(s) it was read from
  std::vector<std::string> extra_columns;
  std::vector<Record> records;
  std::vector<Dropped> dropped;
  std::map<std::string, std::int64_t> full_frame;  // reason -> records

  // Records per split and label ("unlabelled" last); dropped rows per reason.
  std::map<std::string, std::map<std::string, std::int64_t>> counts() const;
  std::map<std::string, std::int64_t> dropped_counts() const;
  std::string summary() const;  // the same for people, a few lines
  std::string where(const Record& r) const { return str(origin, ":", r.line); }
  std::int64_t find(const std::string& filename) const;  // index of the record, or -1; linear

  // The records of one split, with everything else left as it is. Throws where there is none, listing the splits.
  Manifest only_split(const std::string& split) const;
};

// Boxes by path, from a CSV with at least path,x1,y1,x2,y2 (others are ignored).
struct BoxTable {
  struct Entry {
    Box box;             // not valid(): no face
    std::string reason;  // why not valid
    int line = 0;
  };
  std::string origin;
  std::unordered_map<std::string, Entry> boxes;
};
// A box with a negative corner, without size, or with a corner missing is no face, as published. Throws: unreadable, a
// missing column, text that is no number, one path with two different boxes.
BoxTable read_box_csv(const std::filesystem::path& path);

struct ProtocolImport {
  std::string split;             // written into every record
  bool keep_duplicates = false;  // evaluation answers every line; training drops a path's second line
};
// Records in protocol order. Without a table every record is the full frame ("no box file").
Manifest manifest_from_protocol(const Protocol& protocol, const BoxTable* boxes = nullptr,
                                const ProtocolImport& options = {});

// The published CSV: path,label_original, and where they are there label, x1..y2, max_live_sim, paired_live_path (and
// subject, domain, split: an argument wins); other columns are carried through. A row is one half of a training pair
// iff paired_live_path is neither empty nor "nan" nor "none". Its genuine half has the box of the row whose path it is;
// where there is no such row, a genuine record with the full frame is added and counted. Throws: a wrong label, `label`
// (0 or 1) against label_original, a genuine row with a partner, a partner that is an attack, a path listed twice.
Manifest read_published_csv(const std::filesystem::path& path, const std::string& split = {});

struct ManifestOptions {
  bool keep_rejected = false;     // else rows with a reject_reason go to `dropped`
  bool empty_is_genuine = false;  // files of tools that leave attack_type empty for genuine (else: unlabelled)
};
// Throws: a missing column, a wrong label or number, landmarks that are no points, a filename listed twice.
Manifest read_manifest(const std::filesystem::path& path, const ManifestOptions& options = {});
// Whatever it is: our manifest, the published CSV (both told by their header), or a protocol (told by the absence of a
// comma in its first line).
Manifest read_any_list(const std::filesystem::path& path, const std::string& split = {}, const ManifestOptions& options = {});
void write_manifest(const std::filesystem::path& path, const Manifest& manifest);
// The published paired list, for read_published_csv() and the published program: all genuine records, then the attacks that
// have a partner, each in list order; records with a reject_reason and attacks without a partner are left out. Columns path,
// label_original, the further ones, label (0 or 1), subject, domain and split where any record has one, max_live_sim,
// paired_live_path, and the box (-1 where there is none) where any record has one.
void write_published_csv(const std::filesystem::path& path, const Manifest& manifest);

}  // namespace bonafide
