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

TEST_CASE("emulator: arrays that overlap share what is known, also of an access across the end of one") {
  Buffer<float> memory(12, 1);
  const Trial trial{{.grid = {1}, .block = {32}}, [](EmulatedBlock& b, const Args& a) {
                      if (b.tx() == 0) b.load(a.in, 5);
                      if (b.tx() == 1) b.store_vector(a.out, 0, Vector<float, 4>{});  // elements 4 to 7; `in` ends behind 5
                    }};
  for (const Schedule& s : kSchedules)
    expect_throw("no barrier between", [&] {
      Emulator emulator(s);
      emulator(TrialKernel(), TrialArgs{{memory.cspan().slice(0, 6), memory.span().slice(4, 8)}, &trial});
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
  // Two shuffles of the same lanes are not one; nor is one shuffle that is asked for with two masks.
  expect_report({"waits at the shuffle of lanes 0xffffffff", "does not reach: it waits at the shuffle"}, kTwoWarps, 64,
                [](EmulatedBlock& b, const Args&) {
                  if (b.tx() < 16)
                    b.shfl_xor(1.0f, 1, kFullMask);
                  else
                    b.shfl_xor(1.0f, 1, kFullMask);
                });
  expect_report({"which lane 5 does not reach: it waits at the shuffle of lanes 0xffff at"}, {.grid = {1}, .block = {32}}, 32,
                [](EmulatedBlock& b, const Args&) { b.shfl_xor(1.0f, 1, b.tx() == 5 ? 0xffffu : kFullMask); });
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

namespace {

constexpr LaunchShape kOneWarp{.grid = {1}, .block = {32}};
float number(std::int64_t i) { return float((i * 37) % 61 - 30) / 8; }  // exact in bf16, and so are sums of products in f32
std::uint32_t pack(float low, float high) { return std::uint32_t(bf16(high).bits) << 16 | bf16(low).bits; }

// a [16, 16] and b [16, 8] in shared memory, row by row.
Span<bf16> shared_numbers(EmulatedBlock& b) {
  const auto s = b.shared<Scratch, bf16, 384>();
  for (int i = b.tx(); i < 384; i += 32) b.store(s, i, bf16(number(i)));
  b.sync_warp(kFullMask);
  return s;
}

}  // namespace

TEST_CASE("emulator: a product of the tensor cores, fragments by their documented maps") {
  const auto want = [](std::int64_t i) {
    double sum = double(i);  // what the accumulator begins with
    for (int k = 0; k < 16; ++k) sum += double(number(i / 8 * 16 + k)) * number(256 + k * 8 + i % 8);
    return sum;
  };
  const auto product = [](EmulatedBlock& b, const Args& a, const Fragment<4>& fa, const Fragment<2>& fb) {
    const int g = b.tx() / 4, t = b.tx() % 4;
    const std::int64_t at[] = {g * 8 + 2 * t, g * 8 + 2 * t + 1, (g + 8) * 8 + 2 * t, (g + 8) * 8 + 2 * t + 1};
    Vector<float, 4> c;
    for (int r = 0; r < 4; ++r) c[r] = b.load(a.in, at[r]);
    c = b.mma_m16n8k16(c, fa, fb);
    for (int r = 0; r < 4; ++r) b.store(a.out, at[r], c[r]);
  };
  expect_result(kOneWarp, 128, [&](EmulatedBlock& b, const Args& a) {
    const int g = b.tx() / 4, t = b.tx() % 4;
    const auto A = [](int row, int k) { return pack(number(row * 16 + k), number(row * 16 + k + 1)); };
    const auto B = [](int k, int n) { return pack(number(256 + k * 8 + n), number(256 + (k + 1) * 8 + n)); };
    product(b, a, {{A(g, 2 * t), A(g + 8, 2 * t), A(g, 2 * t + 8), A(g + 8, 2 * t + 8)}}, {{B(2 * t, g), B(2 * t + 8, g)}});
  }, want);
  expect_result(kOneWarp, 128, [&](EmulatedBlock& b, const Args& a) {  // the same, by ldmatrix
    const auto s = shared_numbers(b);
    const int row = b.tx() % 8, matrix = b.tx() / 8;
    const auto fa = b.ldmatrix<4>(s, (row + matrix % 2 * 8) * 16 + matrix / 2 * 8);
    product(b, a, fa, b.ldmatrix_t<2>(s, 256 + b.tx() % 16 * 8));
  }, want);
}

TEST_CASE("emulator: matrices of shared memory, one, two and four, also transposed") {
  // Register m of lane l holds elements (l / 4, 2 (l % 4)) and the next of matrix m; transposed, its columns.
  const auto check = [](int matrices, bool transposed, const std::function<void(EmulatedBlock&, Span<bf16>, std::uint32_t*)>& load) {
    expect_result(kOneWarp, 32, [&](EmulatedBlock& b, const Args& a) {
      const auto s = shared_numbers(b);
      std::uint32_t f[4];
      load(b, s, f);
      bool right = true;
      for (int m = 0; m < matrices; ++m) {
        const int first = b.tx() / 4, second = b.tx() % 4 * 2;
        const auto at = [&](int k) { return number(m * 64 + (transposed ? (second + k) * 8 + first : first * 8 + second + k)); };
        right = right && f[m] == pack(at(0), at(1));
      }
      b.store(a.out, b.tx(), right);
    }, [](std::int64_t) { return 1.0; });
  };
  const auto one = [&]<int N>(std::integral_constant<int, N>) {
    // Lanes beyond the rows may say anything.
    const auto row = [](EmulatedBlock& b) { return b.tx() < 8 * N ? b.tx() * 8 : 1000000 + b.tx(); };
    check(N, false, [&](EmulatedBlock& b, Span<bf16> s, std::uint32_t* f) {
      const auto v = b.ldmatrix<N>(s, row(b));
      std::copy_n(v.v, N, f);
    });
    check(N, true, [&](EmulatedBlock& b, Span<bf16> s, std::uint32_t* f) {
      const auto v = b.ldmatrix_t<N>(s, row(b));
      std::copy_n(v.v, N, f);
    });
  };
  one(std::integral_constant<int, 1>()), one(std::integral_constant<int, 2>()), one(std::integral_constant<int, 4>());
}

TEST_CASE("emulator reports wrong uses of the tensor cores") {
  expect_report({"waits at the instruction of the whole warp", "which lane 20 does not reach: it has returned"}, kTwoWarps, 64,
                [](EmulatedBlock& b, const Args&) {
                  if (b.tx() != 20) b.mma_m16n8k16({}, {}, {});
                });
  expect_report({"which lane 3 does not reach: it waits at the barrier"}, kOneWarp, 64, [](EmulatedBlock& b, const Args&) {
    const auto s = shared_numbers(b);
    if (b.tx() != 3) b.ldmatrix<1>(s, b.tx() % 8 * 8);
    b.sync();
  });
  expect_report({"the block has no lane 16"}, {.grid = {1}, .block = {16}}, 64,
                [](EmulatedBlock& b, const Args&) { b.mma_m16n8k16({}, {}, {}); });
  expect_report({"ldmatrix of a row at element 132: the address is not a multiple of 16 bytes"}, kOneWarp, 64,
                [](EmulatedBlock& b, const Args&) { b.ldmatrix<4>(shared_numbers(b), b.tx() * 8 + (b.tx() == 16 ? 4 : 0)); });
  expect_report({"reads shared Scratch[384]: out of range"}, kOneWarp, 64,
                [](EmulatedBlock& b, const Args&) { b.ldmatrix<1>(shared_numbers(b), 328 + b.tx() * 8); });
  expect_report({"reads shared Scratch[40], which nobody has written"}, kOneWarp, 64, [](EmulatedBlock& b, const Args&) {
    const auto s = b.shared<Scratch, bf16, 64>();
    if (b.tx() < 8 && b.tx() != 5) b.store_vector(s, b.tx() * 8, Vector<bf16, 8>{});
    b.sync();
    b.ldmatrix<1>(s, b.tx() % 8 * 8);
  });
  // A lane that wrote its own row itself: the others read it too.
  expect_report({"shared Scratch[", "with no barrier between"}, kOneWarp, 64, [](EmulatedBlock& b, const Args&) {
    const auto s = b.shared<Scratch, bf16, 64>();
    if (b.tx() < 8) b.store_vector(s, b.tx() * 8, Vector<bf16, 8>{});
    b.ldmatrix<1>(s, b.tx() % 8 * 8);
  });
  expect_report({"ldmatrix of element 0 of an array that is not shared memory"}, kOneWarp, 64, [](EmulatedBlock& b, const Args& a) {
    b.ldmatrix<1>(Span<const bf16>(reinterpret_cast<const bf16*>(a.in.ptr), 64), 0);
  });
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
