// tests/host/test_metrics.cpp — error rates against tables worked out by hand, with ties, and what has no answer.
#include "data/metrics/metrics.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "data/metrics/report.h"
#include "engine/philox.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using test::expect_throw;

namespace {

constexpr Label G{};

struct Set {
  std::vector<double> scores;
  std::vector<Label> labels;
  Set& add(Label l, std::initializer_list<double> s) {
    for (const double v : s) scores.push_back(v), labels.push_back(l);
    return *this;
  }
  RocTable roc() const { return {scores, labels}; }
};

// Ten images. Sorted: 0.1 G, 0.2 G, 0.3 P, 0.4 G, 0.4 P, 0.5 R, 0.6 G, 0.7 P, 0.8 R, 0.9 P
//   threshold   missed attacks (of 6)   rejected genuine (of 4)
//   0.1         0                       4
//   0.2         0                       3
//   0.3         0                       2
//   0.4         1                       2
//   0.5         2                       1
//   0.6         3                       1
//   0.7         3                       0
//   0.8         4                       0
//   0.9         5                       0
//   above       6                       0
Set ten() { return Set().add(G, {0.1, 0.2, 0.4, 0.6}).add(kPrint, {0.3, 0.4, 0.7, 0.9}).add(kReplay, {0.5, 0.8}); }

}  // namespace

TEST_CASE("metrics: rates at a threshold, by hand") {
  const RocTable roc = ten().roc();
  CHECK(roc.attacks() == 6);
  CHECK(roc.genuine() == 4);
  struct Row {
    double t;
    int missed, rejected, print, replay;
  };
  for (const Row& row : {Row{0.05, 0, 4, 0, 0},
                         {0.1, 0, 4, 0, 0},
                         {0.2, 0, 3, 0, 0},
                         {0.3, 0, 2, 0, 0},
                         {0.35, 1, 2, 1, 0},
                         {0.4, 1, 2, 1, 0},
                         {0.41, 2, 1, 2, 0},
                         {0.5, 2, 1, 2, 0},
                         {0.6, 3, 1, 2, 1},
                         {0.7, 3, 0, 2, 1},
                         {0.8, 4, 0, 3, 1},
                         {0.9, 5, 0, 3, 2},
                         {0.91, 6, 0, 4, 2}}) {
    const ErrorRates r = roc.at(row.t);
    CHECK(r.threshold == row.t);
    CHECK_MESSAGE(r.apcer.errors == row.missed, row.t);
    CHECK_MESSAGE(r.bpcer.errors == row.rejected, row.t);
    CHECK(r.apcer.n == 6);
    CHECK(r.bpcer.n == 4);
    REQUIRE(r.species.size() == 2);
    CHECK(r.species[0].species == kPrint);
    CHECK(r.species[0].apcer.errors == row.print);
    CHECK(r.species[0].apcer.n == 4);
    CHECK(r.species[1].apcer.errors == row.replay);
    CHECK(r.species[1].apcer.n == 2);
  }
  const ErrorRates r = roc.at(0.5);
  CHECK(r.worst_species().species == kPrint);
  CHECK(r.acer_pooled() == doctest::Approx((2.0 / 6 + 1.0 / 4) / 2));
  CHECK(r.acer_worst() == doctest::Approx((2.0 / 4 + 1.0 / 4) / 2));
  CHECK(r.hter() == r.acer_pooled());
  CHECK(roc.at(0.9).worst_species().species == kReplay);  // 2 of 2 beats 3 of 4
  CHECK(roc.at(0.6).worst_species().species == kPrint);   // a tie, 2 of 4 and 1 of 2: the first
}

TEST_CASE("metrics: AUC counts ties half") {
  // Pairs won by attacks: 0.3 > 2, 0.4 > 2 and one tie, 0.7 > 4, 0.9 > 4; 0.5 > 3, 0.8 > 4.
  CHECK(ten().roc().auc() == doctest::Approx((2 + 2.5 + 4 + 4 + 3 + 4) / 24).epsilon(1e-15));
  CHECK(ten().roc().auc(kPrint) == doctest::Approx(12.5 / 16).epsilon(1e-15));
  CHECK(ten().roc().auc(kReplay) == doctest::Approx(7.0 / 8).epsilon(1e-15));
  CHECK(Set().add(G, {0, 0, 0}).add(kPrint, {0, 0}).roc().auc() == 0.5);
  CHECK(Set().add(G, {0, 1}).add(kPrint, {2, 3}).roc().auc() == 1.0);
  CHECK(Set().add(G, {2, 3}).add(kPrint, {0, 1}).roc().auc() == 0.0);
  expect_throw("no images of species face_swap", [] { ten().roc().auc(kFaceSwap); });
}

