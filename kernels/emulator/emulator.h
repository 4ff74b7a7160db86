// kernels/emulator/emulator.h — runs the bodies of CUDA kernels on the CPU, one fiber per thread, and reports their
// bugs.
//
// A microscope, not a backend: it is slow, and it throws an Error that names kernel, block, thread, array and index for
//   * an access out of range, misaligned, or outside of the arrays that the launch names;
//   * a read of shared memory that nobody has written in this block;
//   * a race, in shared or global memory: two threads touch an element, one of them writes, no barrier orders them
//     (threads of different blocks are never ordered);
//   * a barrier that some threads of the block do not reach, or reach at another place in the text;
//   * a shuffle or a barrier of a warp that a lane of the mask does not reach, and a shuffle that reads a lane not in
//   it; an instruction of a whole warp (ldmatrix, mma) that a lane does not reach.
// Stricter than the hardware on purpose: a thread may not return while others still wait for each other, and a shuffle
// orders no memory. What it cannot see: how the hardware rounds, how fast anything is, what bypasses the block.
//
// Findings do not depend on the schedule, as far as the path through the kernel does not. Results must not either: run
// every kernel under all of kSchedules and compare bits.
#pragma once
#include <cstring>
#include <functional>
#include <memory>
#include <source_location>

#include "kernels/emulator/fiber.h"
#include "kernels/emulator/memory.h"
#include "kernels/simt/block.h"

namespace bonafide::simt {

// The order in which blocks and threads get their turns; a seeded one is drawn anew all the time.
struct Schedule {
  enum class Order { forward, reverse, random } order = Order::forward;
  unsigned seed = 0;
};
inline constexpr Schedule kSchedules[] = {
    {Schedule::Order::forward}, {Schedule::Order::reverse}, {Schedule::Order::random, 1}, {Schedule::Order::random, 2}};

// One launch: the scheduler of its threads, and what they ask of it. Use Emulator.
class Grid {
 public:
  Grid(const char* kernel, LaunchShape shape, int max_threads, Schedule schedule);
  Memory& memory() { return memory_; }
  void run(const std::function<void()>& body);

  const LaunchShape& shape() const { return shape_; }
  std::int64_t block_x() const { return block_x_; }
  std::int64_t block_y() const { return block_y_; }
  int thread() const { return running_; }

  using Where = std::source_location;
  void sync(Where where);
  void sync_warp(unsigned mask, Where where);
  std::uint64_t shuffle(std::uint64_t value, int lane, unsigned mask, Where where);  // lane: 0 to 31
  // What each lane of the warp brings to an instruction that needs all 32.
  using Offer = std::array<std::uint64_t, 3>;
  using Offers = std::array<Offer, kWarp>;
  std::shared_ptr<const Offers> whole_warp(const Offer& own, Where where);
  void matrix_row(const void* base, std::int64_t length, std::int64_t i, int element_bytes);  // checks a row of ldmatrix
  void access(bool write, const void* base, std::int64_t length, std::int64_t i, int count, int element_bytes);
  void* shared(const void* tag, const char* name, std::int64_t count, int element_bytes);
  void* dynamic_shared(std::int64_t offset_bytes, std::int64_t count, int element_bytes);

 private:
  enum class State { ready, at_barrier, at_warp_barrier, at_shuffle, at_instruction, done };
  struct Thread {
    Fiber fiber;
    State state = State::done;
    Where where;                               // it waits
    unsigned mask = 0;                         // of the warp operation it waits at
    std::uint64_t value = 0;                   // offered to, then received from, a shuffle
    int lane = 0;                              // to receive from
    Offer offer{};                             // to an instruction of the whole warp
    std::shared_ptr<const Offers> offers;      // from all lanes
    std::array<std::uint64_t, kWarp> lanes{};  // what lanes did before these times is behind a warp barrier
  };
  struct SharedArray {
    const void* tag;
    std::unique_ptr<std::max_align_t[]> data;
  };
  struct Abandoned {};  // unwinds the other threads once one has failed

  void run_block(const std::function<void()>& body);
  void wait(State state, unsigned mask, Where where);
  void release_warp(int thread);
  void release_block();
  Moment moment() const;
  std::string who(int thread) const;
  std::string where_is(int thread) const;
  [[noreturn]] void fail(int thread, const std::string& what) const;

