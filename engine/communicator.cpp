// engine/communicator.cpp — what all communicators check, and the one of a process that trains alone.
#include "engine/communicator.h"

#include <algorithm>

namespace bonafide {

void Communicator::check_array(const void* p, std::int64_t n) { BF_CHECK(n >= 0 && (p || n == 0), n, " values at a null pointer"); }
void Communicator::check_all_gather(Span<const float> mine, Span<float> all) const {
  check_array(mine.ptr, mine.len), check_array(all.ptr, all.len);
  BF_CHECK(all.len == mine.len * world(), "all_gather of ", mine.len, " values from ", world(), " into ", all.len);
}
void Communicator::check_broadcast(Span<std::uint8_t> bytes, int root) const {
  check_array(bytes.ptr, bytes.len);
  BF_CHECK(root >= 0 && root < world(), "broadcast from rank ", root, " of ", world());
}

namespace {

// Checks what the real ones rely on, so that a wrong call is found on one process.
class SingleProcess final : public Communicator {
 public:
  int rank() const override { return 0; }
  int world() const override { return 1; }
  void all_gather(Span<const float> mine, Span<float> all) override {
    check_all_gather(mine, all);
    if (all.ptr != mine.ptr) std::copy(mine.begin(), mine.end(), all.begin());
  }
  void broadcast(Span<std::uint8_t> bytes, int root) override { check_broadcast(bytes, root); }
  void barrier() override {}
  void begin_all_reduce_sum(Span<float> values) override { check_array(values.ptr, values.len); }
  void begin_all_reduce_sum(Span<bf16> values) override { check_array(values.ptr, values.len); }
  void finish() override {}
  void abort() noexcept override {}
};

}  // namespace

std::unique_ptr<Communicator> single_process() { return std::make_unique<SingleProcess>(); }

}  // namespace bonafide
