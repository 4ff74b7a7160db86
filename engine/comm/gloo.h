// engine/comm/gloo.h — a communicator of CPU processes, by Gloo over TCP.
#pragma once
#include <chrono>
#include <memory>

#include "engine/comm/store.h"
#include "engine/communicator.h"

namespace bonafide {

struct GlooSettings {
  int rank = 0, world = 1;
  std::string address;                       // the own one, for the others; "": of this machine's name
  std::chrono::milliseconds timeout{300000};  // of every operation
  // How long an operation may go on once a connection has ended. It may well end: others go when they have all they need.
  std::chrono::milliseconds cut_off{4000};
};

// Connects every process with every other. `store`: where all of them have met (meeting.h), `session`: as what. The store
// lives as long as the communicator: a process whose operation fails leaves word there of where it stood, so that the
// others can name who is missing. Throws where the library was built without Gloo (BONAFIDE_GLOO=OFF).
std::unique_ptr<Communicator> gloo_communicator(std::shared_ptr<Store> store, const std::string& session, const GlooSettings&);

}  // namespace bonafide
