// data/check.h — looks for what is wrong with lists, photographs and embeddings before any training minute is spent on them.
//
// Every check has a name and gives at most a few findings; each finding says what, how many, and which rows. What a finding is
// worth is its severity: `error` (training on this would be wrong, or stop), `warning` (look at it), `note` (worth knowing).
// docs/data.md has the table of checks.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/embeddings.h"
#include "data/image_probe.h"
#include "data/manifest.h"
#include "data/work_list.h"
#include "engine/context.h"

namespace bonafide {

enum class Severity : std::uint8_t { note, warning, error };
const char* name_of(Severity);

struct Finding {
  Severity severity = Severity::note;
  std::string check;              // "duplicates": names_of_checks() has them all
  std::string what;               // one sentence
  std::int64_t count = 0;         // rows it is about
  std::vector<std::string> rows;  // "train.csv:7: anna/1.jpg: …", the first CheckSettings::most_rows of them
};

struct CheckSettings {
  std::int64_t min_images = 10;      // of a species in a split, else a warning
  double max_no_face = 0.05;         // share of a species' images in a split without a box, else a warning
  double max_outside = 0.25;         // share of a box that may lie outside its photograph, else a warning
  int hash_distance = 4;             // bits of 64 that perceptual hashes of nearly the same picture differ in at most
  double near_duplicate = 0.98;      // cosine similarity of embeddings from which two pictures are nearly the same
  double same_person = 0.80;         // and from which they probably show one person
  std::int64_t neighbours = 5;       // that an embedding is compared with, of its own species and of the others
  double label_margin = 0.20;        // by which the others may be nearer on average
  std::int64_t most_rows = 1000;     // listed for one finding
  std::map<std::string, Severity> severity;  // by name of the check, instead of its own
};

// One list as it was read. Rows without a split get the list's name as one, so that lists are apart from each other.
struct CheckedList {
  Manifest manifest;
  std::string name;  // "train"
};

// What is known of each photograph: of list `list`, record `record` (the first that names it).
struct CheckedImage {
  std::string filename;
  std::size_t list = 0, record = 0;
  ImageFacts facts;
  std::string problem;    // why it cannot be read; empty: it can
  bool missing = false;   // `problem` is that it is not there
};

struct CheckReport {
  struct Count {
    std::int64_t images = 0, no_face = 0, pairs = 0;
  };
  std::map<std::string, std::map<std::string, Count>> counts;  // split -> species ("genuine", "print", …, "unlabelled")
  std::int64_t rows = 0, rejected = 0, images = 0, unreadable = 0, embeddings = 0;
  bool decoded = false;
  std::vector<Finding> findings;  // errors first, then in the order of the checks
  std::int64_t count(Severity) const;
};

// Every check with the severity it has by itself (the worst, where it can have two).
const std::vector<std::pair<std::string, Severity>>& checks();

// The photographs of all lists, each once.
std::vector<CheckedImage> images_of(const std::vector<CheckedList>& lists);
// Reads them, in parallel and resumable: one result of the work list for each image, in order.
std::string probe_result(const ImageProbe& probe, const std::vector<CheckedList>& lists, const CheckedImage& image, bool decode);
void set_result(CheckedImage& image, std::string_view result);

// `images`: looked at, or empty (nothing is said about photographs then). `embeddings`: null where there are none; then `ctx` is
// not used.
CheckReport check(const std::vector<CheckedList>& lists, const std::vector<CheckedImage>& images, bool decoded, const EmbeddingsFile* embeddings,
                  Context* ctx, const CheckSettings& settings, const std::function<void(double share)>& progress = {});

std::string to_text(const CheckReport& report, std::int64_t rows_shown);
std::string to_json(const CheckReport& report, const CheckSettings& settings, const std::map<std::string, std::string>& provenance);

}  // namespace bonafide
