// engine/comm/meeting.cpp
#include "engine/comm/meeting.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <sstream>
#include <thread>
#include <vector>

#include "engine/base.h"

namespace bonafide {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

std::string fresh_number() {
  std::random_device random;
  std::ostringstream s;
  for (int i = 0; i < 4; ++i) s << std::hex << random();
  return s.str();
}

// Calls f until it is true; false after the time-out. The pauses grow: nobody hammers a shared disk.
template <class F>
bool wait_until(std::chrono::milliseconds timeout, F&& f) {
  const auto deadline = Clock::now() + timeout;
  for (auto pause = 2ms;; pause = std::min(2 * pause, 64ms)) {
    if (f()) return true;
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
  }
}

std::string hello(int rank) { return "hello/" + std::to_string(rank); }
std::string agreed(int rank) { return "agreed/" + std::to_string(rank); }

// "1, 3 of 4": who has not come; " (rank 2 expects 3 processes)".
std::string missing(const std::vector<std::string>& there, const std::vector<std::string>& numbers) {
  std::string s, more;
  const std::string world = std::to_string(there.size());
  for (std::size_t r = 0; r < there.size(); ++r) {
    if (there[r].empty()) s += (s.empty() ? "" : ", ") + std::to_string(r);
    const auto slash = numbers[r].find('/');
    if (slash != std::string::npos && numbers[r].substr(slash + 1) != world)
      more += str(" (rank ", r, " expects ", numbers[r].substr(slash + 1), " processes)");
  }
  return str(s, " of ", world, more);
}

// An invitation is "<session> <number of rank 1> <number of rank 2> …", renewed whenever somebody's number changes, which it
// does when the first one seen was of a run before.
std::string invite(Store& store, int world, std::chrono::milliseconds timeout) {
  const std::string session = fresh_number();
  std::vector<std::string> numbers(std::size_t(world), ""), agreements(std::size_t(world), "");
  numbers[0] = agreements[0] = session;
  std::string published;
  const bool all = wait_until(timeout, [&] {
    std::string invitation = session;
    bool complete = true, done = true;
    for (std::size_t r = 1; r < std::size_t(world); ++r) {
      numbers[r] = store.get(hello(int(r))).value_or("");
      const bool fits = numbers[r].ends_with("/" + std::to_string(world));
      invitation += " " + numbers[r];
      complete = complete && fits;
    }
    if (!complete) return false;
    if (invitation != published) store.set("invitation", published = invitation);
    for (std::size_t r = 1; r < std::size_t(world); ++r) {
      agreements[r] = store.get(agreed(int(r))) == session ? session : "";
      done = done && !agreements[r].empty();
    }
    return done;
  });
  if (!all) {
    const bool came = std::none_of(numbers.begin(), numbers.end(), [](const auto& n) { return n.empty(); });
    throw Error(str(store.where(), ": after ", double(timeout.count()) / 1e3, " s without rank ", missing(came ? agreements : numbers, numbers)));
  }
  store.set("go/" + session, "");
  return session;
}

std::string accept(Store& store, int rank, int world, std::chrono::milliseconds timeout) {
  const std::string number = fresh_number() + "/" + std::to_string(world);
  store.set(hello(rank), number);
  std::string session;
  const bool met = wait_until(timeout, [&] {
    if (store.get(hello(rank)) != number) throw Error(str(store.where(), ": two processes say that they are rank ", rank, " of ", world));
    std::istringstream invitation(store.get("invitation").value_or(""));
    std::vector<std::string> words;
    for (std::string w; invitation >> w;) words.push_back(w);
    if (words.size() != std::size_t(world) || words[std::size_t(rank)] != number) return false;
    if (words[0] != session) store.set(agreed(rank), session = words[0]);
    return store.get("go/" + session).has_value();
  });
  if (!met)
    throw Error(str(store.where(), ": rank ", rank, " of ", world, " waited ", double(timeout.count()) / 1e3, " s for ",
                    session.empty() ? "rank 0" : "the others; rank 0 names them"));
  return session;
}

}  // namespace

std::string meet(Store& store, int rank, int world, std::chrono::milliseconds timeout) {
  BF_CHECK(world >= 1 && rank >= 0 && rank < world, "rank ", rank, " of ", world);
  return rank == 0 ? invite(store, world, timeout) : accept(store, rank, world, timeout);
}

std::string wait_for_value(Store& store, const std::string& key, std::chrono::milliseconds timeout, const std::string& what) {
  std::optional<std::string> value;
  if (!wait_until(timeout, [&] { return bool(value = store.get(key)); }))
    throw Error(str(store.where(), ": ", what, " did not come within ", double(timeout.count()) / 1e3, " s"));
  return *value;
}

}  // namespace bonafide
