// apps/common/signals.h — Ctrl-C and SIGTERM ask politely: finish the step, save, exit with 130. A Ctrl-C after that
// ends the program at once; another SIGTERM does not: Slurm and a launcher may each send one. SIGUSR1 (clusters send it before the time is up) asks for a checkpoint.
#pragma once

namespace bonafide {

// Handles the signals while it lives; at most one at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  bool stop_requested() const;
  bool take_save_request() const;  // true once for each SIGUSR1
};

// SIGUSR1 would end a process that does not handle it. From here on it does nothing while there are no StopSignals, also in
// processes that this one starts.
void ignore_save_requests();

}  // namespace bonafide
