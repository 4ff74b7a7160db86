// apps/common/joint_requests.h — what any of the processes is asked to do (by a signal), all of them do after the same step.
//
// The question goes around while the step is computed, so that it costs no time: who is asked to stop during a step, stops
// after the next one. One process alone needs nobody's answer and stops after this one.
#pragma once
#include <vector>

#include "apps/common/signals.h"
#include "engine/communicator.h"

namespace bonafide {

struct Requests {
  bool stop = false, save = false;
};

class JointRequests {
 public:
  JointRequests(const StopSignals& signals, Communicator& comm) : signals_(signals), comm_(comm) {}
  // Where a step fails nobody waits for the answer, which would be written to what is gone.
  ~JointRequests() {
    if (open_) comm_.abort();
  }
  JointRequests(const JointRequests&) = delete;
  JointRequests& operator=(const JointRequests&) = delete;

  void ask() {  // before the step
    if (comm_.world() == 1) return;
    const Requests mine = own();
    asked_ = {float(mine.stop), float(mine.save)};
    comm_.begin_all_reduce_sum(asked_);
    open_ = true;
  }
  Requests answer() {  // after it
    if (comm_.world() == 1) return own();
    comm_.finish();
    open_ = false;
    return {asked_[0] > 0, asked_[1] > 0};
  }

 private:
  Requests own() const { return {signals_.stop_requested(), signals_.take_save_request()}; }

  const StopSignals& signals_;
  Communicator& comm_;
  std::vector<float> asked_;
  bool open_ = false;
};

}  // namespace bonafide
