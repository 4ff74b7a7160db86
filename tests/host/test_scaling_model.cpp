// tests/host/test_scaling_model.cpp — the arithmetic of bench/: bandwidths, the overlap of sums with backward, both against
// cases worked out by hand; and docs/scaling.md, whose predicted tables are the program's.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/scaling_tables.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

// Sums that take so long for a byte.
Communication seconds_per_byte(double s, double interference = 0) {
  Communication c;
  c.sum = [s](double bytes) { return s * bytes; };
  c.interference = interference;
  return c;
}

}  // namespace

TEST_CASE("scaling: bandwidths are those of nccl-tests") {
  CHECK(bus_factor(Collective::all_reduce, 2) == doctest::Approx(1));
  CHECK(bus_factor(Collective::all_reduce, 8) == doctest::Approx(1.75));
  CHECK(bus_factor(Collective::all_gather, 8) == doctest::Approx(0.875));
  CHECK(bus_factor(Collective::broadcast, 8) == doctest::Approx(1));
  CHECK(algorithm_bandwidth(1e9, 0.5) == doctest::Approx(2e9));
  // A line that nccl-tests printed, of 8 GPUs (its issue 252): 53.41 and 93.46 GB/s.
  CHECK(algorithm_bandwidth(536870912, 10052e-6) == doctest::Approx(53.41e9).epsilon(1e-3));
  CHECK(bus_bandwidth(Collective::all_reduce, 8, 536870912, 10052e-6) == doctest::Approx(93.46e9).epsilon(1e-3));
  CHECK(ring_steps(Collective::all_reduce, 8) == 14);
  CHECK(ring_steps(Collective::all_gather, 8) == 7);
  // 14 steps of 5 us, and 1.75 x 20 MB at 350 GB/s: 70 us + 100 us.
  CHECK(collective_seconds({5e-6, 350e9}, Collective::all_reduce, 8, 20e6) == doctest::Approx(170e-6));
  CHECK(collective_seconds({5e-6, 350e9}, Collective::all_gather, 8, 40e6) == doctest::Approx(135e-6));
  CHECK(collective_seconds({5e-6, 350e9}, Collective::all_reduce, 1, 20e6) == 0);
}

TEST_CASE("scaling: measured times between, below and above the sizes that were measured") {
  const MeasuredTimes t{{8, 100, 1000}, {2, 4, 22}};
  CHECK(t(1) == doctest::Approx(2));
  CHECK(t(8) == doctest::Approx(2));
  CHECK(t(54) == doctest::Approx(3));
  CHECK(t(100) == doctest::Approx(4));
  CHECK(t(550) == doctest::Approx(13));
  CHECK(t(1000) == doctest::Approx(22));
  CHECK(t(2000) == doctest::Approx(44));
  CHECK_THROWS_AS((MeasuredTimes{}(8)), Error);
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 2, 3}) == doctest::Approx(2.5));
  CHECK_THROWS_AS(median({}), Error);
}

TEST_CASE("scaling: a step of one process is the sum of its pieces") {
  const StepTime t = step_time({.forward = 3, .loss = 0.5, .backward = 7, .optimiser = 1, .buckets = {}}, {});
  CHECK(t.step == doctest::Approx(11.5));
  CHECK(t.backward_end == doctest::Approx(7));
  CHECK(t.sums_end == 0);
  CHECK(t.exposed == 0);
}

TEST_CASE("scaling: sums hide behind backward, one after the other, but for the last") {
  StepPieces p{.forward = 3, .loss = 0, .backward = 10, .optimiser = 1, .buckets = {{200, 2}, {100, 6}, {100, 10}}};
  // 2-4, 6-7, 10-11: the last is exposed.
  StepTime t = step_time(p, seconds_per_byte(0.01));
  CHECK(t.backward_end == doctest::Approx(10));
  CHECK(t.sums_end == doctest::Approx(11));
  CHECK(t.sums == doctest::Approx(4));
  CHECK(t.exposed == doctest::Approx(1));
  CHECK(t.step == doctest::Approx(15));
  // Three times as slow: 2-8, 8-11 (it waits for the first), 11-14.
  t = step_time(p, seconds_per_byte(0.03));
  CHECK(t.sums_end == doctest::Approx(14));
  CHECK(t.exposed == doctest::Approx(4));
  // All sums over before the end of backward.
  p.buckets = {{200, 2}, {100, 6}};
  t = step_time(p, seconds_per_byte(0.01));
  CHECK(t.sums_end == doctest::Approx(7));
  CHECK(t.exposed == 0);
  CHECK(t.step == doctest::Approx(14));
  // Nothing hides the gathers; the question goes around beside the step.
  Communication c = seconds_per_byte(0.01);
  c.gathers = 0.25, c.ask = 14.2;
  CHECK(step_time(p, c).step == doctest::Approx(14.25));
  c.ask = 14.3;
  CHECK(step_time(p, c).step == doctest::Approx(14.3));
}

