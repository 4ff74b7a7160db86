// tests/support/ranks.h — several ranks in one process: each a thread with a communicator of its own.
#pragma once
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/comm/gloo.h"
#include "engine/comm/meeting.h"
#include "engine/comm/store.h"
#include "tests/support/temp_folder.h"

namespace bonafide::test {

// Runs f(rank) in `world` threads; rethrows what the first of them in rank order threw.
inline void in_threads(int world, const std::function<void(int rank)>& f) {
  std::vector<std::exception_ptr> errors(std::size_t(world), nullptr);
  std::vector<std::thread> threads;
  for (int r = 0; r < world; ++r)
    threads.emplace_back([&, r] {
      try {
        f(r);
      } catch (...) {
        errors[std::size_t(r)] = std::current_exception();
      }
    });
  for (auto& t : threads) t.join();
  for (const auto& e : errors)
    if (e) std::rethrow_exception(e);
}

enum class Leaving { together, each_on_its_own };  // at the end of on_ranks(): nobody before all are through, or at once

// f(comm) on each of `world` ranks, connected by Gloo; one rank alone has single_process().
inline void on_ranks(int world, const std::function<void(Communicator&)>& f, std::chrono::milliseconds timeout = std::chrono::seconds(60),
                     Leaving leaving = Leaving::together) {
  if (world == 1) return f(*single_process());
  const TempFolder folder;
  in_threads(world, [&](int rank) {
    std::shared_ptr<Store> store = file_store(folder / "meeting", rank == 0);
    const std::string session = meet(*store, rank, world, timeout);
    const auto comm = gloo_communicator(store, session, {.rank = rank, .world = world, .address = "127.0.0.1", .timeout = timeout});
    f(*comm);
    if (leaving == Leaving::together) comm->barrier();
  });
}

}  // namespace bonafide::test
