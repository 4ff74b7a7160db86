// tests/emulated/test_emulator.cpp — the emulator itself: every kind of bug, planted in a small kernel, is reported by
// name under every schedule; kernels without bugs pass.
#include "kernels/emulator/emulator.h"
#include "kernels/simt/collectives.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::simt;
using namespace bonafide::test;

namespace {

struct Args {
  Span<const float> in;
  Span<float> out;
};
template <class F>
void for_each_array(const Args& a, F&& f) {
  f("in", a.in), f("out", a.out);
}

// A kernel made of a lambda, for these tests: the shape and the body are looked up in the launch that is running.
struct Trial {
  LaunchShape shape;
  std::function<void(EmulatedBlock&, const Args&)> body;
};
struct TrialArgs : Args {
  const Trial* trial;
};
struct TrialKernel {
  static constexpr const char* kName = "trial";
  static constexpr int kMaxThreads = 1024;
  static LaunchShape shape(const TrialArgs& a) { return a.trial->shape; }
  static void run(EmulatedBlock& block, const TrialArgs& a) { a.trial->body(block, a); }
};

constexpr LaunchShape kTwoWarps{.grid = {1}, .block = {64}};

using Body = std::function<void(EmulatedBlock&, const Args&)>;

// `in` counts up from 0; returns `out`.
Buffer<float> launch(Schedule schedule, LaunchShape shape, std::int64_t n, const Body& body) {
  Buffer<float> in(n), out(n);
  for (std::int64_t i = 0; i < n; ++i) in[i] = float(i);
  const Trial trial{shape, body};
  Emulator emulator(schedule);
  emulator(TrialKernel(), TrialArgs{{in.cspan(), out.span()}, &trial});
  out.check_guards("out");
  return out;
}
// Every part of a message, under every schedule.
void expect_report(const std::vector<std::string>& parts, LaunchShape shape, std::int64_t n, const Body& body) {
  for (const Schedule& s : kSchedules)
    for (const std::string& part : parts) expect_throw(part, [&] { launch(s, shape, n, body); });
}
// The same bits under every schedule; `want(i)` is what they are.
void expect_result(LaunchShape shape, std::int64_t n, const Body& body,
                   const std::function<double(std::int64_t)>& want) {
  for (const Schedule& s : kSchedules) {
    const auto out = launch(s, shape, n, body);
    for (std::int64_t i = 0; i < n; ++i) CHECK(out.cspan()[i] == want(i));
  }
}

struct Scratch;
struct Other;

}  // namespace

TEST_CASE("emulator: indices, extents and blocks that are not full") {
  const LaunchShape shape{.grid = {3, 2}, .block = {5, 4}};
  expect_result(
      shape, 120,
      [](EmulatedBlock& b, const Args& a) {
        const int thread = b.ty() * b.dx() + b.tx(), block = b.by() * b.gx() + b.bx();
        b.store(a.out, block * 20 + thread, b.load(a.in, block * 20 + thread) + float(b.gy()));
      },
      [](std::int64_t i) { return double(i + 2); });
}

TEST_CASE("emulator: shared memory behind a barrier, twice the same array") {
  expect_result(
      kTwoWarps, 64,
      [](EmulatedBlock& b, const Args& a) {
        const auto s = b.shared<Scratch, float, 64>();
        for (int round = 0; round < 2; ++round) {
          b.store(s, b.tx(), b.load(a.in, b.tx()) + float(round));
          b.sync();
          const float v = b.load(s, 63 - b.tx());
          b.sync();
          b.store(a.out, b.tx(), v);
        }
      },
      [](std::int64_t i) { return double(64 - i); });
}

TEST_CASE("emulator: shuffles, whole warps and parts of them") {
  expect_result(
      kTwoWarps, 64,
      [](EmulatedBlock& b, const Args& a) {
        float v = b.load(a.in, b.tx());
        v = b.shfl_xor(v, 1, kFullMask);               // neighbours swap
        v = b.shfl_down(v, 2, kFullMask);              // the last two lanes keep theirs
        v = b.tx() % 32 < 4 ? b.shfl(v, 3, 0xfu) : v;  // four lanes take lane 3's
        b.store(a.out, b.tx(), v);
      },
      [](std::int64_t i) {
        const auto lane = i % 32, warp = i - lane;
        const auto down = [](std::int64_t l) { return (l + 2 < 32 ? l + 2 : l) ^ 1; };
        return double(warp + (lane < 4 ? down(3) : down(lane)));
      });
}

