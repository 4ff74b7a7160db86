// tests/host/test_communicator.cpp — sums, gathers and broadcasts of 1 to 5 processes; what happens when one of them is gone,
// late, or somewhere else.
#include "engine/communicator.h"

#include <signal.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/support/broken_pipe.h"
#include "tests/support/ranks.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
using namespace std::chrono_literals;

namespace {

// Integers: their sums are exact in any order, so that they are compared bit by bit.
template <class T = float>
Buffer<T> values_of(int rank, std::int64_t n) { return Buffer<T>::integers(n, unsigned(100 + rank)); }
template <class T = float>
Buffer<T> sum_of(int world, std::int64_t n) {
  Buffer<T> sum(n, 0);
  for (int r = 0; r < world; ++r) {
    const Buffer<T> v = values_of<T>(r, n);
    for (std::int64_t i = 0; i < n; ++i) sum[i] = T(to_f32(sum.cspan()[i]) + to_f32(v.cspan()[i]));
  }
  return sum;
}
const std::vector<std::int64_t> kLengths{1, 2, 3, 5, 64, 1001, 300'000};  // fewer than ranks; more than one segment

// A write to a process that is gone, whenever Gloo asks the store.
class BreaksPipes final : public Store {
 public:
  explicit BreaksPipes(std::shared_ptr<Store> store) : store_(std::move(store)) {}
  void set(const std::string& key, std::string_view value) override {
    CHECK(write_to_nobody() == EPIPE);
    store_->set(key, value);
  }
  std::optional<std::string> get(const std::string& key) override {
    CHECK(write_to_nobody() == EPIPE);
    return store_->get(key);
  }
  std::string where() const override { return store_->where(); }

 private:
  std::shared_ptr<Store> store_;
};
int threads_without_sigpipe() {
  int n = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);)
      if (line.rfind("SigBlk:", 0) == 0) n += int(std::stoull(line.substr(7), nullptr, 16) >> (SIGPIPE - 1) & 1);
  }
  return n;
}

}  // namespace

TEST_CASE("communicator: sums of 1 to 5 processes, f32 and bf16") {
  for (const int world : {1, 2, 3, 5})
    on_ranks(world, [&](Communicator& comm) {
      CHECK(comm.world() == world);
      for (const std::int64_t n : kLengths) {
        auto v = values_of(comm.rank(), n);
        comm.all_reduce_sum(v.span());
        expect_bitwise("sum", v, sum_of(world, n));
        v.check_guards("sum");
        auto h = values_of<bf16>(comm.rank(), n);
        comm.begin_all_reduce_sum(h.span());
        comm.finish();
        expect_bitwise("sum of bf16", h, sum_of<bf16>(world, n));
        h.check_guards("sum of bf16");
      }
      comm.all_reduce_sum({});
    });
}

TEST_CASE("communicator: sums in the background, while others are asked for in the foreground") {
  on_ranks(3, [&](Communicator& comm) {
    std::vector<Buffer<float>> v;
    for (const std::int64_t n : kLengths) v.push_back(values_of(comm.rank(), n));
    for (auto& b : v) comm.begin_all_reduce_sum(b.span());
    const auto mine = values_of(comm.rank(), 40);
    Buffer<float> all(120);
    comm.all_gather(mine.cspan(), all.span());
    comm.barrier();
    comm.finish();
    for (std::size_t i = 0; i < v.size(); ++i) expect_bitwise("sum", v[i], sum_of(3, kLengths[i]));
    for (int r = 0; r < 3; ++r)
      for (std::int64_t i = 0; i < 40; ++i) CHECK(all.cspan()[r * 40 + i] == values_of(r, 40).cspan()[i]);
    comm.finish();  // nothing has begun: nothing to wait for
  });
}

TEST_CASE("communicator: real numbers have the same bits on every rank and in every run") {
  constexpr std::int64_t n = 10'007;
  std::vector<Buffer<float>> results;
  std::mutex mutex;
  for (int run = 0; run < 2; ++run)
    on_ranks(4, [&](Communicator& comm) {
      auto v = Buffer<float>::random(n, unsigned(comm.rank()), 1e-3f, 30);
      comm.all_reduce_sum(v.span());
      const std::lock_guard lock(mutex);
      results.push_back(std::move(v));
    });
  REQUIRE(results.size() == 8);
  for (const auto& r : results) expect_bitwise("sum", r, results[0]);
}

TEST_CASE("communicator: gathers and broadcasts") {
  for (const int world : {1, 2, 4})
    on_ranks(world, [&](Communicator& comm) {
      for (const std::int64_t n : {std::int64_t(1), std::int64_t(7), std::int64_t(5000)}) {
        const auto mine = values_of(comm.rank(), n);
        Buffer<float> all(n * world);
        comm.all_gather(mine.cspan(), all.span());
        all.check_guards("all_gather");
        for (int r = 0; r < world; ++r) {
          const auto theirs = values_of(r, n);
          for (std::int64_t i = 0; i < n; ++i) BF_CHECK(all.cspan()[r * n + i] == theirs.cspan()[i], "rank ", r, ", ", i);
        }
        for (int root = 0; root < world; ++root) {
          std::vector<std::uint8_t> bytes(std::size_t(n), std::uint8_t(comm.rank()));
          comm.broadcast(bytes, root);
          CHECK(bytes == std::vector<std::uint8_t>(std::size_t(n), std::uint8_t(root)));
        }
      }
      Buffer<float> nothing(0), none(0);
      comm.all_gather(nothing.cspan(), none.span());
    });
}

