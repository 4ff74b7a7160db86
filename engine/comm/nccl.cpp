// engine/comm/nccl.cpp — see nccl.h. Everything goes over a stream of the communicator's own, which begins where the
// context's stream is, and which the context's stream waits for: so sums overlap with what is computed, and both are
// captured when a CUDA graph is.
#include "engine/comm/nccl.h"

#include <nccl.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "engine/cuda_runtime.h"

namespace bonafide {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// What decides in which order NCCL adds: one algorithm, one number of channels.
constexpr int kChannels = 16;
constexpr const char* kAlgorithm = "Ring";

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Context& ctx, Communicator& host, LastWords words, std::chrono::milliseconds timeout)
      : ctx_(ctx), rank_(host.rank()), world_(host.world()), words_(std::move(words)), timeout_(timeout) {
    ::setenv("NCCL_ALGO", kAlgorithm, 0);  // a user's own choice stays
    std::vector<std::uint8_t> name(sizeof(ncclUniqueId));
    if (rank_ == 0) check(ncclGetUniqueId(reinterpret_cast<ncclUniqueId*>(name.data())), "a name for the group");
    host.broadcast(name, 0);
    ncclUniqueId id;
    std::copy(name.begin(), name.end(), reinterpret_cast<std::uint8_t*>(&id));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.minCTAs = config.maxCTAs = kChannels;
    ctx_.use_in_this_thread();
    stream_ = cuda::make_stream(), here_ = cuda::make_event(), there_ = cuda::make_event();
    check(ncclCommInitRankConfig(&comm_, world_, id, rank_, &config), "connecting");
    one_ = static_cast<float*>(cuda::allocate(sizeof(float)));
    BF_CHECK(one_, "no memory on the GPU for a single number");
    watch_ = std::thread([this] { watch(); });
  }
  ~NcclCommunicator() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    watch_.join();
    if (!aborted_) ncclCommAbort(comm_);  // not Destroy: it would wait for processes that may be gone
    for (auto& m : marks_) cuda::destroy(m.event);
    cuda::release(one_);
    cuda::destroy(here_), cuda::destroy(there_), cuda::destroy(stream_);
  }

  int rank() const override { return rank_; }
  int world() const override { return world_; }

  void all_gather(Span<const float> mine, Span<float> all) override {
    check_all_gather(mine, all);
    enqueue("all_gather", [&] { return ncclAllGather(mine.ptr, all.ptr, std::size_t(mine.len), ncclFloat, comm_, stream()); });
    finish();
  }
  void broadcast(Span<std::uint8_t> bytes, int root) override {
    check_broadcast(bytes, root);
    enqueue("broadcast", [&] { return ncclBroadcast(bytes.ptr, bytes.ptr, std::size_t(bytes.len), ncclUint8, root, comm_, stream()); });
    finish();
  }
  void barrier() override {
    enqueue("barrier", [&] { return ncclAllReduce(one_, one_, 1, ncclFloat, ncclSum, comm_, stream()); });
    finish();
    ctx_.synchronize();
    explain();
  }
  void begin_all_reduce_sum(Span<float> v) override { sum(v.ptr, v.len, ncclFloat); }
  void begin_all_reduce_sum(Span<bf16> v) override { sum(v.ptr, v.len, ncclBfloat16); }
  void finish() override {
    explain();
    cuda::record(there_, stream_);
    cuda::wait(ctx_.target().stream, there_);
    if (cuda::capturing(ctx_.target().stream)) return;  // nothing happens now that could be waited for
    const cuda::Event event = cuda::make_event();
    cuda::record(event, stream_);
    const std::lock_guard lock(mutex_);
    marks_.push_back({event, Clock::now() + timeout_, operation_});
    changed_.notify_all();
  }
  void abort() noexcept override {
    const std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = str(who(), " has given up");
    if (!aborted_) aborted_ = true, ncclCommAbort(comm_);
    changed_.notify_all();
  }

 private:
  struct Mark {
    cuda::Event event;
    Clock::time_point deadline;
    const char* operation;
  };

  cudaStream_t stream() const { return static_cast<cudaStream_t>(stream_.handle); }
  std::string who() const { return str("rank ", rank_, " of ", world_); }
  // f() hands an operation to NCCL, which works on it when the context's stream has come so far.
  template <class F>
  void enqueue(const char* operation, F&& f) {
    explain();
    cuda::record(here_, ctx_.target().stream);
    cuda::wait(stream_, here_);
    {
      const std::lock_guard lock(mutex_);
      operation_ = operation, in_nccl_ = true;
    }
    const ncclResult_t result = f();
    {
      const std::lock_guard lock(mutex_);
      in_nccl_ = false;
    }
    explain();
    check(result, operation);
  }
  void sum(void* p, std::int64_t n, ncclDataType_t type) {
    check_array(p, n);
    if (n == 0) return;
    enqueue("all_reduce_sum", [&] { return ncclAllReduce(p, p, std::size_t(n), type, ncclSum, comm_, stream()); });
  }
  void check(ncclResult_t r, const char* what) const {
    if (r != ncclSuccess)
      throw PeerError(str(who(), ": NCCL, ", what, ": ", ncclGetErrorString(r), ": ", ncclGetLastError(comm_)));
  }
  void explain() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !aborted_ || !failure_.empty(); });  // its words are still being found
    if (!failure_.empty()) throw PeerError(failure_);
  }

  // A GPU that waits for a process that is gone waits for ever: this thread looks after it, and takes the group apart.
  void watch() {
    ctx_.use_in_this_thread();
    std::unique_lock lock(mutex_);
    while (!stop_ && !aborted_) {
      changed_.wait_for(lock, 100ms);
      if (stop_ || aborted_) return;
      while (!marks_.empty() && cuda::reached(marks_.front().event)) {
        cuda::destroy(marks_.front().event);
        marks_.pop_front();
      }
      ncclResult_t state = ncclSuccess;
      ncclCommGetAsyncError(comm_, &state);
      const std::string operation = marks_.empty() ? operation_ : marks_.front().operation;
      if (state != ncclSuccess) take_apart(lock, operation, str("failed (", ncclGetErrorString(state), ")"));
      else if (!marks_.empty() && Clock::now() > marks_.front().deadline)
        take_apart(lock, operation, str("did not end within ", double(timeout_.count()) / 1e3, " s"));
    }
  }
  void take_apart(std::unique_lock<std::mutex>& lock, const std::string& operation, const std::string& how) {
    for (int i = 0; i < 100 && in_nccl_; ++i) changed_.wait_for(lock, 10ms);  // a call that is about to end still uses the group
    if (aborted_) return;
    aborted_ = true;
    ncclCommAbort(comm_);
    lock.unlock();
    const std::string others = words_.others(operation);
    lock.lock();
    if (failure_.empty()) failure_ = str(who(), ": ", operation, " on the GPU ", how, ": ", others);
    changed_.notify_all();
  }

  Context& ctx_;
  int rank_, world_;
  LastWords words_;
  std::chrono::milliseconds timeout_;
  ncclComm_t comm_ = nullptr;
  Stream stream_;
  cuda::Event here_, there_;
  float* one_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Mark> marks_;
  const char* operation_ = "nothing";  // the last one begun
  std::string failure_;
  bool in_nccl_ = false, stop_ = false, aborted_ = false;
  std::thread watch_;
};

}  // namespace

std::unique_ptr<Communicator> nccl_communicator(Context& ctx, Communicator& host, LastWords words, std::chrono::milliseconds timeout) {
  return std::make_unique<NcclCommunicator>(ctx, host, std::move(words), timeout);
}

}  // namespace bonafide
