// tests/emulated/test_philox.cpp — random numbers drawn by the threads of a kernel are those of the host.
#include "engine/philox.h"
#include "kernels/emulator/emulator.h"
#include "tests/support/support.h"

using namespace bonafide;

namespace {

struct Draws {
  Random stream;  // by value, as a kernel gets it
  Philox philox;
  Span<std::uint32_t> blocks;  // [threads, 4]: block t of the counter
  Span<float> uniforms;        // [threads]: draw t of the stream
};
template <class F>
void for_each_array(const Draws& a, F&& f) {
  f("blocks", a.blocks), f("uniforms", a.uniforms);
}

struct DrawKernel {
  static constexpr const char* kName = "draw";
  static constexpr int kMaxThreads = 32;
  static simt::LaunchShape shape(const Draws& a) {
    return {.grid = {a.uniforms.len / kMaxThreads}, .block = {kMaxThreads}};
  }
  template <simt::Block B>
  BF_DEVICE static void run(B& block, const Draws& a) {
    const int t = block.bx() * kMaxThreads + block.tx();
    const auto words = a.philox({std::uint32_t(t), 0, 0, 0});
    for (int k = 0; k < 4; ++k) block.store(a.blocks, 4 * t + k, words[std::size_t(k)]);
    Random own = a.stream;
    for (int i = 0; i < t; ++i) own.u32();
    block.store(a.uniforms, t, own.chance(0.5) ? own.uniform(-1, 1) : float(own.u64() >> 40));
  }
};

}  // namespace

TEST_CASE("philox: threads of a kernel draw what the host draws") {
  constexpr int kThreads = 96;
  const Random stream(7, "test", 3, 5);
  std::vector<std::uint32_t> blocks(4 * kThreads);
  std::vector<float> uniforms(kThreads);
  simt::Emulator({})(DrawKernel(), Draws{stream, {}, blocks, uniforms});
  // The algorithm's published answer for key 0 and counter 0.
  CHECK(blocks[0] == 0x6627e8d5u);
  CHECK(blocks[1] == 0xe169c58du);
  CHECK(blocks[2] == 0xbc57ac4cu);
  CHECK(blocks[3] == 0x9b00dbd8u);
  for (int t = 0; t < kThreads; ++t) {
    const auto want = Philox{}({std::uint32_t(t), 0, 0, 0});
    for (std::size_t k = 0; k < 4; ++k) CHECK(blocks[std::size_t(4 * t) + k] == want[k]);
    Random own = stream;
    for (int i = 0; i < t; ++i) own.u32();
    CHECK(uniforms[std::size_t(t)] == (own.chance(0.5) ? own.uniform(-1, 1) : float(own.u64() >> 40)));
  }
}
