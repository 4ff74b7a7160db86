// engine/comm/process_group.h — the processes of a run, connected.
#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "engine/comm/process_place.h"
#include "engine/communicator.h"
#include "engine/context.h"

namespace bonafide {

struct ProcessGroupSettings {
  // "": at place.address:place.port, over TCP. "file:///shared/folder": in a folder that all processes see; place.run_id
  // must not be empty then.
  std::string rendezvous;
  std::string address;                              // the own one, for the others; "": found out
  std::chrono::milliseconds meeting_timeout{300000};  // until all processes are there
  std::chrono::milliseconds timeout{300000};          // of every operation
};

// `host` speaks of host memory; `device` of the memory of the context's device, in its stream: the same object on a CPU.
struct ProcessGroup {
  std::shared_ptr<Communicator> host, device;
  int rank() const { return host->rank(); }
  int world() const { return host->world(); }
  bool lead() const { return host->rank() == 0; }
};

// One process that trains alone.
ProcessGroup alone();
// Meets the others and connects: Gloo for host memory, NCCL for GPUs. Throws Error: who did not come, what cannot be reached.
ProcessGroup connect(Context& ctx, const ProcessPlace& place, const ProcessGroupSettings& settings = {});

}  // namespace bonafide
