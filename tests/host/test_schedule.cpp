// tests/host/test_schedule.cpp — the published schedule's known values.
#include "layers/schedule.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("schedule: the paper's run, 20 epochs of 123 iterations") {
  const std::int64_t total = 20 * 123;
  CHECK(warmup_steps(total) == 123);
  CHECK(warmup_steps(30) == 1);
  const CosineSchedule s{.max = 1.8e-4, .min = 6.8e-7, .warmup = 123, .total = total};
  CHECK(learning_rate(s, 0) == 6.8e-7);
  CHECK(learning_rate(s, 1) == doctest::Approx(6.8e-7 + (1.8e-4 - 6.8e-7) / 123).epsilon(1e-12));
  CHECK(learning_rate(s, 122) < 1.8e-4);
  CHECK(learning_rate(s, 123) == 1.8e-4);
  CHECK(learning_rate(s, 123 + (total - 123) / 3) == doctest::Approx(6.8e-7 + 0.75 * (1.8e-4 - 6.8e-7)).epsilon(1e-12));
  CHECK(learning_rate(s, 2459) == doctest::Approx(6.8e-7).epsilon(1e-3));
  CHECK(learning_rate(s, 2459) > 6.8e-7);
  CHECK(learning_rate(s, 2460) == 6.8e-7);
  CHECK(learning_rate(s, 9999) == 6.8e-7);
}

TEST_CASE("schedule: without warm-up, all warm-up, and constant") {
  CHECK(learning_rate(CosineSchedule{.max = 1, .min = 0, .warmup = 0, .total = 4}, 0) == 1);
  CHECK(learning_rate(CosineSchedule{.max = 1, .min = 0, .warmup = 0, .total = 4}, 2) == doctest::Approx(0.5));
  CHECK(learning_rate(CosineSchedule{.max = 1, .min = 0, .warmup = 4, .total = 4}, 3) == 0.75);
  CHECK(learning_rate(CosineSchedule{.max = 1, .min = 0.5, .warmup = 4, .total = 4}, 4) == 0.5);
  CHECK(learning_rate(ConstantSchedule{0.3}, 17) == 0.3);
  expect_throw("warm-up 5 of 4", [] { learning_rate(CosineSchedule{.max = 1, .min = 0, .warmup = 5, .total = 4}, 0); });
}
