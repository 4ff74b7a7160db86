// engine/comm/no_nccl.cpp — instead of nccl.cpp in a build without NCCL.
#include "engine/comm/nccl.h"

namespace bonafide {

std::unique_ptr<Communicator> nccl_communicator(Context&, Communicator&, LastWords, std::chrono::milliseconds) {
  throw Error("several GPUs need NCCL: this program was built without it (BONAFIDE_NCCL=OFF, or no NCCL beside CUDA)");
}

}  // namespace bonafide
