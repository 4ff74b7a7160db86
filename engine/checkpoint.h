// engine/checkpoint.h — a folder of checkpoints: `step-N/{model,state}.safetensors`, `last` and `best` as symlinks.
//
// A checkpoint appears whole or not at all: it is written under a temporary name, synced, renamed. `last` and `best`
// are switched only then. So a full disk, a crash or a second Ctrl-C costs at most the checkpoint being written. Knows
// arrays and text, nothing of models.
#pragma once
#include <filesystem>
#include <optional>
#include <vector>

#include "engine/safetensors.h"

namespace bonafide {

// What to save. Arrays are borrowed, not copied.
struct Checkpoint {
  std::int64_t step = 0;
  std::vector<StoredArray> model;  // what inference needs, under timm's names
  Metadata model_metadata;
  std::vector<StoredArray> state;  // what training needs besides: optimiser, EMA
  std::string state_json = "{}";   // counters, best score, configuration: stored as metadata of state.safetensors
};

struct LoadedCheckpoint {
  std::filesystem::path folder;
  std::int64_t step;
  SafetensorsFile model, state;
  std::string state_json;
};

class CheckpointFolder {
 public:
  // `folder` is made when the first checkpoint is saved. Keeps the newest `keep` checkpoints (0 = all) and the best
  // one.
  CheckpointFolder(std::filesystem::path folder, int keep);

  // Returns the folder of the new checkpoint. A checkpoint of the same step is replaced. Checkpoints of later steps
  // belong to a run that was abandoned (training went on from an earlier one) and are removed, unless one is the best.
  std::filesystem::path save(const Checkpoint&, bool best);

  const std::filesystem::path& path() const { return folder_; }
  std::optional<std::filesystem::path> last() const { return target("last"); }
  std::optional<std::filesystem::path> best() const { return target("best"); }

 private:
  std::optional<std::filesystem::path> target(const char* link) const;
  void prune(std::int64_t newest) const;
  std::filesystem::path folder_;
  int keep_;
};

// The checkpoint that `path` means: itself (`.../step-40`, `.../best`), the last one of a checkpoints folder, or the
// last one of a run folder. Throws, saying where it looked.
std::filesystem::path find_checkpoint(const std::filesystem::path& path);
LoadedCheckpoint load_checkpoint(const std::filesystem::path& path);

}  // namespace bonafide
