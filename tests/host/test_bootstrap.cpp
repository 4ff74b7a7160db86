// tests/host/test_bootstrap.cpp — the interval of a threshold: repeats, contains the threshold, narrows with more images.
#include "data/metrics/bootstrap.h"

#include "data/metrics/metrics.h"
#include "engine/philox.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("bootstrap: interval of the EER threshold") {
  const auto interval = [](int n, std::uint64_t seed, double& threshold) {
    Random r(3, "scores");
    std::vector<double> scores;
    std::vector<std::optional<Label>> labels;
    std::vector<Label> plain;
    for (int i = 0; i < n; ++i) {
      scores.push_back(double(r.normal()) + (i % 2 ? 2 : 0));
      plain.push_back(i % 2 ? kPrint : Label{}), labels.push_back(plain.back());
    }
    threshold = RocTable(scores, plain).eer().threshold;
    scores.push_back(1e9), labels.push_back(std::nullopt);  // unlabelled: not drawn
    return eer_threshold_interval(scores, labels, seed);
  };
  double few_t = 0, many_t = 0;
  const auto few = interval(60, 1, few_t), many = interval(2000, 1, many_t);
  CHECK(few == interval(60, 1, few_t));
  CHECK(few != interval(60, 2, few_t));
  CHECK(few.first <= few_t);
  CHECK(few_t <= few.second);
  CHECK(many.first < 1.0);   // the true threshold, halfway between the means
  CHECK(many.second > 1.0 - 0.1);
  CHECK(many.second - many.first < 0.5 * (few.second - few.first));
  CHECK(few.second < 10);
  const std::vector<double> s{1, 2};
  const std::vector<std::optional<Label>> one{Label{}, Label{}};
  expect_throw("both classes", [&] { eer_threshold_interval(s, one, 1); });
}