TEST_CASE("emulator: sums over warp and block, one after the other") {
  for (const int threads : {32, 64, 256})
    expect_result(
        {.grid = {2}, .block = {threads}}, 2 * threads,
        [](EmulatedBlock& b, const Args& a) {
          const int i = b.bx() * b.dx() + b.tx();
          const float ones = block_sum<Scratch>(b, 1.0f), sum = block_sum<Scratch>(b, float(b.tx()));
          b.store(a.out, i, b.load(a.in, i) + 1000 * ones + sum);
        },
        [&](std::int64_t i) { return double(i) + 1000.0 * threads + threads * (threads - 1) / 2.0; });
}

TEST_CASE("emulator: a barrier of a warp orders its lanes, also through others") {
  expect_result(
      {.grid = {1}, .block = {32}}, 32,
      [](EmulatedBlock& b, const Args& a) {
        const auto s = b.shared<Scratch, float, 32>();
        b.store(s, b.tx(), b.load(a.in, b.tx()));
        if (b.tx() < 2) b.sync_warp(0x3u);
        if (b.tx() >= 1 && b.tx() < 3) b.sync_warp(0x6u);  // lane 2 learns of lane 0 from lane 1
        b.store(a.out, b.tx(), b.load(s, b.tx() == 2 ? 0 : b.tx()));
      },
      [](std::int64_t i) { return i == 2 ? 0.0 : double(i); });
}

TEST_CASE("emulator: vectors and dynamic shared memory") {
  const LaunchShape shape{.grid = {1}, .block = {32}, .dynamic_shared_bytes = 32 * 16 + 8};
  expect_result(
      shape, 128,
      [](EmulatedBlock& b, const Args& a) {
        const auto s = b.dynamic_shared<float>(0, 128);
        const auto pair = b.dynamic_shared<bf16>(512, 2);
        b.store_vector(s, 4 * b.tx(), b.load_vector<4>(a.in, 4 * b.tx()));
        if (b.tx() == 0) b.store_vector(pair, 0, Vector<bf16, 2>{{bf16(1.0f), bf16(2.0f)}});
        b.sync();
        auto v = b.load_vector<4>(s, 4 * (31 - b.tx()));
        for (int k = 0; k < 4; ++k) v[k] += float(b.load(pair, 1));
        b.store_vector(a.out, 4 * b.tx(), v);
      },
      [](std::int64_t i) { return double(4 * (31 - i / 4) + i % 4 + 2); });
}

TEST_CASE("emulator reports a missing barrier") {
  // Reads what another thread writes: which of the two is reported depends on who comes first.
  const Body reads = [](EmulatedBlock& b, const Args&) {
    const auto s = b.shared<Scratch, float, 64>();
    b.store(s, b.tx(), 1);
    b.sync();
    b.store(s, b.tx(), b.load(s, (b.tx() + 33) % 64));
  };
  expect_report({"emulator: trial, block (0, 0) thread (", "shared Scratch[", "with no barrier between"}, kTwoWarps, 64,
                reads);
  // The same within a warp: a shuffle between does not help, a barrier of the warp does.
  const auto neighbours = [](int how) -> Body {
    return [how](EmulatedBlock& b, const Args& a) {
      b.store(a.out, b.tx(), 1);
      if (how == 1) b.shfl_xor(0.0f, 1, kFullMask);
      if (how == 2) b.sync_warp(kFullMask);
      b.load(a.out, b.tx() ^ 1);
    };
  };
  expect_report({"out[", "with no barrier between"}, kTwoWarps, 64, neighbours(0));
  expect_report({"out[", "with no barrier between"}, kTwoWarps, 64, neighbours(1));
  expect_result(kTwoWarps, 64, neighbours(2), [](std::int64_t) { return 1.0; });
  // A barrier of one warp orders nothing in the other.
  expect_report({"out[", "with no barrier between"}, kTwoWarps, 64, [](EmulatedBlock& b, const Args& a) {
    b.store(a.out, b.tx(), 1);
    b.sync_warp(kFullMask);
    b.load(a.out, b.tx() ^ 32);
  });
  // Two sums through one scratch array with no barrier in between.
  expect_report({"shared Scratch[", "with no barrier between"}, kTwoWarps, 64, [](EmulatedBlock& b, const Args&) {
    const auto leaky_sum = [&](float v) {
      const auto s = b.shared<Scratch, float, 2>();
      v = warp_sum(b, v);
      if (b.tx() % 32 == 0) b.store(s, b.tx() / 32, v);
      b.sync();
      return b.load(s, 0) + b.load(s, 1);
    };
    leaky_sum(1), leaky_sum(2);
  });
}

