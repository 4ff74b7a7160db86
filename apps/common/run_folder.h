// apps/common/run_folder.h — the folder of one training run: never overwritten, complete enough to repeat the run.
//
//   <root>/<date-time-model-size>/   with -2, -3 … behind the name when it is taken
//     config.json config.origin.json   every setting, and where it came from
//     command.txt env.json             what was typed (one line for each start), and the build and machine
//     train.log metrics.csv metrics.jsonl   logs/rank1.log …: of several processes, what the others say
//     checkpoints/{step-N,last,best}   engine/checkpoint.h
//     eval/<set>/
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "apps/common/options.h"

namespace bonafide {

class RunFolder {
 public:
  // A new folder below `root` (made if need be), called `name`, or `name`-2, -3, ….
  static RunFolder create(const std::filesystem::path& root, const std::string& name);
  // An existing run, for --resume: the run folder, its checkpoints folder, or a checkpoint in it. Throws where there is
  // none, and when another process is writing there.
  static RunFolder open(const std::filesystem::path& inside);

  // The same for those that only read there: not locked, and log() writes nothing.
  static RunFolder look_at(const std::filesystem::path& inside);
  static RunFolder look_at_new(const std::filesystem::path& folder);  // made by another process, perhaps still empty

  // config.json, config.origin.json and env.json anew; command.txt gets one more line.
  void describe(const LoadedConfig& config, int argc, const char* const* argv) const;
  // One line of train.log, with the time before it.
  void log(std::string_view line) const;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  std::filesystem::path log_of(int rank) const;  // logs/rankN.log: what that process says; made if need be
  std::filesystem::path eval(const std::string& set) const;  // made if need be
  std::string config_text() const;                           // config.json as it is now

 private:
  RunFolder(std::filesystem::path path, bool writes);
  std::filesystem::path path_;
  std::shared_ptr<int> log_;  // train.log, open and locked; null for those that look
};

// "20261121-2104-convnextv2_tiny-224": local time, model, input size.
std::string run_name(const TrainConfig& config);

// Words as a POSIX shell would need them typed.
std::string shell_quoted(int argc, const char* const* argv);

}  // namespace bonafide
