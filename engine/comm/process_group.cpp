// engine/comm/process_group.cpp
#include "engine/comm/process_group.h"

#include "engine/comm/gloo.h"
#include "engine/comm/meeting.h"
#include "engine/comm/nccl.h"
#include "engine/comm/store.h"

namespace bonafide {
namespace {

constexpr std::string_view kFile = "file://";

std::string own_address(const ProcessPlace& place, const Store& store, const std::string& asked) {
  if (!asked.empty()) return asked;
  if (place.local_world == place.world) return "127.0.0.1";
  return store.local_address();
}

}  // namespace

ProcessGroup alone() {
  const std::shared_ptr<Communicator> one = single_process();
  return {one, one};
}

ProcessGroup connect(Context& ctx, const ProcessPlace& place, const ProcessGroupSettings& s) {
  if (place.world == 1) return alone();
  const bool in_folder = s.rendezvous.rfind(kFile, 0) == 0;
  if (!s.rendezvous.empty() && !in_folder) throw Error(str("rendezvous '", s.rendezvous, "': expected file:///folder, or nothing for TCP"));
  // Without one every run that is told of the folder would use the same part of it, and two would meet each other.
  if (in_folder && place.run_id.empty())
    throw Error(str("rendezvous '", s.rendezvous, "': processes that meet in a folder need the id of their run: set BONAFIDE_RUN_ID, in all of "
                    "them, to a text that no other run has (torchrun: --rdzv-id)"));
  const std::filesystem::path folder = in_folder ? std::filesystem::path(s.rendezvous.substr(kFile.size())) / ("bonafide-" + place.run_id) : "";
  std::shared_ptr<Store> store = in_folder ? file_store(folder, place.rank == 0) : tcp_store(place.address, place.port, place.run_id, place.rank == 0, s.meeting_timeout);
  const std::string session = meet(*store, place.rank, place.world, s.meeting_timeout);
  ProcessGroup group;
  group.host = gloo_communicator(store, session,
                                 {.rank = place.rank, .world = place.world, .address = own_address(place, *store, s.address), .timeout = s.timeout});
  group.device = ctx.on_gpu() ? std::shared_ptr<Communicator>(nccl_communicator(ctx, *group.host, LastWords(store, session + "/nccl", place.rank, place.world), s.timeout)) : group.host;
  return group;
}

}  // namespace bonafide
