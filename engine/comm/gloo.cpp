// engine/comm/gloo.cpp — see gloo.h. Sums go around a ring (fixed, so that bits repeat); those in the background are made
// by a thread of the communicator's own, one after the other.
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

class GlooCommunicator final : public Communicator {
 public:
  GlooCommunicator(std::shared_ptr<Store> store, std::string session, const GlooSettings& s)
      : store_(std::move(store)), session_(std::move(session)), settings_(s) {
    attempt("connecting", 0, [&] {
      std::shared_ptr<gloo::transport::Device> device = gloo::transport::tcp::CreateDevice(s.address.c_str());
      auto context = std::make_shared<gloo::rendezvous::Context>(s.rank, s.world);
      context->setTimeout(s.timeout);
      KeysOfASession keys(*store_, session_, s.timeout);
      context->connectFullMesh(keys, device);
      context_ = std::move(context);
    });
    thread_ = std::thread([this] { work(); });
  }
  ~GlooCommunicator() override {
    if (unfinished()) abort();  // an error is on its way up: nobody waits for the others' share of a sum
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  int rank() const override { return settings_.rank; }
  int world() const override { return settings_.world; }

  void all_gather(Span<const float> mine, Span<float> all) override {
    check_all_gather(mine, all);
    if (mine.len == 0) return;
    attempt("all_gather", mine.len * 4, [&] {
      gloo::AllgatherOptions o(context_);
      o.setInput(const_cast<float*>(mine.ptr), std::size_t(mine.len));
      o.setOutput(all.ptr, std::size_t(all.len));
      gloo::allgather(o);
    });
  }
  void broadcast(Span<std::uint8_t> bytes, int root) override {
    check_broadcast(bytes, root);
    if (bytes.len == 0) return;
    attempt("broadcast", bytes.len, [&] {
      gloo::BroadcastOptions o(context_);
      o.setOutput(bytes.ptr, std::size_t(bytes.len));
      o.setRoot(root);
      gloo::broadcast(o);
    });
  }
  void barrier() override {
    attempt("barrier", 0, [&] {
      gloo::BarrierOptions o(context_);
      gloo::barrier(o);
    });
  }
  void begin_all_reduce_sum(Span<float> values) override { begin<float, float>(values); }
  void begin_all_reduce_sum(Span<bf16> values) override { begin<bf16, std::uint16_t>(values); }
  void finish() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failure_ || (todo_.empty() && !busy_); });
    if (failure_) std::rethrow_exception(failure_);
  }
  void abort() noexcept override {
    std::unique_lock lock(mutex_);
    aborted_ = true;
    todo_.clear();
    if (!failure_) failure_ = std::make_exception_ptr(PeerError(str("rank ", rank(), " of ", world(), " has given up")));
    break_connections();
    changed_.wait(lock, [&] { return !busy_; });
  }

 private:
  bool unfinished() {
    const std::lock_guard lock(mutex_);
    return busy_ || !todo_.empty();
  }
  // Ends what this process waits for. closeConnections() tells the others, but not those who wait here; a wait that takes too
  // long does both. So: a byte that nobody sends.
  void break_connections() noexcept {
    const NoSigpipe no_sigpipe;
    for (int r = 0; r < world(); ++r) try {
        if (r == rank()) continue;
        char byte;
        const auto never = context_->createUnboundBuffer(&byte, 1);
        never->recv(r, ~std::uint64_t(0), 0, 1);
        never->waitRecv(1ms);
      } catch (const std::exception&) {  // it was too late, or the connection was gone before
      }
  }

  // T: what is added; Stored: a type of that size that Gloo knows.
  template <class T, class Stored>
  void begin(Span<T> values) {
    check_array(values.ptr, values.len);
    if (values.len == 0) return;
    {
      const std::lock_guard lock(mutex_);
      todo_.push_back([this, values] {
        attempt("all_reduce_sum", values.len * std::int64_t(sizeof(T)), [&] {
          gloo::AllreduceOptions o(context_);
          o.setAlgorithm(gloo::AllreduceOptions::Algorithm::RING);
          o.setOutput(reinterpret_cast<Stored*>(values.ptr), std::size_t(values.len));
          o.setReduceFunction(&add<T>);
          gloo::allreduce(o);
        });
      });
    }
    changed_.notify_all();
  }
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return stop_ || !todo_.empty(); });
      if (stop_) return;
      const auto job = std::move(todo_.front());
      todo_.pop_front();
      busy_ = true;
      lock.unlock();
      std::exception_ptr failure;
      try {
        job();
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      busy_ = false;
      if (failure && !failure_) failure_ = failure;
      if (failure) todo_.clear();
      changed_.notify_all();
    }
  }

  template <class F>
  void attempt(const char* operation, std::int64_t bytes, F&& f) {
    const auto start = Clock::now();
    const NoSigpipe no_sigpipe;  // Gloo writes to who is gone
    try {
      f();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& e) {
      const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
      const bool late = Clock::now() - start >= settings_.timeout;
      if (context_) break_connections();  // or a neighbour that waits for this rank's share would look as if it hung
      const std::string what = bytes ? str(operation, " of ", bytes, " bytes") : std::string(operation);
      throw PeerError(str("rank ", rank(), " of ", world(), ": ", what, late ? " did not end within " : " failed after ", seconds, " s: ", others(what), " (", e.what(), ")"));
    }
  }
  // Leaves word of where this process stood, and looks who else does, for a while: those that say nothing hang, or are dead.
  std::string others(const std::string& operation) {
    std::vector<std::optional<std::string>> said(std::size_t(world()), std::nullopt);
    if (aborted_) return "this rank has given up";
    const auto silent = [&] { return !std::ranges::all_of(said, [](const auto& s) { return s.has_value(); }); };
    try {
      const std::string prefix = session_ + "/stopped/";
      store_->set(prefix + std::to_string(rank()), operation);
      for (const auto deadline = Clock::now() + 3s; silent() && Clock::now() < deadline; std::this_thread::sleep_for(20ms))
        for (int r = 0; r < world(); ++r)
          if (auto& s = said[std::size_t(r)]; !s) s = store_->get(prefix + std::to_string(r));
    } catch (const Error&) {  // rank 0 had the store
      if (!said[0]) {
        std::this_thread::sleep_for(1s);  // whoever watches over the processes is to see rank 0's end first
        return "rank 0 is gone";
      }
    }
    std::string ranks, elsewhere;
    for (int r = 0; r < world(); ++r)
      if (const auto& s = said[std::size_t(r)]; !s) ranks += str(ranks.empty() ? "" : ", ", r);
      else if (*s != operation) elsewhere += str(", rank ", r, " stopped at ", *s);
    return (ranks.empty() ? "all ranks stopped" : str("rank ", ranks, " hangs or is gone")) + elsewhere;
  }

  std::shared_ptr<Store> store_;
  std::string session_;
  GlooSettings settings_;
  std::shared_ptr<gloo::Context> context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> todo_;
  std::exception_ptr failure_;
  bool busy_ = false, stop_ = false;
  std::atomic<bool> aborted_ = false;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Communicator> gloo_communicator(std::shared_ptr<Store> store, const std::string& session, const GlooSettings& s) {
  BF_CHECK(s.world >= 1 && s.rank >= 0 && s.rank < s.world, "rank ", s.rank, " of ", s.world);
  return std::make_unique<GlooCommunicator>(std::move(store), session, s);
}

}  // namespace bonafide
