// apps/common/start_workers.h — `bonafide train` on several devices: starts itself once for each of them.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace bonafide {

struct TrainWorkers {
  int count = 1;
  int restarts = 0;  // after a failure, from the last checkpoint
  std::vector<std::string> words;         // of the command line, behind `bonafide train`
  std::vector<std::string> resume_words;  // those that a restart keeps: it takes its settings from the run folder
};
// The exit code of the run.
int start_workers(const TrainWorkers&);

// Whether this process is one that start_workers() (or torchrun, …) started: it must not start others.
bool is_worker();
// For rank 0: where the run is, for a restart.
void tell_run_folder(const std::filesystem::path& folder);

}  // namespace bonafide