TEST_CASE("metrics: EER lies where the straight lines between thresholds cross") {
  // 0.4: APCER 1/6, BPCER 1/2 (gap 1/3). 0.5: APCER 1/3, BPCER 1/4 (gap -1/12). Crossing at 4/5 of the way: 1/6 + 4/5 *
  // 1/6.
  const EqualErrorRate e = ten().roc().eer();
  CHECK(e.value == doctest::Approx(0.3).epsilon(1e-12));
  CHECK(e.threshold == doctest::Approx(0.45).epsilon(1e-12));  // at 0.5 the gap is smaller; halfway down to 0.4
  CHECK(e.apcer == doctest::Approx(1.0 / 3));
  CHECK(e.bpcer == doctest::Approx(0.25));

  // Met exactly: one of four attacks and one of four genuine on the wrong side.
  const EqualErrorRate met = Set().add(G, {0.1, 0.2, 0.3, 0.8}).add(kPrint, {0.25, 0.7, 0.8, 0.9}).roc().eer();
  CHECK(met.value == 0.25);
  CHECK(met.threshold == doctest::Approx(0.5));  // any of (0.3, 0.7]; halfway

  const EqualErrorRate apart = Set().add(G, {-2, -1}).add(kPrint, {3, 4}).roc().eer();
  CHECK(apart.value == 0);
  CHECK(apart.threshold == 1);  // with a margin on both sides
  CHECK(Set().add(G, {3, 4}).add(kPrint, {-2, -1}).roc().eer().value == 1);
  CHECK(Set().add(G, {5, 5, 5}).add(kPrint, {5, 5}).roc().eer().value == 0.5);
}

TEST_CASE("metrics: at the ends of the curve a threshold is the score itself, not halfway to a neighbour") {
  CHECK(Set().add(G, {0.25, 0.5}).add(kPrint, {0.25, 0.75}).roc().bpcer_at_apcer(0).threshold == 0.25);
  const double above = double(std::nextafter(1.0f, 2.0f));
  CHECK(Set().add(G, {1, 0.25}).add(kPrint, {0.25, 0.5}).roc().apcer_at_bpcer(0).threshold == above);
}

TEST_CASE("metrics: the published EER is the nearest point of the curve, from the highest threshold down") {
  // From above: |FNR - FPR| is 1, 5/6, 4/6, 1/2 (0.7), 1/4 (0.6), 1/12 (0.5), 1/3, …
  const EqualErrorRate e = ten().roc().eer_published();
  CHECK(e.value == 0.25);
  CHECK(e.threshold == 0.5);
  CHECK(e.apcer == doctest::Approx(1.0 / 3));

  // First of equals: thresholds 2 (FNR 1/2, FPR 0) and 1 (FNR 0, FPR 1/2) are equally near.
  const EqualErrorRate first = Set().add(G, {1, 0}).add(kPrint, {2, 1}).roc().eer_published();
  CHECK(first.threshold == 2);
  CHECK(first.value == 0);

  // 5: FNR 1, FPR 1/3; 4: 2/3, 1/3; 3: 2/3, 2/3 (met); 2 lies between 3 and 1 and is left out; 1: 0, 2/3; 0: 0, 1.
  const EqualErrorRate dropped = Set().add(G, {5, 3, 0}).add(kPrint, {4, 2, 1}).roc().eer_published();
  CHECK(dropped.threshold == 3);
  CHECK(dropped.value == doctest::Approx(2.0 / 3));

  // The nearest point is collinear, so it does not exist: 3, 2, 1 in a row add one hit each, FPR stays 1/2.
  //   4: FNR 1, FPR 1/2;  3: 3/4;  2: 1/2 (would be 0 away, dropped);  1: 1/4;  0.5: 0, 1/2;  0: 0, 1
  const EqualErrorRate gone = Set().add(G, {4, 0}).add(kPrint, {3, 2, 1, 0.5}).roc().eer_published();
  CHECK(gone.threshold == 4);  // 4 and 0.5 are 1/2 away; the first
  CHECK(gone.value == 0.5);

  // A constant score, by this rule: the point where nothing is called an attack.
  const EqualErrorRate flat = Set().add(G, {5, 5}).add(kPrint, {5}).roc().eer_published();
  CHECK(flat.value == 0);
  CHECK(std::isinf(flat.threshold));
}

