// engine/checkpoint.cpp — see checkpoint.h.
#include "engine/checkpoint.h"

#include <algorithm>
#include <charconv>

#include "engine/files.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

constexpr const char *kStepKey = "bonafide.step", *kStateKey = "bonafide.state";

std::string folder_name(std::int64_t step) { return "step-" + std::to_string(step); }

// The N of `step-N`; nothing for any other name.
std::optional<std::int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  std::int64_t step = 0;
  const char* end = name.data() + name.size();
  if (!name.starts_with("step-") || std::from_chars(name.data() + 5, end, step).ptr != end) return {};
  return folder_name(step) == name ? std::optional(step) : std::nullopt;
}

std::vector<std::int64_t> steps_in(const fs::path& folder) {
  std::vector<std::int64_t> steps;
  std::error_code none;
  for (const fs::directory_entry& e : fs::directory_iterator(folder, none))
    if (const auto step = step_of(e.path()); step && e.is_directory()) steps.push_back(*step);
  std::sort(steps.begin(), steps.end());
  return steps;
}

bool is_checkpoint(const fs::path& p) {
  return fs::exists(p / "model.safetensors") && fs::exists(p / "state.safetensors");
}

}  // namespace

CheckpointFolder::CheckpointFolder(fs::path folder, int keep) : folder_(std::move(folder)), keep_(keep) {
  BF_CHECK(keep >= 0, "keep ", keep);
}

fs::path CheckpointFolder::save(const Checkpoint& c, bool best) {
  BF_CHECK(c.step >= 0, "step ", c.step);
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) throw Error(folder_.string() + ": cannot create the folder: " + error.message());

  const fs::path destination = folder_ / folder_name(c.step);
  AtomicFolder folder(destination);
  Metadata state_metadata{{kStepKey, std::to_string(c.step)}, {kStateKey, c.state_json}};
  write_safetensors(folder.path() / "model.safetensors", c.model, c.model_metadata);
  write_safetensors(folder.path() / "state.safetensors", c.state, state_metadata);
  folder.commit();
  switch_symlink(folder_ / "last", folder_name(c.step));
  if (best) switch_symlink(folder_ / "best", folder_name(c.step));
  prune(c.step);
  return destination;
}

std::optional<fs::path> CheckpointFolder::target(const char* link) const {
  std::error_code none;
  const fs::path to = fs::read_symlink(folder_ / link, none);
  if (none || !is_checkpoint(folder_ / to)) return {};
  return folder_ / to;
}

void CheckpointFolder::prune(std::int64_t newest) const {
  // Failing to remove something old must not stop the training: errors are ignored here.
  std::error_code ignored;
  const auto best_path = best();
  const auto best_step = best_path ? step_of(*best_path) : std::nullopt;
  const std::vector<std::int64_t> steps = steps_in(folder_);
  int kept = 0;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const bool keep = *step <= newest && (keep_ == 0 || kept++ < keep_);
    // Under another name first: a folder called step-N is whole at every moment.
    if (!keep && *step != best_step)
      fs::rename(folder_ / folder_name(*step), folder_ / ("." + folder_name(*step) + ".removed"), ignored);
  }
  // Also what an earlier crash left half written or half removed.
  std::vector<fs::path> leftovers;
  for (const fs::directory_entry& e : fs::directory_iterator(folder_, ignored))
    if (e.path().filename().string().starts_with(".step-")) leftovers.push_back(e.path());
  for (const fs::path& p : leftovers) fs::remove_all(p, ignored);
}

fs::path find_checkpoint(const fs::path& path) {
  if (is_checkpoint(path)) return fs::canonical(path);
  for (const fs::path& folder : {path, path / "checkpoints"}) {
    if (is_checkpoint(folder / "last")) return fs::canonical(folder / "last");
    const auto steps = steps_in(folder);  // the crash that cost the symlink did not cost the checkpoint
    for (auto step = steps.rbegin(); step != steps.rend(); ++step)
      if (is_checkpoint(folder / folder_name(*step))) return fs::canonical(folder / folder_name(*step));
  }
  if (!fs::exists(path)) throw Error(path.string() + ": no such file or folder");
  throw Error(path.string() +
              ": no checkpoint here (looked for model.safetensors and state.safetensors, then for last and "
              "step-N, here and in checkpoints/)");
}

LoadedCheckpoint load_checkpoint(const fs::path& path) {
  const fs::path folder = find_checkpoint(path);
  LoadedCheckpoint c{
      folder, 0, SafetensorsFile(folder / "model.safetensors"), SafetensorsFile(folder / "state.safetensors"), {}};
  const std::string step = c.state.metadata(kStepKey, "");
  const char* end = step.data() + step.size();
  if (step.empty() || std::from_chars(step.data(), end, c.step).ptr != end || c.step < 0)
    throw Error(c.state.path().string() + ": metadata '" + kStepKey + "' is '" + step + "', expected a step number");
  c.state_json = c.state.metadata(kStateKey, "{}");
  return c;
}

}  // namespace bonafide
