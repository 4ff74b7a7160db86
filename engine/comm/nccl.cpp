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
  NcclCommunicator(Context& ctx, Communicator& host, std::chrono::milliseconds timeout)
      : ctx_(ctx), rank_(host.rank()), world_(host.world()), timeout_(timeout) {
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
    begin();
    check(ncclAllGather(mine.ptr, all.ptr, std::size_t(mine.len), ncclFloat, comm_, stream()), "all_gather");
    finish();
  }
  void broadcast(Span<std::uint8_t> bytes, int root) override {
    check_broadcast(bytes, root);
    begin();
    check(ncclBroadcast(bytes.ptr, bytes.ptr, std::size_t(bytes.len), ncclUint8, root, comm_, stream()), "broadcast");
    finish();
  }
  void barrier() override {
    begin();
    check(ncclAllReduce(one_, one_, 1, ncclFloat, ncclSum, comm_, stream()), "barrier");
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
    Mark m{cuda::make_event(), Clock::now() + timeout_};
    cuda::record(m.event, stream_);
    const std::lock_guard lock(mutex_);
    marks_.push_back(m);
    changed_.notify_all();
  }
  void abort() noexcept override {
    const std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = str("rank ", rank_, " of ", world_, " has given up");
    if (!aborted_) ncclCommAbort(comm_), aborted_ = true;
  }

 private:
  struct Mark {
    cuda::Event event;
    Clock::time_point deadline;
  };

  cudaStream_t stream() const { return static_cast<cudaStream_t>(stream_.handle); }
  void begin() {
    explain();
    cuda::record(here_, ctx_.target().stream);
    cuda::wait(stream_, here_);
  }
  void sum(void* p, std::int64_t n, ncclDataType_t type) {
    check_array(p, n);
    if (n == 0) return;
    begin();
    check(ncclAllReduce(p, p, std::size_t(n), type, ncclSum, comm_, stream()), "all_reduce_sum");
  }
  void check(ncclResult_t r, const char* what) const {
    if (r != ncclSuccess)
      throw PeerError(str("rank ", rank_, " of ", world_, ": NCCL, ", what, ": ", ncclGetErrorString(r), ": ", ncclGetLastError(comm_)));
  }
  void explain() {
    const std::lock_guard lock(mutex_);
    if (!failure_.empty()) throw PeerError(failure_);
  }

  // A GPU that waits for a process that is gone waits for ever: this thread looks after it, and takes the group apart.
  void watch() {
    ctx_.use_in_this_thread();
    std::unique_lock lock(mutex_);
    while (!stop_ && !aborted_) {
      changed_.wait_for(lock, 100ms);
      while (!marks_.empty() && cuda::reached(marks_.front().event)) {
        cuda::destroy(marks_.front().event);
        marks_.pop_front();
      }
      ncclResult_t state = ncclSuccess;
      ncclCommGetAsyncError(comm_, &state);
      if (state != ncclSuccess) failure_ = str("rank ", rank_, " of ", world_, ": NCCL: ", ncclGetErrorString(state), ": another process hangs or is gone");
      else if (!marks_.empty() && Clock::now() > marks_.front().deadline)
        failure_ = str("rank ", rank_, " of ", world_, ": sums on the GPU did not end within ", double(timeout_.count()) / 1e3, " s: another process hangs or is gone");
      if (!failure_.empty()) ncclCommAbort(comm_), aborted_ = true;
    }
  }

  Context& ctx_;
  int rank_, world_;
  std::chrono::milliseconds timeout_;
  ncclComm_t comm_ = nullptr;
  Stream stream_;
  cuda::Event here_, there_;
  float* one_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Mark> marks_;
  std::string failure_;
  bool stop_ = false, aborted_ = false;
  std::thread watch_;
};

}  // namespace

std::unique_ptr<Communicator> nccl_communicator(Context& ctx, Communicator& host, std::chrono::milliseconds timeout) {
  return std::make_unique<NcclCommunicator>(ctx, host, timeout);
}

}  // namespace bonafide