  const char* kernel_;
  LaunchShape shape_;
  Schedule schedule_;
  Memory memory_;
  std::vector<Thread> threads_;
  std::vector<SharedArray> shared_;
  std::unique_ptr<std::max_align_t[]> dynamic_;
  std::vector<int> order_;
  unsigned draws_ = 0;
  std::int64_t block_x_ = 0, block_y_ = 0;
  int running_ = 0;
  std::uint64_t now_ = 0, block_barrier_ = 0;
  std::string error_;
};

// "Name" of "... [with Tag = somewhere::Name]", as the compiler describes a function template.
std::string name_in(std::string function);
template <class Tag>
const char* tag_name() {
  static const std::string name = name_in(std::source_location::current().function_name());
  return name.c_str();
}

// The Block of the emulator.
class EmulatedBlock {
  using Where = std::source_location;

 public:
  explicit EmulatedBlock(Grid& grid) : grid_(grid) {}
  int tx() const { return int(grid_.thread() % grid_.shape().block.x); }
  int ty() const { return int(grid_.thread() / grid_.shape().block.x); }
  int bx() const { return int(grid_.block_x()); }
  int by() const { return int(grid_.block_y()); }
  int dx() const { return int(grid_.shape().block.x); }
  int dy() const { return int(grid_.shape().block.y); }
  int gx() const { return int(grid_.shape().grid.x); }
  int gy() const { return int(grid_.shape().grid.y); }

  void sync(Where where = Where::current()) { grid_.sync(where); }
  void sync_warp(unsigned mask, Where where = Where::current()) { grid_.sync_warp(mask, where); }
  template <class T>
  T shfl(T v, int lane, unsigned mask, Where where = Where::current()) {
    return exchange(v, lane % kWarp, mask, where);
  }
  template <class T>
  T shfl_xor(T v, int lane_mask, unsigned mask, Where where = Where::current()) {
    return exchange(v, (lane() ^ lane_mask) % kWarp, mask, where);
  }
  template <class T>
  T shfl_down(T v, int distance, unsigned mask, Where where = Where::current()) {  // past the warp's end: its own value
    return exchange(v, lane() + distance < kWarp ? lane() + distance : lane(), mask, where);
  }

  template <class T>
  std::remove_const_t<T> load(Span<T> from, std::int64_t i) {
    grid_.access(false, from.ptr, from.len, i, 1, int(sizeof(T)));
    return from.ptr[i];
  }
  template <class T>
  void store(Span<T> to, std::int64_t i, std::type_identity_t<T> v) {
    grid_.access(true, to.ptr, to.len, i, 1, int(sizeof(T)));
    to.ptr[i] = v;
  }
  template <int N, class T>
  Vector<std::remove_const_t<T>, N> load_vector(Span<T> from, std::int64_t i) {
    grid_.access(false, from.ptr, from.len, i, N, int(sizeof(T)));
    Vector<std::remove_const_t<T>, N> v;
    std::memcpy(v.v, from.ptr + i, sizeof v);
    return v;
  }
  template <int N, class T>
  void store_vector(Span<T> to, std::int64_t i, const Vector<T, N>& v) {
    grid_.access(true, to.ptr, to.len, i, N, int(sizeof(T)));
    std::memcpy(to.ptr + i, v.v, sizeof v);
  }
  template <int N, class T>
  bool aligned(Span<T> s) const {
    return reinterpret_cast<std::uintptr_t>(s.ptr) % (N * sizeof(T)) == 0;
  }
  template <int N, class T>
  Fragment<N> ldmatrix(Span<T> from, std::int64_t i, Where where = Where::current()) {
    return matrices<N, false>(from, i, where);
  }
  template <int N, class T>
  Fragment<N> ldmatrix_t(Span<T> from, std::int64_t i, Where where = Where::current()) {
    return matrices<N, true>(from, i, where);
  }
  // Products of bf16 are exact in f32; the sum of a result is exact here and rounded once, which no hardware promises.
  Vector<float, 4> mma_m16n8k16(Vector<float, 4> c, const Fragment<4>& a, const Fragment<2>& b, Where where = Where::current()) {
    const auto pair = [](std::uint32_t low, std::uint32_t high) { return std::uint64_t(high) << 32 | low; };
    const auto all = grid_.whole_warp({pair(a.v[0], a.v[1]), pair(a.v[2], a.v[3]), pair(b.v[0], b.v[1])}, where);
    const auto half = [&](int lane, int word, int reg, int k) {  // element k of register `reg` of that word
      return float(bf16_of(std::uint16_t((*all)[std::size_t(lane)][std::size_t(word)] >> (32 * reg + 16 * k))));
    };
    for (int r = 0; r < 4; ++r) {
      const int row = lane() / 4 + r / 2 * 8, column = lane() % 4 * 2 + r % 2;
      double sum = c[r];
      for (int k = 0; k < 16; ++k)
        sum += double(half(row % 8 * 4 + k % 8 / 2, k / 8, row / 8, k % 2)) * half(column * 4 + k % 8 / 2, 2, k / 8, k % 2);
      c[r] = float(sum);
    }
    return c;
  }
  template <class Tag, class T, int N>
  Span<T> shared() {
    static constexpr char tag = 0;
    return {static_cast<T*>(grid_.shared(&tag, tag_name<Tag>(), N, int(sizeof(T)))), N};
  }
  template <class T>
  Span<T> dynamic_shared(std::int64_t offset_bytes, std::int64_t n) {
    return {static_cast<T*>(grid_.dynamic_shared(offset_bytes, n, int(sizeof(T)))), n};
  }

