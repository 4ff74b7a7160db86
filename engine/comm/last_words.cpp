// engine/comm/last_words.cpp
#include "engine/comm/last_words.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <vector>

#include "engine/base.h"

namespace bonafide {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = 3s;

}  // namespace

LastWords::LastWords(std::shared_ptr<Store> store, std::string name, int rank, int world)
    : store_(std::move(store)), prefix_(std::move(name) + "/stopped/"), rank_(rank), world_(world) {}

std::string LastWords::others(const std::string& operation) {
  std::vector<std::optional<std::string>> said(std::size_t(world_), std::nullopt);
  const auto silent = [&] { return !std::ranges::all_of(said, [](const auto& s) { return s.has_value(); }); };
  try {
    store_->set(prefix_ + std::to_string(rank_), operation);
    for (const auto deadline = Clock::now() + kPatience; silent() && Clock::now() < deadline; std::this_thread::sleep_for(20ms))
      for (int r = 0; r < world_; ++r)
        if (auto& s = said[std::size_t(r)]; !s) s = store_->get(prefix_ + std::to_string(r));
  } catch (const Error&) {  // rank 0 had the store
    if (!said[0]) {
      std::this_thread::sleep_for(1s);  // whoever watches over the processes is to see rank 0's end first
      return "rank 0 is gone";
    }
  }
  std::string ranks, elsewhere;
  for (int r = 0; r < world_; ++r)
    if (const auto& s = said[std::size_t(r)]; !s) ranks += str(ranks.empty() ? "" : ", ", r);
    else if (*s != operation) elsewhere += str(", rank ", r, " stopped at ", *s);
  return (ranks.empty() ? "all ranks stopped" : str("rank ", ranks, " hangs or is gone")) + elsewhere;
}

}  // namespace bonafide
