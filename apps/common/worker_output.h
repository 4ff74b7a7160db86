// apps/common/worker_output.h — of several processes only rank 0 writes to the terminal: the others' words go to a log.
#pragma once
#include <filesystem>

namespace bonafide {

// While it lives, stdout and stderr of this process go nowhere, or, after to(), to the end of a file. Then they are what they
// were: how the process ends is said where it was started.
class WorkerOutput {
 public:
  WorkerOutput();
  ~WorkerOutput();
  WorkerOutput(const WorkerOutput&) = delete;
  WorkerOutput& operator=(const WorkerOutput&) = delete;
  void to(const std::filesystem::path& file);

 private:
  int before_[2];
};

}  // namespace bonafide
