// kernels/emulator/emulator.cpp — the scheduler: whose turn it is, who waits for whom, and who waits in vain.
#include "kernels/emulator/emulator.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <random>

namespace bonafide::simt {
namespace {

// Limits of sm_80 to sm_100.
constexpr std::int64_t kMostBlocksX = 0x7fffffff, kMostBlocksY = 65535, kMostThreads = 1024;
constexpr int kMostDynamicSharedBytes = 232448 - 1024;  // of sm_90; a block pays 1 KiB to the system
constexpr std::int64_t kStaticSharedBytes = 48 << 10;

std::string place(const std::source_location& w) { return str(w.file_name(), ":", w.line()); }
bool same(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && !std::strcmp(a.file_name(), b.file_name());
}
std::string hex(unsigned mask) {
  std::ostringstream o;
  o << "0x" << std::hex << mask;
  return o.str();
}

}  // namespace

std::string name_in(std::string function) {
  const std::size_t tag = function.find("Tag = ");
  if (tag != std::string::npos) function = function.substr(tag + 6);
  function = function.substr(0, function.find_first_of(";]"));
  return function.substr(function.rfind(':') + 1);  // npos + 1 is 0
}

Grid::Grid(const char* kernel, LaunchShape shape, int max_threads, Schedule schedule)
    : kernel_(kernel), shape_(shape), schedule_(schedule) {
  const std::int64_t threads = shape.block.x * shape.block.y;
  BF_CHECK(shape.grid.x >= 1 && shape.grid.x <= kMostBlocksX && shape.grid.y >= 1 && shape.grid.y <= kMostBlocksY,
           kernel, ": grid of ", shape.grid.x, " x ", shape.grid.y);
  BF_CHECK(shape.block.x >= 1 && shape.block.y >= 1 && threads <= kMostThreads && threads <= max_threads, kernel,
           ": block of ", shape.block.x, " x ", shape.block.y, " threads, bounds ", max_threads);
  BF_CHECK(shape.dynamic_shared_bytes >= 0 && shape.dynamic_shared_bytes <= kMostDynamicSharedBytes, kernel, ": ",
           shape.dynamic_shared_bytes, " bytes of shared memory");
  threads_ = std::vector<Thread>(std::size_t(threads));
  order_.resize(std::size_t(threads));
}

std::string Grid::who(int thread) const {
  const auto x = shape_.block.x;
  return str("block (", block_x_, ", ", block_y_, ") thread (", thread % x, ", ", thread / x, ")");
}
std::string Grid::where_is(int thread) const {
  const Thread& t = threads_[std::size_t(thread)];
  switch (t.state) {
    case State::at_barrier:
      return "waits at the barrier at " + place(t.where);
    case State::at_warp_barrier:
      return "waits at the barrier of lanes " + hex(t.mask) + " at " + place(t.where);
    case State::at_shuffle:
      return "waits at the shuffle of lanes " + hex(t.mask) + " at " + place(t.where);
    case State::at_instruction:
      return "waits at the instruction of the whole warp at " + place(t.where);
    case State::done:
      return "has returned";
    case State::ready:
      break;
  }
  return "runs";
}
void Grid::fail(int thread, const std::string& what) const {
  throw Error(str("emulator: ", kernel_, ", ", who(thread), ": ", what));
}

void Grid::run(const std::function<void()>& body) {
  const std::int64_t blocks = shape_.grid.x * shape_.grid.y;
  std::vector<std::int64_t> order(static_cast<std::size_t>(blocks));
  std::iota(order.begin(), order.end(), 0);
  if (schedule_.order == Schedule::Order::reverse) std::reverse(order.begin(), order.end());
  if (schedule_.order == Schedule::Order::random)
    std::shuffle(order.begin(), order.end(), std::mt19937(schedule_.seed));
  for (const std::int64_t block : order) {
    block_x_ = block % shape_.grid.x, block_y_ = block / shape_.grid.x;
    run_block(body);
  }
}

void Grid::run_block(const std::function<void()>& body) {
  const int n = int(threads_.size());
  block_barrier_ = ++now_;
  shared_.clear(), dynamic_.reset(), memory_.remove_shared();
  for (int i = 0; i < n; ++i) {
    Thread& t = threads_[std::size_t(i)];
    t.state = State::ready;
    t.lanes.fill(0);
    t.fiber.start([this, &t, &body] {
      try {
        if (error_.empty()) body();
      } catch (const Abandoned&) {
      } catch (const std::exception& e) {  // of this emulator, or a check inside of the body
        if (error_.empty())
          error_ = std::string(e.what()).starts_with("emulator: ")
                       ? e.what()
                       : str("emulator: ", kernel_, ", ", who(running_), ": ", e.what());
      }
      t.state = State::done;
    });
  }
  std::iota(order_.begin(), order_.end(), 0);
  if (schedule_.order == Schedule::Order::reverse) std::reverse(order_.begin(), order_.end());
  std::mt19937 draw(schedule_.seed * 2654435761u + ++draws_);
  for (int left = n; left > 0;) {
    if (schedule_.order == Schedule::Order::random) std::shuffle(order_.begin(), order_.end(), draw);
    bool progress = false;
    for (const int i : order_) {
      Thread& t = threads_[std::size_t(i)];
      if (t.fiber.done() || (t.state != State::ready && error_.empty())) continue;
      running_ = i, progress = true;
      t.fiber.resume();
      if (t.fiber.done())
        --left;
      else if (error_.empty() && t.state != State::at_barrier)
        release_warp(i);
    }
    if (left > 0 && !progress) try {
        release_block();
      } catch (const Error& e) {
        error_ = e.what();  // and let every thread end
      }
  }
  if (!error_.empty()) throw Error(error_);
}

void Grid::wait(State state, unsigned mask, Where where) {
  Thread& t = threads_[std::size_t(running_)];
  t.state = state, t.mask = mask, t.where = where;
  t.fiber.pause();
  if (!error_.empty()) throw Abandoned();
}

void Grid::sync(Where where) { wait(State::at_barrier, 0, where); }
void Grid::sync_warp(unsigned mask, Where where) {
  if (!(mask >> running_ % kWarp & 1))
    fail(running_, str("calls the barrier of lanes ", hex(mask), " at ", place(where), ", but is not one of them"));
  wait(State::at_warp_barrier, mask, where);
}
std::uint64_t Grid::shuffle(std::uint64_t value, int lane, unsigned mask, Where where) {
  if (!(mask >> running_ % kWarp & 1))
    fail(running_, str("calls the shuffle of lanes ", hex(mask), " at ", place(where), ", but is not one of them"));
  if (lane < 0 || !(mask >> lane & 1))
    fail(running_, str("shuffle at ", place(where), " from inactive lane ", lane, ": lanes ", hex(mask), " take part"));
  Thread& t = threads_[std::size_t(running_)];
  t.value = value, t.lane = lane;
  wait(State::at_shuffle, mask, where);
  return t.value;
}

std::shared_ptr<const Grid::Offers> Grid::whole_warp(const Offer& own, Where where) {
  Thread& t = threads_[std::size_t(running_)];
  t.offer = own;
  wait(State::at_instruction, kFullMask, where);
  return std::move(t.offers);
}

// Lets the lanes that `thread` waits for go on, if all of them wait for the same.
void Grid::release_warp(int thread) {
  const Thread& caller = threads_[std::size_t(thread)];
  const int first = thread / kWarp * kWarp;
  std::vector<Thread*> lanes;
  for (unsigned m = caller.mask; m; m &= m - 1) {
    const auto i = std::size_t(first + std::countr_zero(m));
    if (i >= threads_.size()) return;
    Thread& t = threads_[i];
    if (t.state != caller.state || t.mask != caller.mask || !same(t.where, caller.where)) return;
    lanes.push_back(&t);
  }
  if (caller.state == State::at_shuffle) {
    std::array<std::uint64_t, kWarp> offered{};
    for (const Thread* t : lanes) offered[std::size_t(t - &threads_[std::size_t(first)])] = t->value;
    for (Thread* t : lanes) t->value = offered[std::size_t(t->lane)];
  } else if (caller.state == State::at_instruction) {
    const auto all = std::make_shared<Offers>();
    for (std::size_t l = 0; l < lanes.size(); ++l) (*all)[l] = lanes[l]->offer;
    for (Thread* t : lanes) t->offers = all;
  } else {
    std::array<std::uint64_t, kWarp> known{};  // what any of them knew, all know now
    for (const Thread* t : lanes)
      for (std::size_t l = 0; l < kWarp; ++l) known[l] = std::max(known[l], t->lanes[l]);
    ++now_;
    for (const Thread* t : lanes) known[std::size_t(t - &threads_[std::size_t(first)])] = now_;
    for (Thread* t : lanes) t->lanes = known;
  }
  for (Thread* t : lanes) t->state = State::ready;
}

// Nobody can go on: either everybody waits at one barrier, or something is wrong.
void Grid::release_block() {
  const int n = int(threads_.size());
  for (int i = 0; i < n; ++i) {
    const Thread& t = threads_[std::size_t(i)];
    if (t.state != State::at_warp_barrier && t.state != State::at_shuffle && t.state != State::at_instruction) continue;
    for (unsigned m = t.mask; m; m &= m - 1) {
      const int lane = std::countr_zero(m), peer = i / kWarp * kWarp + lane;
      if (peer >= n) fail(i, str(where_is(i), ": the block has no lane ", lane));
      const Thread& p = threads_[std::size_t(peer)];
      if (p.state != t.state || p.mask != t.mask || !same(p.where, t.where))
        fail(i, str(where_is(i), ", which lane ", lane, " does not reach: it ", where_is(peer)));
    }
  }
  const auto first =
      std::find_if(threads_.begin(), threads_.end(), [](const Thread& t) { return t.state == State::at_barrier; });
  const int waiting = int(first - threads_.begin());
  for (int i = 0; i < n; ++i) {
    const Thread& t = threads_[std::size_t(i)];
    if (t.state != State::at_barrier || !same(t.where, first->where))
      fail(waiting, str("divergent barrier: it ", where_is(waiting), ", thread (", i % shape_.block.x, ", ",
                        i / shape_.block.x, ") ", where_is(i)));
  }
  block_barrier_ = ++now_;
  for (Thread& t : threads_) t.state = State::ready;
}

Moment Grid::moment() const {
  return {int(block_y_ * shape_.grid.x + block_x_), running_, now_, block_barrier_,
          &threads_[std::size_t(running_)].lanes};
}
void Grid::access(bool write, const void* base, std::int64_t length, std::int64_t i, int count, int element_bytes) {
  const std::string wrong = write ? memory_.write(moment(), base, length, i, count, element_bytes)
                                  : memory_.read(moment(), base, length, i, count, element_bytes);
  if (!wrong.empty()) fail(running_, wrong);
}

void Grid::matrix_row(const void* base, std::int64_t length, std::int64_t i, int element_bytes) {
  const char* row = static_cast<const char*>(base) + i * element_bytes;
  if (reinterpret_cast<std::uintptr_t>(row) % 16)
    fail(running_, str("ldmatrix of a row at element ", i, ": the address is not a multiple of 16 bytes"));
  access(false, base, length, i, 8, element_bytes);
  if (!memory_.is_shared(row)) fail(running_, str("ldmatrix of element ", i, " of an array that is not shared memory"));
}

void* Grid::shared(const void* tag, const char* name, std::int64_t count, int element_bytes) {
  for (const SharedArray& a : shared_)
    if (a.tag == tag) return a.data.get();
  const std::int64_t bytes = count * element_bytes;
  if (bytes > kStaticSharedBytes) fail(running_, str("static shared memory of ", bytes, " bytes"));
  shared_.push_back({tag, std::make_unique<std::max_align_t[]>(std::size_t(bytes) / sizeof(std::max_align_t) + 1)});
  memory_.add(str("shared ", name), shared_.back().data.get(), count, element_bytes, true);
  return shared_.back().data.get();
}

void* Grid::dynamic_shared(std::int64_t offset_bytes, std::int64_t count, int element_bytes) {
  const std::int64_t have = shape_.dynamic_shared_bytes;
  if (offset_bytes < 0 || offset_bytes % element_bytes || offset_bytes + count * element_bytes > have)
    fail(running_, str("dynamic shared memory at byte ", offset_bytes, ", ", count, " elements of ", element_bytes,
                       " bytes, of ", have));
  if (!dynamic_) {
    dynamic_ = std::make_unique<std::max_align_t[]>(std::size_t(have) / sizeof(std::max_align_t) + 1);
    memory_.add("dynamic shared memory", dynamic_.get(), have, 1, true);  // by the byte: its parts are cut at will
  }
  return reinterpret_cast<char*>(dynamic_.get()) + offset_bytes;
}

}  // namespace bonafide::simt
