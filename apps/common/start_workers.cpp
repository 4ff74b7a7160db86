// apps/common/start_workers.cpp
#include "apps/common/start_workers.h"

#include <algorithm>
#include <optional>
#include <thread>

#include "apps/common/launcher.h"
#include "apps/common/private_folder.h"
#include "engine/checkpoint.h"
#include "engine/comm/process_place.h"
#include "engine/files.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

constexpr const char* kRunFile = "BONAFIDE_RUN_FILE";

}  // namespace

bool is_worker() { return environment_variable("WORLD_SIZE") || process_place(); }

void tell_run_folder(const fs::path& folder) {
  if (const auto file = environment_variable(kRunFile)) write_file_atomically(*file, fs::absolute(folder).string(), Durable::eventually);
}

int start_workers(const TrainWorkers& w) {
  const PrivateFolder folder;
  const fs::path run_file = folder / "run";
  const std::string program = fs::read_symlink("/proc/self/exe").string();
  const auto command = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {program, "train"});
    return words;
  };
  LaunchPlan plan;
  plan.argv = command(w.words);
  plan.world = w.count;
  plan.restarts = w.restarts;
  plan.environment = [&](int) {
    std::vector<std::string> variables{str(kRunFile, "=", run_file.string())};
    const unsigned cores = std::max(1u, std::thread::hardware_concurrency() / unsigned(w.count));
    if (!environment_variable("OMP_NUM_THREADS")) variables.push_back(str("OMP_NUM_THREADS=", cores));
    return variables;
  };
  plan.restart_argv = [&](int) {
    if (!fs::exists(run_file)) return command(w.words);
    const fs::path run = read_file(run_file);
    if (!CheckpointFolder(run / "checkpoints", 0).last()) return command(w.words);  // nothing saved yet: from the start
    std::vector<std::string> words{"--resume", run.string()};
    words.insert(words.end(), w.resume_words.begin(), w.resume_words.end());
    return command(words);
  };
  return launch(plan);
}

}  // namespace bonafide