TEST_CASE("metrics: fixed points never go beyond the target") {
  const RocTable roc = ten().roc();
  struct Row {
    double target;
    int apcer, bpcer;  // errors
  };
  for (const Row& row : {Row{0.0, 3, 0},
                         {0.1, 3, 0},
                         {0.24, 3, 0},
                         {0.25, 2, 1},
                         {0.49, 2, 1},
                         {0.5, 0, 2},
                         {0.75, 0, 3},
                         {1.0, 0, 4}}) {
    const ErrorRates r = roc.apcer_at_bpcer(row.target);
    CHECK_MESSAGE(r.apcer.errors == row.apcer, row.target);
    if (row.target < 0.75) CHECK_MESSAGE(r.bpcer.errors == row.bpcer, row.target);
    CHECK(r.bpcer.value() <= row.target);
  }
  for (const Row& row :
       {Row{0.0, 0, 2}, {0.1, 0, 2}, {1.0 / 6, 1, 2}, {0.3, 1, 2}, {2.0 / 6, 2, 1}, {0.5, 3, 0}, {1.0, 6, 0}}) {
    const ErrorRates r = roc.bpcer_at_apcer(row.target);
    CHECK_MESSAGE(r.bpcer.errors == row.bpcer, row.target);
    if (row.target < 1) CHECK_MESSAGE(r.apcer.errors == row.apcer, row.target);
    CHECK(r.apcer.value() <= row.target);
  }
  // With every species held at 25 %: print allows 1 of 4, replay 0 of 2.
  CHECK(roc.bpcer_at_apcer(0.25, Pooling::worst_species).bpcer.errors == 2);
  CHECK(roc.bpcer_at_apcer(0.5, Pooling::worst_species).bpcer.errors == 0);
  CHECK(roc.bpcer_at_apcer(0.49, Pooling::worst_species).bpcer.errors == 2);
  CHECK(roc.bpcer_at_apcer(0.49).bpcer.errors == 1);
  expect_throw("target 5 outside [0, 1]", [&] { roc.apcer_at_bpcer(5); });
}

TEST_CASE("metrics: the threshold that is answered gives the rates that are answered") {
  // Scores on a coarse grid: many ties. Every fixed point, asked again by its threshold, says the same.
  Random random(test::seed(), "metrics");
  for (int round = 0; round < 20; ++round) {
    Set set;
    for (int i = 0; i < 60; ++i)
      set.add(i % 3 == 0 ? G : i % 3 == 1 ? kPrint : kReplay, {double(random.below(12)) / 7 + (i % 3 ? 0.3 : 0)});
    const RocTable roc = set.roc();
    const auto same = [&](const ErrorRates& r) {
      const ErrorRates again = roc.at(r.threshold);
      CHECK(again.apcer.errors == r.apcer.errors);
      CHECK(again.bpcer.errors == r.bpcer.errors);
    };
    for (const double target : {0.0, 0.01, 0.05, 0.1, 0.3, 1.0}) {
      same(roc.apcer_at_bpcer(target));
      same(roc.bpcer_at_apcer(target));
      same(roc.bpcer_at_apcer(target, Pooling::worst_species));
      // Nothing better exists within the target: try every threshold there is.
      const ErrorRates best = roc.bpcer_at_apcer(target);
      for (double t = -0.01; t < 3; t += 0.01) {
        const ErrorRates r = roc.at(t);
        if (r.apcer.value() <= target) CHECK(r.bpcer.errors >= best.bpcer.errors);
      }
    }
    const EqualErrorRate e = roc.eer();
    const ErrorRates at = roc.at(e.threshold);
    CHECK(at.apcer.value() == e.apcer);
    CHECK(at.bpcer.value() == e.bpcer);
    CHECK(e.value >= std::min(e.apcer, e.bpcer));
    CHECK(e.value <= std::max(e.apcer, e.bpcer));
  }
}

