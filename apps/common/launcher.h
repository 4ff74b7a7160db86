// apps/common/launcher.h — starts one command as several processes ("workers"), one per rank, and watches over them.
//
// A worker finds its place in RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR (127.0.0.1), MASTER_PORT and
// BONAFIDE_RUN_ID (engine/comm/process_place.h); port and run id are new for every start. Its standard input is empty.
// The output of rank 0 is the launcher's, that of the others goes to temporary files until the workers move it.
//
//   A worker fails    the others get SIGTERM and, `grace_s` later, SIGKILL: those that cannot go on without it hang,
//                     or fail in their turn. What is reported is the first failure.
//   SIGINT, SIGTERM to the launcher   go to every worker once. Workers are in process groups of their own, so that
//                     Ctrl-C does not reach them a second time from the terminal. There is no time limit for stopping.
//   SIGUSR1 to the launcher   goes to the first worker that is still there. Where the launcher ignores it, workers begin
//                     ignoring it.
//   The launcher dies, by kill -9 too   its workers are killed.
//   A worker ends with success   the others go on.
//
// Call it from the main thread, and before any other is started: signals for the process must find nobody else to take
// them, and workers die with the thread that started them.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bonafide {

struct LaunchPlan {
  std::vector<std::string> argv;  // program (a path, or a name in PATH) and arguments
  int world = 1;
  int restarts = 0;    // how often all are started again after a failure
  double grace_s = 8;  // so that everything has ended 10 seconds after a failure

  // More variables of one worker, as NAME=value.
  std::function<std::vector<std::string>(int rank)> environment = {};
  // The command of the first, second, ... restart, where it differs.
  std::function<std::vector<std::string>(int restart)> restart_argv = {};
  // Receives what there is to say, in whole lines. Where there is none: standard error.
  std::function<void(std::string_view)> say = {};
};

// Runs the workers to their end. Returns 0 when all succeeded, 130 when they stopped because they were asked to, else
// the exit code of the first failure (128 + the signal that ended it). Throws where a worker cannot be started at all.
// A failure that would only repeat itself (exit codes 2, 3, 4: command line, data, quality) is not followed by a
// restart.
int launch(const LaunchPlan& plan);

// For a worker about to fail: leaves the message with the launcher, which will print it and takes its time for that of
// the failure: call it before the others can notice. A second one changes nothing. True when the launcher has a message
// of this process; false, and nothing happens, where there is no launcher.
bool report_failure(std::string_view message) noexcept;

}  // namespace bonafide