TEST_CASE("communicator: nobody passes a barrier before all have come") {
  std::atomic<int> come{0};
  on_ranks(4, [&](Communicator& comm) {
    for (int round = 1; round <= 5; ++round) {
      if (comm.rank() == round % 4) std::this_thread::sleep_for(20ms);
      ++come;
      comm.barrier();
      CHECK(come >= 4 * round);
      comm.barrier();
    }
  });
}

TEST_CASE("communicator: wrong arguments are explained, by one process too") {
  for (const int world : {1, 2})
    on_ranks(world, [&](Communicator& comm) {
      Buffer<float> seven(7), six(6);
      std::vector<std::uint8_t> bytes(3);
      expect_throw(str("all_gather of 7 values from ", world, " into 6"), [&] { comm.all_gather(seven.cspan(), six.span()); });
      expect_throw(str("broadcast from rank ", world, " of ", world), [&] { comm.broadcast(bytes, world); });
      expect_throw("5 values at a null pointer", [&] { comm.all_reduce_sum(Span<float>(nullptr, 5)); });
    });
}

TEST_CASE("communicator: who gives up, or goes away, does not wait for what it has begun") {
  for (const bool gives_up : {true, false}) {
    const TempFolder folder;
    std::atomic<bool> gone = false;
    const auto start = std::chrono::steady_clock::now();
    in_threads(2, [&](int rank) {
      std::vector<float> values(1000, 1);
      std::shared_ptr<Store> store = file_store(folder / "meeting", rank == 0);
      const std::string session = meet(*store, rank, 2, 60s);
      auto comm = gloo_communicator(store, session, {.rank = rank, .world = 2, .address = "127.0.0.1", .timeout = 30s});
      if (rank == 1) {  // stays, and never takes part
        while (!gone) std::this_thread::sleep_for(5ms);
        return;
      }
      comm->begin_all_reduce_sum(values);
      std::this_thread::sleep_for(50ms);  // so that it runs
      if (gives_up) {
        comm->abort();
        expect_throw("has given up", [&] { comm->finish(); });
      }
      comm.reset();
      gone = true;
    });
    CHECK(std::chrono::steady_clock::now() - start < 20s);
  }
}

TEST_CASE("communicator: a process that goes in the middle of a message") {
  std::vector<std::string> said(2, "nothing");
  const auto start = std::chrono::steady_clock::now();
  const TempFolder folder;
  in_threads(2, [&](int rank) {
    std::shared_ptr<Store> store = file_store(folder / "meeting", rank == 0);
    const std::string session = meet(*store, rank, 2, 60s);
    const auto comm = gloo_communicator(store, session, {.rank = rank, .world = 2, .address = "127.0.0.1", .timeout = 60s});
    std::vector<std::uint8_t> bytes(200'000'000);
    comm->barrier();
    std::thread end;
    if (rank == 0)
      end = std::thread([&] {
        std::this_thread::sleep_for(10ms);
        comm->abort();
      });
    try {
      for (int round = 0; round < 1000; ++round) comm->broadcast(bytes, 0);
    } catch (const PeerError& e) {
      said[std::size_t(rank)] = e.what();
    }
    if (rank == 0) end.join();
  });
  CHECK(std::chrono::steady_clock::now() - start < 30s);
  CHECK(said[0] == "rank 0 of 2 has given up");
  CHECK(said[1].find("rank 1 of 2: broadcast of 200000000 bytes failed after ") == 0);
  CAPTURE(said[1]);
  CHECK(said[1].find("s: rank 0 ") != std::string::npos);
}

