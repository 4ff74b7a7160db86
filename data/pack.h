// data/pack.h — lists of photographs into one packed file (data/packed.h): resumable, the same bytes for any number of workers.
#pragma once
#include <functional>

#include "data/manifest.h"
#include "data/packed.h"
#include "data/work_list.h"

namespace bonafide {

struct PackPlan {
  std::filesystem::path output;   // the packed file
  std::filesystem::path journal;  // of the work under way
  double margin = 1.3;            // crops up to this margin; 0: photographs whole
  std::string command;            // every option that the result depends on besides
  std::uint64_t fingerprint = 0;  // of the photographs (InputFingerprint); that of the lists is added here
  bool restart = false;
};

// The photographs of some lists, each once, in the order they come up. Rows with a reject_reason are left out. Throws, naming
// both lines, where two rows give one photograph different boxes or different people.
struct PackInput {
  std::string filename, subject;
  Box box;
};
std::vector<PackInput> pack_inputs(const std::vector<Manifest>& lists);

struct PackResult {
  bool complete = false;               // false: stopped; the same call goes on
  std::int64_t done = 0, images = 0;   // of those done: packed
  std::int64_t bytes = 0;              // of the finished file
  std::vector<std::string> rejected;   // for each input why it could not be packed; empty: it is packed
};

// The work: opens the journal, packs what has no result yet, and completes the file. The journal stays until finish(), so that
// what is written from the result (lists, rejects.csv) is written again after a kill in between.
class Packing {
 public:
  Packing(PackPlan plan, std::vector<PackInput> inputs);
  std::int64_t inputs() const { return std::int64_t(inputs_.size()); }
  std::int64_t done() const { return work_.done(); }
  PackResult run(const ImageSource& source, const WorkRun& how);
  void finish() { work_.remove(); }

 private:
  std::vector<PackedImage> packed_before() const;
  PackPlan plan_;
  std::vector<PackInput> inputs_;
  WorkList work_;
};

}  // namespace bonafide
