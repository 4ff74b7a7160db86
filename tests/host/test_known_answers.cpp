// tests/host/test_known_answers.cpp — numbers worked out by hand, for the pieces whose formula is easy to get subtly
// wrong.
#include "engine/context.h"
#include "layers/functional/grn.h"
#include "layers/functional/l2_normalize.h"
#include "layers/functional/losses.h"
#include "layers/schedule.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("known: GRN is the identity for gamma = beta = 0, and doubles x where all channels have one norm") {
  Context ctx;
  std::vector<float> x(2 * 3 * 3 * 5);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(int(i % 7) - 3);
  const Tensor zero = Tensor::zeros(ctx, {5}), one = Tensor::full(ctx, {5}, 1);
  CHECK(fn::grn(Tensor::from_host(ctx, {2, 3, 3, 5}, x), zero, zero).to_host() == x);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / 5 % 2 ? 1.5f : -1.5f;  // |x| alike everywhere: N = 1
  const auto y = fn::grn(Tensor::from_host(ctx, {2, 3, 3, 5}, x), one, zero).to_host();
  expect_close("2x", y, std::vector<double>([&] {
                 std::vector<double> w;
                 for (const float v : x) w.push_back(2.0 * double(v));
                 return w;
               }()),
               1e-6, 0);
}

TEST_CASE("known: the paper's schedule starts and ends at 6.8e-7 and peaks at step 123") {
  const CosineSchedule s{1.8e-4, 6.8e-7, warmup_steps(20 * 123), 20 * 123};
  CHECK(s.warmup == 123);
  CHECK(learning_rate(s, 0) == 6.8e-7);
  CHECK(learning_rate(s, 123) == 1.8e-4);
  CHECK(learning_rate(s, 2459) == doctest::Approx(6.8e-7).epsilon(2e-4));
  CHECK(learning_rate(s, 2459) > 6.8e-7);
}

TEST_CASE("known: SupCon of 64 equal features, half and half") {
  Context ctx;
  std::vector<float> labels;
  for (int i = 0; i < 64; ++i) labels.push_back(float(1 - i % 2));
  const Tensor f = fn::l2_normalize(Tensor::full(ctx, {64, 128}, 0.25f)), y = Tensor::from_host(ctx, {64}, labels);
  CHECK(fn::supcon(f, y, fn::SupConForm::log_outside, 0.141f).item() ==
        doctest::Approx(-std::log(31.0 / 63)).epsilon(1e-6));
  CHECK(fn::supcon(f, y, fn::SupConForm::l_out, 0.141f).item() == doctest::Approx(std::log(63.0)).epsilon(1e-6));
}

TEST_CASE("known: binary focal of a logit of 0 for an attack is 0.528 * 0.5^0.73 * ln 2") {
  Context ctx;
  const Tensor z = Tensor::zeros(ctx, {1}), y = Tensor::full(ctx, {1}, 1);
  const double want = 0.528 * std::pow(0.5, 0.73) * std::log(2.0);
  CHECK(want == doctest::Approx(0.2207).epsilon(1e-3));
  CHECK(fn::focal(z, y, fn::FocalForm::detached_one_sided, 0.528, 0.73).item() == doctest::Approx(want).epsilon(1e-6));
}
