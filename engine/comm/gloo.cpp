// engine/comm/gloo.cpp — see gloo.h. Sums go around a ring (fixed, so that bits repeat). Everything is done by a thread of the
// communicator's own, one operation after the other, in the order in which they were asked for.
#include "engine/comm/gloo.h"

#include <gloo/allgather.h>
#include <gloo/allreduce.h>
#include <gloo/barrier.h>
#include <gloo/broadcast.h>
#include <gloo/rendezvous/context.h>
#include <gloo/rendezvous/store.h>
#include <gloo/transport/tcp/device.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "engine/comm/last_words.h"
#include "engine/comm/meeting.h"
#include "engine/comm/no_sigpipe.h"

namespace bonafide {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Gloo's view of our store. It looks for addresses while it connects, under keys of its own.
class KeysOfASession final : public gloo::rendezvous::Store {
 public:
  KeysOfASession(bonafide::Store& store, std::string session, std::chrono::milliseconds timeout)
      : store_(store), prefix_(std::move(session) + "/gloo/"), timeout_(timeout) {}
  void set(const std::string& key, const std::vector<char>& data) override { store_.set(prefix_ + key, {data.data(), data.size()}); }
  std::vector<char> get(const std::string& key) override {
    const std::string value = wait_for_value(store_, prefix_ + key, timeout_, "the address of rank " + key);
    return {value.begin(), value.end()};
  }
  void wait(const std::vector<std::string>& keys) override { wait(keys, timeout_); }
  void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout) override {
    for (const auto& k : keys) wait_for_value(store_, prefix_ + k, timeout, "the address of rank " + k);
  }

 private:
  bonafide::Store& store_;
  std::string prefix_;
  std::chrono::milliseconds timeout_;
};

template <class T>
void add(void* to, const void* a, const void* b, std::size_t n) {
  const T *x = static_cast<const T*>(a), *y = static_cast<const T*>(b);
  T* z = static_cast<T*>(to);
  for (std::size_t i = 0; i < n; ++i) z[i] = T(float(x[i]) + float(y[i]));
}

// The connections of one process with all others, and a thread that makes one operation after the other over them. Shared with
// that thread, because it can outlive the communicator: where a process goes away in the middle of a message, Gloo leaves who
// waits for its end waiting (Pair::signalException tells the operations that have not begun). Such an operation is given up,
// its thread left alone until Gloo's time-out; over a closed connection it reads and writes nothing any more.
class Connections {
 public:
  using Operation = std::function<void(const std::shared_ptr<gloo::Context>&)>;

  Connections(std::shared_ptr<Store> store, std::string session, const GlooSettings& s)
      : store_(std::move(store)), session_(std::move(session)), settings_(s), words_(store_, session_, s.rank, s.world) {
    const Job job{"connecting", [&](const auto&) {
                    std::shared_ptr<gloo::transport::Device> device = gloo::transport::tcp::CreateDevice(s.address.c_str());
                    auto context = std::make_shared<gloo::rendezvous::Context>(s.rank, s.world);
                    context->setTimeout(std::max(1ms, s.timeout / 5));  // while it connects, Gloo waits five times as long
                    KeysOfASession keys(*store_, session_, s.timeout);
                    context->connectFullMesh(keys, device);
                    context->setTimeout(s.timeout);
                    gloo::BarrierOptions all(context);
                    gloo::barrier(all);  // some may still look for addresses: nobody leaves, and takes the store along, before
                    context_ = std::move(context);
                  }};
    if (const auto failure = made(job)) std::rethrow_exception(failure);
    // A byte from everybody that nobody sends: how this process hears that a connection has ended.
    signs_of_life_ = context_->createUnboundBuffer(&byte_, 1);
    const NoSigpipe no_sigpipe;
    for (int r = 0; r < s.world; ++r)
      if (r != s.rank) signs_of_life_->recv(r, kNobodysSlot, 0, 1);
  }

