// apps/common/journaled_run.h — what every command with a journal does around its work: says where an earlier start got to, shows
// progress, stops on Ctrl-C and says how to go on.
#pragma once
#include <functional>
#include <string_view>

#include "apps/common/signals.h"
#include "data/work_list.h"

namespace bonafide {

struct JournaledRun {
  std::string_view command;                        // what progress lines begin with: "crop"
  std::int64_t done = 0, rejected = 0, inputs = 0;  // photographs; when it begins
  int workers = -1;
};

// Calls `run` with the settings of a WorkList's run; true when it answers that all is done, false when it was stopped. The signals
// are the command's, so that one that comes while the outputs are written does not cut them off.
bool run_journaled(const StopSignals& signals, const JournaledRun& how, const std::function<bool(const WorkRun&)>& run);

}  // namespace bonafide