TEST_CASE("emulator reports a reader that three others hide") {
  // Lane 0 reads, then lanes 1 to 3; lane 3 alone is ordered before the writer.
  expect_report({"out[0]", "no barrier between"}, {.grid = {1}, .block = {64}}, 64,
                [](EmulatedBlock& b, const Args& a) {
                  if (b.tx() == 63) b.store(a.out, 0, 1);
                  b.sync();
                  if (b.tx() < 4) b.load(a.out, 0);
                  if (b.tx() == 3 || b.tx() == 4) b.sync_warp(0x18u);
                  if (b.tx() == 4) b.store(a.out, 0, 2);
                });
}

TEST_CASE("emulator reports two writers") {
  expect_report({"writes out[5], which block 0 thread ", " writes too, with no barrier between"}, kTwoWarps, 64,
                [](EmulatedBlock& b, const Args& a) { b.store(a.out, b.tx() < 60 ? b.tx() : 5, 1); });
  // Blocks are never ordered, barriers or not; reading what another block writes is as bad.
  expect_report({"writes out[0], which block ", " writes too"}, {.grid = {2}, .block = {32}}, 64,
                [](EmulatedBlock& b, const Args& a) {
                  if (b.tx() == 0) b.store(a.out, 0, 1);
                  b.sync();
                });
  expect_report({"out[0]", "block "}, {.grid = {3}, .block = {32}}, 64, [](EmulatedBlock& b, const Args& a) {
    if (b.bx() == 1 && b.tx() == 0) b.store(a.out, 0, 1);
    if (b.bx() != 1) b.load(a.out, 0);
  });
}

TEST_CASE("emulator reports divergent barriers") {
  expect_report({"divergent barrier", "test_emulator.cpp:", "has returned"}, kTwoWarps, 64,
                [](EmulatedBlock& b, const Args&) {
                  if (b.tx() != 17) b.sync();
                });
  expect_report({"divergent barrier", "waits at the barrier at"}, kTwoWarps, 64, [](EmulatedBlock& b, const Args&) {
    if (b.tx() < 32)
      b.sync();
    else
      b.sync();
  });
}

TEST_CASE("emulator reports accesses out of range") {
  expect_report({"thread (63, 0): reads in[64]: out of range, it has 64 elements"}, kTwoWarps, 64,
                [](EmulatedBlock& b, const Args& a) { b.load(a.in, b.tx() + 1); });
  expect_report({"thread (0, 0): writes out[-1]: out of range"}, kTwoWarps, 64,
                [](EmulatedBlock& b, const Args& a) { b.store(a.out, b.tx() - 1, 0); });
  expect_report({"writes out[66]: out of range, it has 66 elements"}, kTwoWarps, 66,
                [](EmulatedBlock& b, const Args& a) {
                  if (b.tx() == 16) b.store_vector(a.out, 64, Vector<float, 4>{});
                });
  expect_report({"writes shared Scratch[63]: out of range, it has 63 elements"}, kTwoWarps, 64,
                [](EmulatedBlock& b, const Args&) { b.store(b.shared<Scratch, float, 63>(), b.tx(), 0); });
  expect_report({"dynamic shared memory at byte 128, 33 elements of 4 bytes, of 256"},
                {.grid = {1}, .block = {32}, .dynamic_shared_bytes = 256}, 32,
                [](EmulatedBlock& b, const Args&) { b.dynamic_shared<float>(128, 33); });
  expect_report({"in[32]"}, kTwoWarps, 64, [](EmulatedBlock& b, const Args& a) { b.load(a.in.slice(16, 16), 16); });
  Buffer<float> stranger(8, 0);
  expect_report({"outside of the arrays of this launch"}, kTwoWarps, 64,
                [&](EmulatedBlock& b, const Args&) { b.load(stranger.cspan(), 0); });
}

