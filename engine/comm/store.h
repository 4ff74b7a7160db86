// engine/comm/store.h — a few small values that processes leave for each other: how they find out where the others are,
// before they are connected. Not for data.
//
// Keys are letters, digits and ._-/; values any bytes, up to 1 MiB. All functions throw Error, naming the place.
#pragma once
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace bonafide {

class Store {
 public:
  virtual ~Store() = default;
  virtual void set(const std::string& key, std::string_view value) = 0;
  virtual std::optional<std::string> get(const std::string& key) = 0;  // nullopt: not set yet
  // The own address on the way to the other processes, once they are all there; "" if the store cannot know (a folder).
  virtual std::string local_address() const { return ""; }
  virtual std::string where() const = 0;  // for messages: "tcp://10.0.0.1:29500"
};

// Values live in the process that says `serve` (rank 0), in a thread of it, and go over TCP. Waits up to `timeout` until
// somebody serves there. `run_id` keeps two runs apart that were given one port: whoever comes with another is sent away,
// with an error that names both.
std::unique_ptr<Store> tcp_store(const std::string& address, int port, const std::string& run_id, bool serve,
                                 std::chrono::milliseconds timeout);

// One file per key in a folder that all processes see (a shared disk), made if need be. Its owner (rank 0) removes it at the
// end. What a run left there that was killed is dealt with by meet() (meeting.h).
std::unique_ptr<Store> file_store(const std::filesystem::path& folder, bool owner);

}  // namespace bonafide