  // The operation's number, for wait(). It begins when those before it have ended.
  std::int64_t begin(std::string what, Operation f) {
    const std::lock_guard lock(mutex_);
    if (!failure_) todo_.push_back({std::move(what), std::move(f)});
    changed_.notify_all();
    return ++begun_;
  }
  std::int64_t begun() {
    const std::lock_guard lock(mutex_);
    return begun_;
  }
  void wait(std::int64_t number) {
    std::unique_lock lock(mutex_);
    while (!failure_ && ended_ < number)
      if (!give_up_at_) changed_.wait(lock);
      else if (const auto until = *give_up_at_; Clock::now() < until) changed_.wait_until(lock, until);
      else give_up_current(lock);
    if (failure_) std::rethrow_exception(failure_);
  }
  bool idle() {
    const std::lock_guard lock(mutex_);
    return todo_.empty() && !in_gloo_;
  }
  void abort() {
    std::unique_lock lock(mutex_);
    aborted_ = true;
    todo_.clear();
    if (!failure_) failure_ = std::make_exception_ptr(PeerError(str(who(), " has given up")));
    break_connections();
    if (!left_alone_) left_alone_ = !changed_.wait_for(lock, settings_.cut_off, [&] { return !in_gloo_; });
    changed_.notify_all();
  }
  // No operation begins any more. Whether the threads end now: otherwise one hangs in Gloo.
  bool stop() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
      signs_of_life_->abortWaitRecv();
    }
    changed_.notify_all();
    return !left_alone_;
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stop_ || !todo_.empty(); });
      if (stop_) return;
      job_ = std::move(todo_.front()), job_began_ = Clock::now(), in_gloo_ = true;
      todo_.pop_front();
      const Job job = job_;
      if (broken_) limit_current();
      lock.unlock();
      const std::exception_ptr failure = made(job);
      lock.lock();
      ++ended_;
      if (failure && !failure_) failure_ = failure;
      if (failure) todo_.clear();
      changed_.notify_all();
      if (left_alone_) return;
    }
  }
  void watch() {
    try {
      if (!signs_of_life_->waitRecv(24h * 365)) return;  // stop()
    } catch (const std::exception&) {  // a process has gone, or this one has broken with them
    }
    const std::lock_guard lock(mutex_);
    broken_ = true;
    if (in_gloo_) limit_current();
  }

 private:
  struct Job {
    std::string what;
    Operation f;
  };
  static constexpr std::uint64_t kNobodysSlot = ~std::uint64_t(0);

  std::string who() const { return str("rank ", settings_.rank, " of ", settings_.world); }

  // nullptr, or what went wrong.
  std::exception_ptr made(const Job& job) {
    const auto start = Clock::now();
    const NoSigpipe no_sigpipe;  // Gloo writes to who is gone
    const auto left_gloo = [&] {  // false: too late
      const std::lock_guard lock(mutex_);
      in_gloo_ = false, give_up_at_.reset();
      changed_.notify_all();
      return !left_alone_;
    };
    try {
      job.f(context_);
      left_gloo();
      return nullptr;
    } catch (const Error&) {
      left_gloo();
      return std::current_exception();
    } catch (const std::exception& e) {
      const auto seconds = Clock::now() - start;
      if (!left_gloo()) return nullptr;
      if (context_) break_connections();  // or a neighbour that waits for this rank's share would look as if it hung
      return failed(job.what, seconds, e.what());
    }
  }
  void limit_current() {
    give_up_at_ = Clock::now() + settings_.cut_off;
    changed_.notify_all();  // who waits looks at the clock from now on
  }
  void give_up_current(std::unique_lock<std::mutex>& lock) {
    left_alone_ = true, give_up_at_.reset();
    const std::string what = job_.what;
    const auto seconds = Clock::now() - job_began_;
    lock.unlock();
    break_connections();
    const std::exception_ptr failure = failed(what, seconds, "a message was cut off");
    lock.lock();
    todo_.clear();
    if (!failure_) failure_ = failure;
    changed_.notify_all();
  }
  std::exception_ptr failed(const std::string& what, Clock::duration took, const std::string& why) {
    const bool late = took >= settings_.timeout;
    const double seconds = std::chrono::duration<double>(took).count();
    return std::make_exception_ptr(PeerError(str(who(), ": ", what, late ? " did not end within " : " failed after ", seconds, " s: ", aborted_ ? "this rank has given up" : words_.others(what), " (", why, ")")));
  }

  // Ends what this process waits for, and what the others wait for from it. closeConnections() does the second only; a wait
  // that takes too long does both.
  void break_connections() noexcept {
    const NoSigpipe no_sigpipe;
    try {
      context_->createUnboundBuffer(nullptr, 0)->waitRecv(1ms);  // nobody sends
    } catch (const std::exception&) {
    }
  }

  std::shared_ptr<Store> store_;
  std::string session_;
  GlooSettings settings_;
  LastWords words_;
  std::shared_ptr<gloo::Context> context_;
  char byte_ = 0;
  std::unique_ptr<gloo::transport::UnboundBuffer> signs_of_life_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> todo_;
  Job job_;  // the current one
  Clock::time_point job_began_;
  std::optional<Clock::time_point> give_up_at_;  // the current one, if it has not ended by then
  std::int64_t begun_ = 0, ended_ = 0;
  std::exception_ptr failure_;
  bool in_gloo_ = false, stop_ = false;
  bool broken_ = false;      // a connection has ended
  bool left_alone_ = false;  // the current operation hangs
  std::atomic<bool> aborted_ = false;
};