TEST_CASE("emulator reports a vector at an address that is not its own") {
  expect_report({"reads 4 elements at in[2]: the address is not a multiple of 16 bytes"}, {.grid = {1}, .block = {1}},
                64, [](EmulatedBlock& b, const Args& a) { b.load_vector<4>(a.in, 2); });
}

TEST_CASE("emulator reports reads of shared memory that nobody has written") {
  expect_report({"reads shared Scratch[7], which nobody has written"}, kTwoWarps, 64,
                [](EmulatedBlock& b, const Args&) {
                  const auto s = b.shared<Scratch, float, 64>();
                  if (b.tx() != 7) b.store(s, b.tx(), 0);
                  b.sync();
                  b.load(s, b.tx());
                });
  // What an earlier block left there does not count, nor does what is written to another array.
  expect_report({"reads shared Scratch[0], which nobody has written"}, {.grid = {2}, .block = {32}}, 64,
                [](EmulatedBlock& b, const Args&) {
                  b.store(b.shared<Other, float, 32>(), b.tx(), 0);
                  const auto s = b.shared<Scratch, float, 32>();
                  if (b.bx() == 0) b.store(s, b.tx(), 0);
                  b.sync();
                  if (b.tx() == 0) b.load(s, 0);
                });
}

TEST_CASE("emulator reports shuffles with lanes that are not there") {
  expect_report({"from inactive lane 16: lanes 0xffff take part"}, kTwoWarps, 64, [](EmulatedBlock& b, const Args&) {
    if (b.tx() < 16) b.shfl(1.0f, 16, 0xffffu);
  });
  expect_report({"waits at the shuffle of lanes 0xffffffff", "which lane 20 does not reach: it has returned"},
                kTwoWarps, 64, [](EmulatedBlock& b, const Args&) {
                  if (b.tx() != 20) b.shfl_xor(1.0f, 1, kFullMask);
                });
  expect_report({"which lane 20 does not reach: it waits at the barrier"}, kTwoWarps, 64,
                [](EmulatedBlock& b, const Args&) {
                  if (b.tx() != 20) b.shfl_xor(1.0f, 1, kFullMask);
                  b.sync();
                });
  expect_report({"but is not one of them"}, kTwoWarps, 64,
                [](EmulatedBlock& b, const Args&) { b.shfl(1.0f, 0, 0x7fffffffu); });
  expect_report({"the block has no lane 31"}, {.grid = {1}, .block = {31}}, 64,
                [](EmulatedBlock& b, const Args&) { b.sync_warp(kFullMask); });
}

TEST_CASE("emulator: errors of the body itself say where they happened; launches that no GPU takes are refused") {
  expect_report({"emulator: trial, block (1, 0) thread (3, 0): ", "told so"}, {.grid = {2}, .block = {32}}, 64,
                [](EmulatedBlock& b, const Args&) { BF_CHECK(!(b.bx() == 1 && b.tx() == 3), "told so"); });
  const Body nothing = [](EmulatedBlock&, const Args&) {};
  expect_report({"block of 1025 x 1"}, {.grid = {1}, .block = {1025}}, 1, nothing);
  expect_report({"grid of 1 x 65536"}, {.grid = {1, 65536}, .block = {1}}, 1, nothing);
  expect_report({"bytes of shared memory"}, {.grid = {1}, .block = {1}, .dynamic_shared_bytes = 1 << 20}, 1, nothing);
  launch({}, {.grid = {0}, .block = {32}}, 1, [](EmulatedBlock&, const Args&) { FAIL("a grid of no blocks ran"); });
}

TEST_CASE("emulator: schedules do differ") {
  const auto order = [](Schedule s) {
    std::vector<int> seen;
    launch(s, {.grid = {2}, .block = {32}}, 1,
           [&](EmulatedBlock& b, const Args&) { seen.push_back(b.bx() * 32 + b.tx()); });
    return seen;
  };
  std::vector<std::vector<int>> all;
  for (const Schedule& s : kSchedules) {
    CHECK(std::find(all.begin(), all.end(), order(s)) == all.end());
    CHECK(order(s) == order(s));
    all.push_back(order(s));
  }
}
