// apps/common/agreement.cpp
#include "apps/common/agreement.h"

#include <array>
#include <cstdint>
#include <vector>

#include "apps/common/device.h"
#include "engine/digest.h"

namespace bonafide {
namespace {

constexpr std::array kWhat = {"settings", "lists", "weights to start from"};
constexpr std::size_t kPieces = 4;  // of a digest, 16 bits each: what is gathered are floats, which hold those exactly

std::uint64_t settings_digest(TrainConfig c, Device device, const std::string& words) {
  const TrainConfig plain;
  c.precision = choose_precision(c.precision, device).name;
  c.device = plain.device;
  c.paths = plain.paths;
  if (c.model.pretrained != "true" && c.model.pretrained != "false") c.model.pretrained = "a file";
  c.train_dataloader.num_workers = plain.train_dataloader.num_workers;
  c.val_dataloader.num_workers = plain.val_dataloader.num_workers;
  c.simulate.cache_bytes = plain.simulate.cache_bytes;
  c.trainer.weights_save_folder = plain.trainer.weights_save_folder;
  c.distributed.timeout_seconds = plain.distributed.timeout_seconds;
  return digest64(words, digest64(config_json(c)));
}

// Of the contents; a file that is not given counts as well.
std::uint64_t contents_digest(const std::vector<std::string>& files) {
  std::uint64_t digest = 0;
  for (const std::string& f : files) digest = digest64(f.empty() ? "" : file_digest(f), digest);
  return digest;
}

}  // namespace

void agree_on_start(const TrainConfig& c, Device device, const std::string& weights, const std::string& words, Communicator& host) {
  if (host.world() == 1) return;
  const TrainConfig::Paths& p = c.paths;
  const bool from_file = c.model.pretrained != "true" && c.model.pretrained != "false";
  const std::array<std::uint64_t, kWhat.size()> digests = {
      settings_digest(c, device, words),
      contents_digest({p.train_csv, p.train_manifest, p.val_manifest, p.val_protocol, p.val_bbox_csv}),
      contents_digest({from_file ? c.model.pretrained : "", weights})};
  std::vector<float> mine;
  for (const std::uint64_t digest : digests)
    for (std::size_t i = 0; i < kPieces; ++i) mine.push_back(float(digest >> (16 * i) & 0xffff));
  std::vector<float> all(mine.size() * std::size_t(host.world()));
  host.all_gather(mine, all);
  std::string differ;
  for (std::size_t what = 0; what < kWhat.size(); ++what) {
    std::string ranks;
    for (std::size_t r = 1; r < std::size_t(host.world()); ++r)
      for (std::size_t i = what * kPieces; i < (what + 1) * kPieces; ++i)
        if (all[r * mine.size() + i] != all[i]) {
          ranks += str(ranks.empty() ? "rank " : ", ", r);
          break;
        }
    if (!ranks.empty()) differ += str(differ.empty() ? "" : "; ", "not the ", kWhat[what], " of rank 0: ", ranks);
  }
  if (!differ.empty())
    throw Error(str("the processes were not started alike (", differ, "); --print-config shows a process's settings"));
}

}  // namespace bonafide