class GlooCommunicator final : public Communicator {
 public:
  GlooCommunicator(std::shared_ptr<Store> store, std::string session, const GlooSettings& s)
      : rank_(s.rank), world_(s.world), connections_(std::make_shared<Connections>(std::move(store), std::move(session), s)) {
    worker_ = std::thread([c = connections_] { c->work(); });
    watcher_ = std::thread([c = connections_] { c->watch(); });
  }
  ~GlooCommunicator() override {
    if (!connections_->idle()) abort();  // an error is on its way up: nobody waits for the others' share of a sum
    if (connections_->stop()) worker_.join();
    else worker_.detach();
    watcher_.join();
  }

  int rank() const override { return rank_; }
  int world() const override { return world_; }

  void all_gather(Span<const float> mine, Span<float> all) override {
    check_all_gather(mine, all);
    if (mine.len == 0) return;
    make("all_gather", mine.len * 4, [mine, all](const auto& context) {
      gloo::AllgatherOptions o(context);
      o.setInput(const_cast<float*>(mine.ptr), std::size_t(mine.len));
      o.setOutput(all.ptr, std::size_t(all.len));
      gloo::allgather(o);
    });
  }
  void broadcast(Span<std::uint8_t> bytes, int root) override {
    check_broadcast(bytes, root);
    if (bytes.len == 0) return;
    make("broadcast", bytes.len, [bytes, root](const auto& context) {
      gloo::BroadcastOptions o(context);
      o.setOutput(bytes.ptr, std::size_t(bytes.len));
      o.setRoot(root);
      gloo::broadcast(o);
    });
  }
  void barrier() override {
    make("barrier", 0, [](const auto& context) {
      gloo::BarrierOptions o(context);
      gloo::barrier(o);
    });
  }
  void begin_all_reduce_sum(Span<float> values) override { begin<float, float>(values); }
  void begin_all_reduce_sum(Span<bf16> values) override { begin<bf16, std::uint16_t>(values); }
  void finish() override { connections_->wait(connections_->begun()); }
  void abort() noexcept override { connections_->abort(); }

 private:
  static std::string words(const char* operation, std::int64_t bytes) { return bytes ? str(operation, " of ", bytes, " bytes") : std::string(operation); }
  void make(const char* operation, std::int64_t bytes, Connections::Operation f) { connections_->wait(connections_->begin(words(operation, bytes), std::move(f))); }
  // T: what is added; Stored: a type of that size that Gloo knows.
  template <class T, class Stored>
  void begin(Span<T> values) {
    check_array(values.ptr, values.len);
    if (values.len == 0) return;
    connections_->begin(words("all_reduce_sum", values.len * std::int64_t(sizeof(T))), [values](const auto& context) {
      gloo::AllreduceOptions o(context);
      o.setAlgorithm(gloo::AllreduceOptions::Algorithm::RING);
      o.setOutput(reinterpret_cast<Stored*>(values.ptr), std::size_t(values.len));
      o.setReduceFunction(&add<T>);
      gloo::allreduce(o);
    });
  }

  int rank_, world_;
  std::shared_ptr<Connections> connections_;
  std::thread worker_, watcher_;
};

}  // namespace

std::unique_ptr<Communicator> gloo_communicator(std::shared_ptr<Store> store, const std::string& session, const GlooSettings& s) {
  BF_CHECK(s.world >= 1 && s.rank >= 0 && s.rank < s.world, "rank ", s.rank, " of ", s.world);
  return std::make_unique<GlooCommunicator>(std::move(store), session, s);
}

}  // namespace bonafide
