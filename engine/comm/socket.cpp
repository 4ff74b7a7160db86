// engine/comm/socket.cpp
#include "engine/comm/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>

#include "engine/base.h"

namespace bonafide {
namespace {

int milliseconds_left(Deadline deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return int(std::clamp<std::int64_t>(left, 0, std::numeric_limits<int>::max()));
}

// True when the socket is ready before the deadline.
bool wait_for(int fd, short events, Deadline deadline) {
  for (;;) {
    pollfd p{fd, events, 0};
    const int n = ::poll(&p, 1, milliseconds_left(deadline));
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;
Addresses resolve(const char* host, int port, int flags) {
  addrinfo hints{}, *list = nullptr;
  hints.ai_family = AF_UNSPEC, hints.ai_socktype = SOCK_STREAM, hints.ai_flags = flags;
  const int e = ::getaddrinfo(host, std::to_string(port).c_str(), &hints, &list);
  if (e) throw Error(str("address ", host ? host : "*", ": ", ::gai_strerror(e)));
  return {list, ::freeaddrinfo};
}

Socket open(const addrinfo& a, int more = 0) { return Socket(::socket(a.ai_family, a.ai_socktype | SOCK_CLOEXEC | more, a.ai_protocol)); }

// Address and port, as ::getsockname or ::getpeername has them.
template <class Get>
std::array<std::string, 2> name_of(int fd, Get get) {
  sockaddr_storage a{};
  socklen_t n = sizeof a;
  char host[NI_MAXHOST], service[NI_MAXSERV];
  BF_CHECK(get(fd, reinterpret_cast<sockaddr*>(&a), &n) == 0 &&
               ::getnameinfo(reinterpret_cast<sockaddr*>(&a), n, host, sizeof host, service, sizeof service,
                             NI_NUMERICHOST | NI_NUMERICSERV) == 0,
           "a socket without a name: ", std::strerror(errno));
  const std::string h = host, mapped = "::ffff:";  // an IPv4 connection of an IPv6 socket
  return {h.rfind(mapped, 0) == 0 ? h.substr(mapped.size()) : h, service};
}
std::array<std::string, 2> own_name(int fd) { return name_of(fd, ::getsockname); }

}  // namespace

bool is_loopback(const std::string& address) { return address.starts_with("127.") || address == "::1"; }

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

Socket Socket::listen(int port) {
  const Addresses list = resolve(nullptr, port, AI_PASSIVE);
  int error = 0;
  for (const int family : {AF_INET6, AF_INET})  // IPv6's wildcard takes IPv4 too
    for (const addrinfo* a = list.get(); a; a = a->ai_next) {
      if (a->ai_family != family) continue;
      Socket s = open(*a);
      if (!s) continue;
      const int yes = 1, no = 0;
      ::setsockopt(s.fd_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
      if (family == AF_INET6) ::setsockopt(s.fd_, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
      if (::bind(s.fd_, a->ai_addr, a->ai_addrlen) == 0 && ::listen(s.fd_, SOMAXCONN) == 0) return s;
      error = errno;
    }
  throw Error(str("port ", port, " cannot be listened on: ", std::strerror(error)));
}

std::optional<Socket> Socket::connect(const std::string& address, int port, Deadline deadline) {
  const Addresses list = resolve(address.c_str(), port, 0);
  for (const addrinfo* a = list.get(); a; a = a->ai_next) {
    Socket s = open(*a, SOCK_NONBLOCK);
    if (!s) continue;
    if (::connect(s.fd_, a->ai_addr, a->ai_addrlen) != 0) {
      if (errno != EINPROGRESS || !wait_for(s.fd_, POLLOUT, deadline)) continue;
      int error = 0;
      socklen_t n = sizeof error;
      if (::getsockopt(s.fd_, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error) continue;
    }
    if (own_name(s.fd_) == name_of(s.fd_, ::getpeername)) continue;  // nobody listens, and the kernel chose that very port
    ::fcntl(s.fd_, F_SETFL, ::fcntl(s.fd_, F_GETFL) & ~O_NONBLOCK);
    return s;
  }
  return std::nullopt;
}

Socket Socket::accept() const {
  return Socket(::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
}

int Socket::port() const { return std::stoi(own_name(fd_)[1]); }
std::string Socket::local_address() const { return own_name(fd_)[0]; }
std::string Socket::peer_address() const { return name_of(fd_, ::getpeername)[0]; }

bool Socket::send(std::string_view message) const {
  BF_CHECK(message.size() < (1u << 31), "a message of ", message.size(), " bytes");
  const std::uint32_t length = ::htonl(std::uint32_t(message.size()));
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  bytes += message;
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::send(fd_, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    done += std::size_t(n);
  }
  return true;
}

bool Socket::read_exactly(char* to, std::size_t n, Deadline deadline) const {
  while (n > 0) {
    if (!wait_for(fd_, POLLIN, deadline)) return false;
    const ssize_t got = ::recv(fd_, to, n, 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return false;
    to += got, n -= std::size_t(got);
  }
  return true;
}

std::optional<std::string> Socket::receive(std::uint32_t most, Deadline deadline) const {
  std::uint32_t length = 0;
  if (!read_exactly(reinterpret_cast<char*>(&length), sizeof length, deadline)) return std::nullopt;
  const std::uint32_t n = ::ntohl(length);
  if (n > most) return std::nullopt;
  std::string message(n, '\0');
  if (!read_exactly(message.data(), n, deadline)) return std::nullopt;
  return message;
}

}  // namespace bonafide