TEST_CASE("metrics: a threshold above all scores survives storage as a float") {
  const RocTable roc = Set().add(G, {0.9, 1.0 - 1e-12}).add(kPrint, {0.5}).roc();
  const ErrorRates r = roc.apcer_at_bpcer(0);
  CHECK(r.bpcer.errors == 0);
  CHECK(roc.at(double(float(r.threshold))).bpcer.errors == 0);
}

TEST_CASE("metrics: what has no answer is an error") {
  expect_throw("all 2 images are attacks", [] { Set().add(kPrint, {0.1, 0.2}).roc(); });
  expect_throw("all 3 images are genuine", [] { Set().add(G, {0.1, 0.2, 0.3}).roc(); });
  expect_throw("there are none", [] { Set().roc(); });
  expect_throw("score 1 is nan (print)", [] { Set().add(G, {0.1}).add(kPrint, {std::nan("")}).roc(); });
  expect_throw("score 0 is inf (genuine)",
               [] { Set().add(G, {std::numeric_limits<double>::infinity()}).add(kPrint, {1}).roc(); });
  expect_throw("2 scores and 1 labels", [] { RocTable(std::vector<double>{1, 2}, std::vector<Label>{G}); });
  expect_throw("not a number", [] { ten().roc().at(std::nan("")); });
}

TEST_CASE("report: numbers, origin of the threshold, and unlabelled images") {
  Set set = ten();
  std::vector<std::optional<Label>> labels(set.labels.begin(), set.labels.end());
  set.scores.push_back(std::nan(""));  // unlabelled: not looked at
  labels.push_back(std::nullopt);
  const Report own = make_report(set.scores, labels);
  CHECK(own.unlabelled == 1);
  CHECK(own.threshold.optimistic);
  CHECK(own.threshold.value == own.eer.threshold);

  const Report r = make_report(set.scores, labels, Threshold{0.5, "--threshold"}, {0.25, 0.001});
  CHECK(!r.threshold.optimistic);
  CHECK(r.rates.apcer.errors == 2);
  CHECK(r.apcer_at_bpcer[0].rates.apcer.errors == 2);
  CHECK(r.bpcer_at_worst_apcer[0].rates.bpcer.errors == 2);

  const auto j = nlohmann::json::parse(to_json(r));
  CHECK(j["n_attack"] == 6);
  CHECK(j["n_genuine"] == 4);
  CHECK(j["threshold"]["origin"] == "--threshold");
  CHECK(j["rates"]["apcer_pooled"]["errors"] == 2);
  CHECK(j["rates"]["worst_species"] == "print");
  CHECK(j["species"][1]["code"] == "1_0_1");
  CHECK(j["bpcer_at_apcer"][0]["target"] == 0.25);

  const std::string csv = metrics_csv(r);
  CHECK(csv.starts_with("metric,value,errors,n,n_attack,n_genuine,threshold\nauc,0.8125,,,6,4,\n"));
  CHECK(csv.find("\nbpcer,0.25,1,4,6,4,0.5\n") != std::string::npos);
  CHECK(csv.find("\napcer_worst,0.5,2,4,6,4,0.5\n") != std::string::npos);
  CHECK(csv.find("\nbpcer_at_apcer_25,0.5,2,4,6,4,") != std::string::npos);
  CHECK(csv.find("\napcer_at_bpcer_0.1,0.5,3,6,6,4,") != std::string::npos);
  CHECK(species_csv(r) ==
        "species,code,apcer,errors,n,auc,threshold\nprint,1_0_0,0.5,2,4,0.78125,0.5\nreplay,1_0_1,0,0,2,0.875,0.5\n");
  const std::string table = to_table(own);
  CHECK(table.starts_with(
      "4 genuine, 6 attacks (1 unlabelled left out)\nthreshold 0.45: EER of this very set (optimistic)\n"));
  CHECK(table.find("  APCER worst species        50.00 %   2 of 4  print\n") != std::string::npos);

  test::TempFolder dir;
  write_report(dir / "eval" / "test", r);
  CHECK(read_file(dir / "eval" / "test" / "metrics.csv") == csv);
  CHECK(nlohmann::json::parse(read_file(dir / "eval" / "test" / "metrics.json")) == j);
  expect_throw("2 scores and 1 labels", [] {
    make_report(std::vector<double>{1, 2}, std::vector<std::optional<Label>>{kPrint});
  });
  expect_throw("all 1 images are unlabelled",
               [] { make_report(std::vector<double>{1}, std::vector<std::optional<Label>>{std::nullopt}); });
}
