// tests/device/test_nccl.cpp — as many ranks as there are GPUs, one thread and one GPU each, connected by NCCL: exact sums,
// and gradients of shares that are those of the whole. With one GPU that is one rank, which goes the same way.
#include "engine/comm/nccl.h"

#include <barrier>
#include <cmath>
#include <exception>
#include <mutex>
#include <thread>

#include "engine/cuda_runtime.h"
#include "layers/functional/all_gather.h"
#include "layers/functional/gelu.h"
#include "layers/functional/linear.h"
#include "layers/functional/losses.h"
#include "layers/gradient_buckets.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// Host memory of threads: enough to hand NCCL's name of the group around.
class Threads final : public Communicator {
 public:
  struct Shared {
    explicit Shared(int n) : world(n), meeting(n) {}
    int world;
    std::barrier<> meeting;
    std::vector<std::uint8_t> bytes;
  };
  Threads(Shared& shared, int rank) : shared_(shared), rank_(rank) {}
  int rank() const override { return rank_; }
  int world() const override { return shared_.world; }
  void broadcast(Span<std::uint8_t> bytes, int root) override {
    if (rank_ == root) shared_.bytes.assign(bytes.begin(), bytes.end());
    barrier();
    std::copy(shared_.bytes.begin(), shared_.bytes.end(), bytes.begin());
    barrier();
  }
  void barrier() override { shared_.meeting.arrive_and_wait(); }
  void all_gather(Span<const float>, Span<float>) override { throw Error("not needed"); }
  void begin_all_reduce_sum(Span<float>) override { throw Error("not needed"); }
  void begin_all_reduce_sum(Span<bf16>) override { throw Error("not needed"); }
  void finish() override {}
  void abort() noexcept override {}

 private:
  Shared& shared_;
  int rank_;
};

void on_gpus(const std::function<void(Context&, Communicator&)>& f) {
  const int world = cuda::device_count();
  REQUIRE(world > 0);
  Threads::Shared shared(world);
  const TempFolder folder;
  std::exception_ptr error;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank)
    threads.emplace_back([&, rank] {
      try {
        Context ctx({Device::cuda, rank});
        Threads host(shared, rank);
        const std::shared_ptr<Store> store = file_store(folder / "words", false);
        const auto comm = nccl_communicator(ctx, host, LastWords(store, "nccl", rank, world), std::chrono::seconds(60));
        f(ctx, *comm);
        comm->barrier();
      } catch (...) {
        const std::lock_guard lock(mutex);
        error = std::current_exception();
      }
    });
  for (auto& t : threads) t.join();
  if (error) std::rethrow_exception(error);
}

std::vector<float> integers(int rank, std::int64_t n) {
  const auto b = Buffer<float>::integers(n, unsigned(100 + rank));
  return {b.cspan().begin(), b.cspan().end()};
}

constexpr int kLayers = 4;
constexpr std::int64_t kWidth = 64, kRows = 24;
std::vector<ParameterSpec> specs() {
  std::vector<ParameterSpec> s;
  for (int i = 0; i < kLayers; ++i) {
    s.push_back({str("layer", i, ".weight"), {i + 1 < kLayers ? kWidth : 1, kWidth}, Init::truncated_normal});
    s.push_back({str("layer", i, ".bias"), {i + 1 < kLayers ? kWidth : 1}, Init::ones});
  }
  return s;
}
Tensor logits(Context& ctx, const ParameterSet& parameters, std::int64_t first, std::int64_t n) {
  const auto x = Buffer<float>::random(kRows * kWidth, 3);
  Tensor t = Tensor::from_host(ctx, {n, kWidth}, std::span(x.cspan().ptr + first * kWidth, std::size_t(n * kWidth)));
  for (int i = 0; i < kLayers; ++i) {
    t = fn::linear(t, parameters[str("layer", i, ".weight")], parameters[str("layer", i, ".bias")]);
    if (i + 1 < kLayers) t = fn::gelu(t);
  }
  return t.reshape({n});
}
Tensor labels(Context& ctx) {
  std::vector<float> y(kRows);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = float(i % 3 == 0);
  return Tensor::from_host(ctx, {kRows}, y);
}

}  // namespace

TEST_CASE("nccl: sums, gathers and broadcasts of as many ranks as there are GPUs") {
  on_gpus([](Context& ctx, Communicator& comm) {
    const int world = comm.world();
    for (const std::int64_t n : {std::int64_t(1), std::int64_t(1001), std::int64_t(3'000'000)}) {
      std::vector<float> sum(std::size_t(n), 0), all;
      for (int r = 0; r < world; ++r) {
        const auto v = integers(r, n);
        for (std::size_t i = 0; i < v.size(); ++i) sum[i] += v[i];
        all.insert(all.end(), v.begin(), v.end());
      }
      const auto mine = integers(comm.rank(), n);
      const Tensor f = Tensor::from_host(ctx, {n}, mine), h = Tensor::from_host(ctx, {n}, mine, DType::bf16);
      comm.begin_all_reduce_sum(f.span());
      comm.begin_all_reduce_sum(h.span<bf16>());
      comm.finish();
      CHECK(f.to_host() == sum);
      CHECK(h.to_host() == sum);  // small integers
      const Tensor own = Tensor::from_host(ctx, {n}, mine), gathered = Tensor::empty(ctx, {n * world});
      comm.all_gather(own.cspan(), gathered.span());
      CHECK(gathered.to_host() == all);
      for (int root = 0; root < world; ++root) {
        const Tensor t = Tensor::from_host(ctx, {n}, mine);
        comm.broadcast({reinterpret_cast<std::uint8_t*>(t.span().ptr), n * 4}, root);
        CHECK(t.to_host() == integers(root, n));
      }
    }
  });
}

TEST_CASE("nccl: shares of a batch on all GPUs give the gradients of the whole, the same bits on each and in every run") {
  Context ctx({Device::cuda, 0});
  ParameterSet parameters(ctx, specs());
  parameters.initialise(1);
  fn::bce(logits(ctx, parameters, 0, kRows), labels(ctx), 0).backward();
  const auto want = parameters.gradients().to_host();
  std::vector<std::vector<float>> results;
  std::mutex mutex;
  for (int run = 0; run < 2; ++run)
    on_gpus([&](Context& own, Communicator& comm) {
      ParameterSet p(own, specs());
      p.initialise(1);
      GradientBuckets buckets(p, comm, {.bytes = 8000});
      std::vector<std::int64_t> first;
      for (int r = 0; r <= comm.world(); ++r) first.push_back(kRows * r / comm.world());
      const std::int64_t at = first[std::size_t(comm.rank())], n = first[std::size_t(comm.rank()) + 1] - at;
      buckets.begin();
      fn::bce(fn::all_gather_rows(comm, logits(own, p, at, n), first), labels(own), 0).backward();
      buckets.finish();
      const auto got = p.gradients().to_host();
      const std::lock_guard lock(mutex);
      results.push_back(got);
    });
  for (const auto& got : results) {
    CHECK(got == results[0]);
    double apart = 0, size = 0;
    for (std::size_t i = 0; i < got.size(); ++i) apart += std::pow(double(got[i]) - want[i], 2), size += std::pow(double(want[i]), 2);
    CHECK(std::sqrt(apart / size) < 1e-5);
  }
}
