// engine/comm/tcp_store.cpp — a store in the memory of one process. A client says hello with its run id, then asks, one
// message at a time: "s<key>\n<value>" is answered by "+", "g<key>" by "+<value>" or "-", and "a" likewise, by the server's
// address on the way to another machine.
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "engine/base.h"
#include "engine/comm/socket.h"
#include "engine/comm/store.h"

namespace bonafide {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint32_t kMost = (1 << 20) + (1 << 10);
constexpr auto kPatience = 5s;  // for a message that has begun, or an answer
const std::string kHello = "bonafide store 1\n";

// Answers in a thread of its own until it is destroyed. One slow or hostile client cannot hold up the others for longer
// than kBeginning: messages are tiny, and who does not finish one is dropped.
class Server {
 public:
  Server(int port, std::string run_id) : run_id_(std::move(run_id)), listener_(Socket::listen(port)) {
    BF_CHECK(::pipe(wake_) == 0, "pipe: ", std::strerror(errno));
    thread_ = std::thread([this] { run(); });
  }
  ~Server() {
    (void)!::write(wake_[1], "", 1);
    thread_.join();
    ::close(wake_[0]), ::close(wake_[1]);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  struct Client {
    Socket socket;
    bool welcome = false;
  };
  static constexpr auto kBeginning = 1s;

  void run() {
    for (;;) {
      std::vector<pollfd> watched{{wake_[0], POLLIN, 0}, {listener_.fd(), POLLIN, 0}};
      for (const Client& c : clients_) watched.push_back({c.socket.fd(), POLLIN, 0});
      if (::poll(watched.data(), watched.size(), -1) < 0) {
        if (errno == EINTR) continue;
        return;
      }
      if (watched[0].revents) return;
      std::vector<Client> stay;
      for (std::size_t i = 0; i < clients_.size(); ++i)
        if (!watched[i + 2].revents || answer(clients_[i])) stay.push_back(std::move(clients_[i]));
      clients_ = std::move(stay);
      if (watched[1].revents)
        if (Socket s = listener_.accept()) clients_.push_back({std::move(s)});
    }
  }

  // False: the client is gone, or is to go.
  bool answer(Client& c) {
    const auto message = c.socket.receive(kMost, Clock::now() + kBeginning);
    if (!message) return false;
    if (!c.welcome) {
      if (message->rfind(kHello, 0) != 0) return false;
      const std::string id = message->substr(kHello.size());
      c.welcome = id == run_id_;
      if (c.welcome && outside_.empty() && !is_loopback(c.socket.peer_address())) outside_ = c.socket.local_address();
      return c.socket.send(c.welcome ? "+" : "-" + run_id_) && c.welcome;
    }
    if (message->empty()) return false;
    const std::size_t end = message->find('\n');
    const std::string key = message->substr(1, end == std::string::npos ? end : end - 1);
    if ((*message)[0] == 's' && end != std::string::npos) {
      values_[key] = message->substr(end + 1);
      return c.socket.send("+");
    }
    if (*message == "a") return c.socket.send(outside_.empty() ? "-" : "+" + outside_);
    if ((*message)[0] != 'g') return false;
    const auto found = values_.find(key);
    return c.socket.send(found == values_.end() ? "-" : "+" + found->second);
  }

  std::string run_id_, outside_;  // outside_: our address, as the first client of another machine has it
  Socket listener_;
  int wake_[2] = {-1, -1};
  std::vector<Client> clients_;
  std::map<std::string, std::string> values_;
  std::thread thread_;
};

class TcpStore final : public Store {
 public:
  TcpStore(const std::string& address, int port, const std::string& run_id, bool serve, std::chrono::milliseconds timeout)
      : where_(str("tcp://", address, ":", port)) {
    if (serve) server_ = std::make_unique<Server>(port, run_id);
    const auto deadline = Clock::now() + timeout;
    while (!socket_) {
      if (auto s = Socket::connect(address, port, deadline)) socket_ = std::move(*s);
      else if (Clock::now() >= deadline)
        throw Error(str("nobody answered at ", where_, " within ", double(timeout.count()) / 1e3, " s: rank 0 is to listen there"));
      else std::this_thread::sleep_for(50ms);
    }
    const std::string answer = ask(kHello + run_id);
    if (answer[0] != '+') throw Error(str(where_, " is another run's: run id '", answer.substr(1), "', not '", run_id, "'"));
  }
  void set(const std::string& key, std::string_view value) override {
    const std::lock_guard lock(mutex_);
    BF_CHECK(!key.empty() && key.find('\n') == std::string::npos && value.size() <= 1 << 20, "store key '", key, "', ", value.size(), " bytes");
    ask("s" + key + "\n" + std::string(value));
  }
  std::optional<std::string> get(const std::string& key) override {
    const std::lock_guard lock(mutex_);
    const std::string answer = ask("g" + key);
    return answer[0] == '+' ? std::optional(answer.substr(1)) : std::nullopt;
  }
  // Where the name of rank 0's machine means 127.0.1.1 on that machine, as Debian has it, its processes come to the store by
  // the loopback, which leads the others nowhere. The store's own machine is then this one.
  std::string local_address() const override {
    const std::string own = socket_.local_address();
    if (!is_loopback(own)) return own;
    const std::lock_guard lock(mutex_);
    const std::string answer = ask("a");
    return answer[0] == '+' ? answer.substr(1) : own;
  }
  std::string where() const override { return where_; }

 private:
  std::string ask(const std::string& message) const {
    if (socket_.send(message))
      if (auto answer = socket_.receive(kMost, Clock::now() + kPatience); answer && !answer->empty()) return *answer;
    throw Error(str(where_, " answers no more: rank 0 has ended, or what listens there is not this program"));
  }
  std::string where_;
  std::unique_ptr<Server> server_;
  Socket socket_;
  mutable std::mutex mutex_;
};

}  // namespace

std::unique_ptr<Store> tcp_store(const std::string& address, int port, const std::string& run_id, bool serve,
                                 std::chrono::milliseconds timeout) {
  return std::make_unique<TcpStore>(address, port, run_id, serve, timeout);
}

}  // namespace bonafide