 private:
  int lane() const { return grid_.thread() % kWarp; }
  static bf16 bf16_of(std::uint16_t bits) {
    bf16 v;
    v.bits = bits;
    return v;
  }
  // Every lane reads its elements itself: whoever wrote them must be ordered before all of those.
  template <int N, bool kTransposed, class T>
  Fragment<N> matrices(Span<T> from, std::int64_t i, Where where) {
    static_assert(sizeof(T) == 2 && (N == 1 || N == 2 || N == 4));
    if (lane() < 8 * N) grid_.matrix_row(from.ptr, from.len, i, int(sizeof(T)));
    const auto rows = grid_.whole_warp(
        {std::uint64_t(reinterpret_cast<std::uintptr_t>(from.ptr)), std::uint64_t(from.len), std::uint64_t(i)}, where);
    Fragment<N> f{};
    for (int m = 0; m < N; ++m)
      for (int k = 0; k < 2; ++k) {
        const int across = lane() / 4, along = lane() % 4 * 2 + k;
        const auto& row = (*rows)[std::size_t(8 * m + (kTransposed ? along : across))];
        const Span<T> array(reinterpret_cast<T*>(static_cast<std::uintptr_t>(row[0])), std::int64_t(row[1]));
        const T v = load(array, std::int64_t(row[2]) + (kTransposed ? across : along));
        std::uint16_t bits;
        std::memcpy(&bits, &v, sizeof bits);
        f[m] |= std::uint32_t(bits) << 16 * k;
      }
    return f;
  }
  template <class T>
  T exchange(T v, int from, unsigned mask, Where where) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &v, sizeof v);
    bits = grid_.shuffle(bits, from, mask, where);
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }
  Grid& grid_;
};
static_assert(Block<EmulatedBlock>);

// Launches a kernel as the launch sequences of <op>.simt.h ask for it.
class Emulator {
 public:
  explicit Emulator(Schedule schedule) : schedule_(schedule) {}

  template <class Kernel, class Args>
  void operator()(Kernel, const Args& args) const {
    const LaunchShape shape = Kernel::shape(args);
    if (shape.grid.x * shape.grid.y == 0) return;
    Grid grid(Kernel::kName, shape, Kernel::kMaxThreads, schedule_);
    for_each_array(args, [&](const char* name, auto span) {
      grid.memory().add(name, span.ptr, span.len, int(sizeof(*span.ptr)), false);
    });
    EmulatedBlock block(grid);
    grid.run([&] { Kernel::run(block, args); });
  }

 private:
  Schedule schedule_;
};

}  // namespace bonafide::simt
