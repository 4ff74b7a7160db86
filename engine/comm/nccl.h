// engine/comm/nccl.h — a communicator of GPU processes, by NCCL.
#pragma once
#include <chrono>
#include <memory>

#include "engine/comm/last_words.h"
#include "engine/communicator.h"
#include "engine/context.h"

namespace bonafide {

// Of arrays in the memory of the context's GPU, each process with a GPU of its own. `host` hands NCCL's name of the group
// around. `timeout` is of every operation; NCCL connects without one. Throws where the library was built without NCCL.
std::unique_ptr<Communicator> nccl_communicator(Context& ctx, Communicator& host, LastWords words, std::chrono::milliseconds timeout);

}  // namespace bonafide
