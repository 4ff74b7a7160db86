// apps/common/journaled_run.cpp — see journaled_run.h.
#include "apps/common/journaled_run.h"

#include <cstdio>

#include "apps/common/progress.h"

namespace bonafide {

bool run_journaled(const StopSignals& signals, const JournaledRun& how, const std::function<bool(const WorkRun&)>& run) {
  if (how.done) std::printf("going on: %lld of %lld are done\n", (long long)how.done, (long long)how.inputs);
  std::fflush(stdout);
  Progress progress(stderr);
  std::int64_t now = how.done;
  const auto report = [&](std::int64_t done, std::int64_t rejected) {
    now = done;
    progress.report(Progress::Count{.command = how.command, .done = done, .total = how.inputs, .before = how.done, .rejected = rejected});
  };
  report(how.done, how.rejected);
  if (run({.workers = how.workers, .stop = [&] { return signals.stop_requested(); }, .report = report})) return true;
  progress.line(str("stopped: ", now, " of ", how.inputs, " photographs are done; the same command goes on"));
  return false;
}

}  // namespace bonafide