TEST_CASE("scaling: sums slow backward down by their interference") {
  const StepPieces p{.forward = 0, .loss = 0, .backward = 10, .optimiser = 0, .buckets = {{200, 2}, {100, 6}, {100, 10}}};
  // Backward stands still: 2-4, then 4 more to compute (8), 8-9, 4 more (13), 13-14.
  StepTime t = step_time(p, seconds_per_byte(0.01, 1));
  CHECK(t.backward_end == doctest::Approx(13));
  CHECK(t.sums_end == doctest::Approx(14));
  CHECK(t.step == doctest::Approx(14));
  // Half its speed: 2-4 computes 1 of the 4 until the next bucket, ready at 7; 7-8 computes half of its 4, ready at 11.5; 11.5-12.5.
  t = step_time(p, seconds_per_byte(0.01, 0.5));
  CHECK(t.backward_end == doctest::Approx(11.5));
  CHECK(t.sums_end == doctest::Approx(12.5));
  // Backward ends while a sum runs: ready at 2, 2-22 at half speed, the remaining 8 take 16.
  t = step_time({.forward = 0, .loss = 0, .backward = 10, .optimiser = 0, .buckets = {{2000, 2}}}, seconds_per_byte(0.01, 0.5));
  CHECK(t.backward_end == doctest::Approx(18));
  CHECK(t.sums_end == doctest::Approx(22));
  CHECK_THROWS_AS(step_time(p, seconds_per_byte(0.01, 1.5)), Error);
}

TEST_CASE("scaling: efficiencies") {
  CHECK(weak_efficiency(10, 12.5) == doctest::Approx(0.8));
  CHECK(strong_efficiency(10, 2.5, 8) == doctest::Approx(0.5));
}

TEST_CASE("scaling: buckets of the tables are those of training, ready in their order") {
  const PairedModelConfig model = table_model();
  const auto specs = paired_model_parameters(model);
  double last = 2;
  for (const auto& s : specs) {  // timm's order: backward comes from the other end
    const double share = ready_share(s.name, model.backbone.depths);
    CHECK_MESSAGE((share > 0 && share <= last), s.name);
    last = share;
    if (s.name == specs.front().name) CHECK(share == doctest::Approx(1));
  }
  // By hand, of 9.179 units: the head, and the last block of stage 4; the whole of stage 4.
  CHECK(ready_share("cls.weight", model.backbone.depths) == doctest::Approx(0.006 / 9.179));
  CHECK(ready_share("backbone.stages.3.blocks.2.grn.weight", model.backbone.depths) == doctest::Approx((0.006 + 0.385) / 9.179));
  CHECK(ready_share("backbone.stages.3.downsample.1.weight", model.backbone.depths) == doctest::Approx((0.006 + 1.155 + 0.074) / 9.179));
  const auto f32 = bucket_shares(model, {.bytes = 20'000'000}), bf16 = bucket_shares(model, {.bytes = 20'000'000, .type = DType::bf16});
  double bytes = 0, half = 0;
  for (const Bucket& b : f32) bytes += b.bytes;
  for (const Bucket& b : bf16) half += b.bytes;
  CHECK(bytes == doctest::Approx(4.0 * double(parameter_count(specs))).epsilon(1e-3));  // and the arena's padding
  CHECK(half == doctest::Approx(bytes / 2));
  CHECK(f32.back().ready == doctest::Approx(1));
}

TEST_CASE("scaling: the step of one GPU is the roofline's, and more GPUs cost more") {
  const auto shares = bucket_shares(table_model(), {.bytes = 20'000'000});
  for (const auto& [images, ms] : {std::pair{64.0, 4.57}, {128.0, 8.68}, {256.0, 16.9}})
    CHECK(1e3 * gpu_step(Links::nvlink_infiniband, 1, images, shares).step == doctest::Approx(ms).epsilon(5e-3));
  double last = 0;
  for (const int n : {1, 2, 4, 8, 16, 32, 64}) {
    const StepTime t = gpu_step(Links::nvlink_infiniband, n, 256, shares);
    CHECK(t.step > last);
    last = t.step;
    if (n > 1 && n <= 8) CHECK(gpu_step(Links::pcie, n, 256, shares).step > t.step);
  }
}

TEST_CASE("scaling: the document has the model's tables") {
  std::ifstream in(std::filesystem::path(BF_SOURCE_DIR) / "docs/scaling.md");
  std::stringstream s;
  s << in.rdbuf();
  for (const std::string& table : {bucket_table(), weak_table(), strong_table()})
    CHECK_MESSAGE(s.str().find(table) != std::string::npos, "docs/scaling.md lacks this table (build/bench/bench/scaling_model prints all):\n", table);
}
