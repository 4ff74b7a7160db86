// engine/comm/socket.h — a TCP socket that closes itself, and whole messages over it.
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace bonafide {

using Deadline = std::chrono::steady_clock::time_point;

// Whether an address, numeric, means nothing outside this machine: 127.x.x.x, ::1.
bool is_loopback(const std::string& address);

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket();

  // Listens on `port` of every address of this machine; 0: a free port (see port()). Throws where it is taken.
  static Socket listen(int port);
  // nullopt when nobody listens there, or does not answer before the deadline; throws where the name means nothing.
  static std::optional<Socket> connect(const std::string& address, int port, Deadline deadline);
  Socket accept() const;

  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  int port() const;                   // own
  std::string local_address() const;  // own, numeric
  std::string peer_address() const;   // the other side's

  // Messages: four bytes of length, the highest first, and so many bytes. False, or nullopt, when the other side is gone, says
  // nothing before the deadline, or announces more than `most` bytes.
  bool send(std::string_view message) const;
  std::optional<std::string> receive(std::uint32_t most, Deadline deadline) const;

 private:
  bool read_exactly(char* to, std::size_t n, Deadline deadline) const;
  int fd_ = -1;
};

}  // namespace bonafide