TEST_CASE("communicator: a process that ends takes nobody's time, one that hangs is named") {
  const auto message = [](const std::function<void()>& f) -> std::string {
    try {
      f();
    } catch (const PeerError& e) {
      return e.what();
    }
    return "no PeerError";
  };
  std::vector<std::string> said(3);
  // Rank 1 leaves at once, or when rank 2 waits for rank 0's share already, which rank 0 will not begin to send.
  for (const auto pause : {0ms, 100ms}) {
    const TempFolder folder;
    const auto start = std::chrono::steady_clock::now();
    in_threads(3, [&](int rank) {
      std::shared_ptr<Store> store = file_store(folder / "leaves", rank == 0);
      const std::string session = meet(*store, rank, 3, 60s);
      const auto comm = gloo_communicator(store, session, {.rank = rank, .world = 3, .address = "127.0.0.1", .timeout = 30s});
      comm->barrier();
      if (rank == 1) return std::this_thread::sleep_for(pause);
      if (rank == 0) std::this_thread::sleep_for(2 * pause);
      std::vector<float> v(1000, 1);
      said[std::size_t(rank)] = message([&] { comm->all_reduce_sum(v); });
      CHECK(message([&] { comm->finish(); }) == said[std::size_t(rank)]);  // it stays failed
    });
    CHECK(std::chrono::steady_clock::now() - start < 20s);
    for (const int r : {0, 2}) {
      CAPTURE(said[std::size_t(r)]);
      CHECK(said[std::size_t(r)].find(str("rank ", r, " of 3: all_reduce_sum of 4000 bytes failed after")) == 0);
      CHECK(said[std::size_t(r)].find("s: rank 1 hangs or is gone (") != std::string::npos);
    }
  }
  const TempFolder folder;
  std::atomic<int> ended{0};
  in_threads(3, [&](int rank) {  // rank 2 does something else until the others have given up
    std::shared_ptr<Store> store = file_store(folder / "hangs", rank == 0);
    const std::string session = meet(*store, rank, 3, 60s);
    const auto comm = gloo_communicator(store, session, {.rank = rank, .world = 3, .address = "127.0.0.1", .timeout = 3s});
    comm->barrier();
    if (rank == 2) {
      while (ended < 2) std::this_thread::sleep_for(10ms);
      return;
    }
    said[std::size_t(rank)] = message([&] { comm->barrier(); });
    ++ended;
    while (ended < 2) std::this_thread::sleep_for(10ms);
  });
  for (const int r : {0, 1}) {
    CAPTURE(said[std::size_t(r)]);
    CHECK(said[std::size_t(r)].find(str("rank ", r, " of 3: barrier ")) == 0);
    CHECK(said[std::size_t(r)].find("bytes") == std::string::npos);  // a barrier has none
    CHECK(said[std::size_t(r)].find("s: rank 2 hangs or is gone (") != std::string::npos);
  }
}

TEST_CASE("communicator: who is late is waited for while all connections hold") {
  const TempFolder folder;
  std::atomic<int> through{0};
  in_threads(2, [&](int rank) {
    std::shared_ptr<Store> store = file_store(folder / "meeting", rank == 0);
    const std::string session = meet(*store, rank, 2, 60s);
    const auto comm = gloo_communicator(store, session, {.rank = rank, .world = 2, .address = "127.0.0.1", .timeout = 60s, .cut_off = 50ms});
    if (rank == 1) std::this_thread::sleep_for(500ms);
    comm->barrier();
    ++through;
    for (int i = 0; through < 2 && i < 10'000; ++i) std::this_thread::sleep_for(1ms);  // nobody leaves before
  });
}

// What goes wrong in Gloo itself keeps its own words, however long ago the first connection ended.
TEST_CASE("communicator: an operation that fails long after another process has left") {
  const TempFolder folder;
  std::string said[3];
  in_threads(3, [&](int rank) {
    std::shared_ptr<Store> store = file_store(folder / "meeting", rank == 0);
    const std::string session = meet(*store, rank, 3, 60s);
    const auto comm = gloo_communicator(store, session, {.rank = rank, .world = 3, .address = "127.0.0.1", .timeout = 60s, .cut_off = 3s});
    comm->barrier();
    if (rank == 1) return;
    try {
      std::vector<std::uint8_t> bytes(1000);
      std::vector<float> mine(3), all(9);
      std::this_thread::sleep_for(2s);
      if (rank == 0) comm->broadcast(bytes, 2);  // from rank 2 alone, which fails elsewhere
      std::this_thread::sleep_for(1500ms);
      comm->all_gather(mine, all);
    } catch (const PeerError& e) {
      said[rank] = e.what();
    }
  });
  CAPTURE(said[0]);
  CAPTURE(said[2]);
  CHECK(said[0].find("rank 0 of 3: broadcast of 1000 bytes failed after ") == 0);
  CHECK(said[0].find("s: rank 1 hangs or is gone, rank 2 stopped at all_gather of 12 bytes (") != std::string::npos);
  CHECK(said[0].find("a message was cut off") == std::string::npos);
  CHECK(said[2].find("rank 2 of 3: all_gather of 12 bytes failed after ") == 0);
}

TEST_CASE("communicator: a write to a process that is gone does not end this one") {
  on_ranks(2, [&](Communicator& comm) {
    comm.barrier();
    CHECK(threads_without_sigpipe() >= 2);  // Gloo's own, one a rank; and whoever is in the barrier
    comm.barrier();
  });
  const TempFolder folder;
  in_threads(2, [&](int rank) {
    std::shared_ptr<Store> store = file_store(folder / "meeting", rank == 0);
    const std::string session = meet(*store, rank, 2, 60s);
    const auto breaks_pipes = std::make_shared<BreaksPipes>(store);
    gloo_communicator(breaks_pipes, session, {.rank = rank, .world = 2, .address = "127.0.0.1", .timeout = 30s})->barrier();
  });
}
