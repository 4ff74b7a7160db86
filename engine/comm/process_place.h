// engine/comm/process_place.h — which of how many processes this one is, as whoever started it says in the environment.
//
// The first of these that is there counts:
//
//   RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE   `bonafide train` itself, torchrun, or a loop in a shell. Without
//   the last
//       one all processes are taken to share a host
//   OMPI_COMM_WORLD_{RANK,SIZE,LOCAL_RANK,LOCAL_SIZE}   Open MPI's mpirun; MPI itself is not needed
//   SLURM_PROCID and SLURM_STEP_ID   srun, with SLURM_NTASKS, SLURM_LOCALID, SLURM_TASKS_PER_NODE, SLURM_NODEID and
//       SLURM_NODELIST, or their SLURM_STEP_ forms. (The shells of sbatch and salloc have many of these, but are no
//       step: a command typed there is one process.)
//
// and for all of them
//
//   MASTER_ADDR      host of rank 0. May be absent under mpirun when all processes share a host (127.0.0.1), and under
//   srun
//                    (the first host of the step)
//   MASTER_PORT      29500 if absent. Where torchrun's agent listens there itself, ours is the next one
//   BONAFIDE_PORT    the port, whatever MASTER_PORT says
//   BONAFIDE_RUN_ID  a text that no other run has, the same in all processes; else what torchrun (--rdzv-id), mpirun
//                    (PMIX_NAMESPACE) and srun (job, step, and how often the job was requeued) have of this kind
//
// An empty variable is an absent one.
#pragma once
#include <functional>
#include <optional>
#include <string>

namespace bonafide {

struct ProcessPlace {
  int rank = 0, world = 1, local_rank = 0, local_world = 1;
  std::string address;  // of rank 0's host
  int port = 0;
  std::string run_id;  // empty where nobody gave one
  std::string source;  // "torchrun", "Slurm", "mpirun", "bonafide", "" alone
};

std::optional<std::string> environment_variable(const char* name);

// None for a process alone: nothing of the above is there, or it speaks of one process (which `bonafide train` may
// start too: that one gets its place). Throws an Error that names the variables where some are missing or contradict
// each other.
std::optional<ProcessPlace> process_place(
    const std::function<std::optional<std::string>(const char* name)>& variable = environment_variable);

}  // namespace bonafide
