// engine/comm/process_place.h — which of how many processes this one is, and where they meet.
#pragma once
#include <string>

namespace bonafide {

struct ProcessPlace {
  int rank = 0, world = 1, local_rank = 0, local_world = 1;
  std::string address;  // of rank 0's host
  int port = 0;
  std::string run_id;
  std::string source;  // "torchrun", "Slurm", "mpirun", "bonafide"; "" alone
};

}  // namespace bonafide
