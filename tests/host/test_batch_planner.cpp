// tests/host/test_batch_planner.cpp — which images, in which order, with which draws.
#include "data/batch_planner.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/support/lists.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

PlanSettings settings(std::int64_t batch, double fraction = 1) {
  PlanSettings s;
  s.batch_size = batch;
  s.epoch_fraction = fraction;
  return s;
}

std::vector<std::int64_t> attacks_of(const BatchPlanner& planner, std::int64_t epoch) {
  std::vector<std::int64_t> a;
  for (std::int64_t i = 0; i < planner.steps_per_epoch(); ++i) {
    const BatchPlan plan = planner.plan(epoch * planner.steps_per_epoch() + i);
    CHECK(plan.epoch == epoch);
    for (std::size_t k = 0; k < plan.samples.size(); k += 2) a.push_back(plan.samples[k].record);
  }
  return a;
}

bool same(const SampleDraw& a, const SampleDraw& b) {
  return a.record == b.record && a.label == b.label && a.margin == b.margin && a.augment.flip == b.augment.flip &&
         a.augment.jpeg_quality == b.augment.jpeg_quality && a.simulated == b.simulated && a.species == b.species &&
         a.donor == b.donor && a.simulate_a == b.simulate_a && a.simulate_b == b.simulate_b;
}

PlanSettings simulated(std::int64_t batch) {
  PlanSettings s = settings(batch);
  s.simulate.on = true;
  s.simulate.species = {{kPrint, 1}, {kReplay, 2}, {kFaceSwap, 1}, {kCutout, 0}};
  s.simulate.steps_per_epoch = 10;
  return s;
}

}  // namespace

TEST_CASE("planner: a batch is attack, genuine, attack, genuine; partners as the list pairs them") {
  const auto list = pair_list(10);
  const BatchPlanner planner(list, settings(4));
  CHECK(planner.pairs() == 10);
  CHECK(planner.steps_per_epoch() == 2);  // drop_last
  const BatchPlan plan = planner.plan(3);
  CHECK(plan.step == 3);
  CHECK(plan.epoch == 1);
  CHECK(plan.group == 2);
  REQUIRE(plan.samples.size() == 8);
  for (std::size_t i = 0; i < 8; ++i) {
    const SampleDraw& d = plan.samples[i];
    CHECK(d.label == (i % 2 ? 0.0f : 1.0f));
    CHECK(!d.simulated);
    if (i % 2)
      CHECK(list->records[std::size_t(d.record)].filename ==
            list->records[std::size_t(plan.samples[i - 1].record)].pair_filename);
    else
      CHECK(list->records[std::size_t(d.record)].attack());
  }
}

TEST_CASE("planner: an epoch is a fresh permutation cut to floor(fraction * pairs)") {
  const auto list = pair_list(21);
  const BatchPlanner planner(list, settings(5, 0.5));  // floor(10.5) = 10 pairs, 2 batches
  CHECK(planner.steps_per_epoch() == 2);
  std::set<std::int64_t> seen;
  std::vector<std::int64_t> last;
  for (std::int64_t epoch = 0; epoch < 12; ++epoch) {
    const std::vector<std::int64_t> a = attacks_of(planner, epoch);
    CHECK(a.size() == 10);
    CHECK(std::set<std::int64_t>(a.begin(), a.end()).size() == 10);  // no replacement
    CHECK(a != last);
    last = a;
    seen.insert(a.begin(), a.end());
  }
  CHECK(seen.size() == 21);  // all pairs come up in the end

  CHECK(BatchPlanner(list, settings(1, 0.5)).steps_per_epoch() == 10);
  // The paper's numbers: 7918 pairs, half of them, 32 a batch: 3959 pairs, 123 steps.
  CHECK(BatchPlanner(pair_list(7918), settings(32, 0.5)).steps_per_epoch() == 123);
}

TEST_CASE("planner: drop_last, shuffle") {
  PlanSettings s = settings(4);
  s.drop_last = false;
  s.shuffle = false;
  const BatchPlanner planner(pair_list(10), s);
  CHECK(planner.steps_per_epoch() == 3);
  CHECK(planner.plan(2).samples.size() == 4);
  std::vector<std::int64_t> in_order;
  for (std::int64_t i = 10; i < 20; ++i) in_order.push_back(i);
  CHECK(attacks_of(planner, 0) == in_order);
  CHECK(attacks_of(planner, 1) == in_order);
}

TEST_CASE("planner: a plan depends on settings and step alone") {
  PlanSettings s = settings(4, 0.7);
  s.augment_genuine = [](Random& r) {
    AugmentDraw d;
    d.flip = r.chance(0.5);
    d.jpeg_quality = int(r.between(40, 60));
    return d;
  };
  s.cutmix = [](Random& r, const std::vector<SampleDraw>& samples) {
    CutMixDraw c;
    c.on = r.chance(0.5);
    c.x1 = int(r.below(200));
    for (const auto p : r.permutation(std::int64_t(samples.size()))) c.partner.push_back(int(p));
    return c;
  };
  const BatchPlanner a(pair_list(30), s), b(pair_list(30), s);
  std::vector<BatchPlan> forward;
  for (std::int64_t i = 0; i < 40; ++i) forward.push_back(a.plan(i));
  for (std::int64_t i = 39; i >= 0; --i) {  // another planner, backwards
    const BatchPlan plan = b.plan(i);
    for (std::size_t k = 0; k < plan.samples.size(); ++k)
      CHECK(same(plan.samples[k], forward[std::size_t(i)].samples[k]));
    CHECK(plan.cutmix.on == forward[std::size_t(i)].cutmix.on);
    CHECK(plan.cutmix.x1 == forward[std::size_t(i)].cutmix.x1);
    CHECK(plan.cutmix.partner == forward[std::size_t(i)].cutmix.partner);
  }
  s.seed = 43;
  CHECK(BatchPlanner(pair_list(30), s).plan(0).samples[0].record != forward[0].samples[0].record);

  // A pair's draws belong to the pair: another batch size leaves them as they were.
  s.seed = 42;
  s.batch_size = 7;
  const BatchPlanner other(pair_list(30), s);
  std::map<std::int64_t, float> margins;
  for (std::int64_t i = 0; i < a.steps_per_epoch(); ++i)
    for (const SampleDraw& d : a.plan(i).samples) margins[d.record] = d.margin;
  int compared = 0;
  for (std::int64_t i = 0; i < other.steps_per_epoch(); ++i)
    for (const SampleDraw& d : other.plan(i).samples)
      if (const auto it = margins.find(d.record); it != margins.end()) {
        CHECK(d.margin == it->second);
        ++compared;
      }
  CHECK(compared > 20);
}

TEST_CASE("planner: margins are uniform between the limits and independent for both halves") {
  PlanSettings s = settings(50);
  const BatchPlanner planner(pair_list(500), s);
  double sum[2] = {}, square[2] = {}, product = 0;
  int n = 0;
  for (std::int64_t step = 0; step < 40; ++step) {
    const BatchPlan plan = planner.plan(step);
    for (std::size_t i = 0; i < plan.samples.size(); i += 2, ++n) {
      double u[2];
      for (std::size_t k = 0; k < 2; ++k) {
        CHECK(plan.samples[i + k].margin >= 1.1f);
        CHECK(plan.samples[i + k].margin <= 1.3f);
        u[k] = (plan.samples[i + k].margin - 1.2) / 0.1;  // uniform in [-1, 1]: mean 0, variance 1/3
        sum[k] += u[k];
        square[k] += u[k] * u[k];
      }
      product += u[0] * u[1];
    }
  }
  for (int k = 0; k < 2; ++k) {
    CHECK(std::abs(sum[k] / n) < 5 * std::sqrt(1.0 / 3 / n));
    CHECK(std::abs(square[k] / n - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / n));
  }
  CHECK(std::abs(product / n) < 5 * (1.0 / 3) / std::sqrt(double(n)));
}

TEST_CASE("planner: augmentation goes to the class it is meant for, by true class") {
  PlanSettings s = settings(5);
  s.augment_genuine = [](Random&) {
    AugmentDraw d;
    d.jpeg = true;
    return d;
  };
  for (const bool shuffled : {false, true}) {
    s.shuffle_labels = shuffled;
    const BatchPlan plan = BatchPlanner(pair_list(10), s).plan(0);
    for (std::size_t i = 0; i < plan.samples.size(); ++i) CHECK(plan.samples[i].augment.jpeg == (i % 2 == 1));
  }
  s.augment_attack = [](Random&) {
    AugmentDraw d;
    d.flip = true;
    return d;
  };
  const BatchPlan plan = BatchPlanner(pair_list(10), s).plan(0);
  CHECK(plan.samples[0].augment.flip);
  CHECK(!plan.samples[0].augment.jpeg);
  CHECK(!plan.samples[1].augment.flip);
}

TEST_CASE("planner: unmatched attacks are dropped and counted, or drawn a partner") {
  ListBuilder list;
  for (int i = 0; i < 2; ++i) list.add(str("g", i), Label{});
  list.add("a", kPrint, "g0");
  list.add("b", kReplay);
  list.add("c", kCutout, "not listed");
  list.add("u", std::nullopt);
  list.add("g2", Label{});
  const auto manifest = list.done();
  PlanSettings s = settings(1);
  const BatchPlanner dropped(manifest, s);
  CHECK(dropped.pairs() == 1);
  CHECK(dropped.left_out() == std::map<std::string, std::int64_t>{{"attacks without a genuine partner", 1},
                                                                  {"attacks whose partner is not in the list", 1},
                                                                  {"genuine photographs without an attack", 2},
                                                                  {"unlabelled", 1}});
  CHECK(dropped.summary() ==
        "1 pairs with 1 genuine photographs: print 1\n1 steps of 1 pairs an epoch\n"
        "left out: 1 attacks whose partner is not in the list\nleft out: 1 attacks without a genuine partner\n"
        "left out: 2 genuine photographs without an attack\nleft out: 1 unlabelled\n");

  s.unmatched = UnmatchedAttacks::class_partner;
  s.batch_size = 3;
  const BatchPlanner kept(manifest, s);
  CHECK(kept.pairs() == 3);
  CHECK(kept.left_out().size() == 1);
  std::map<std::int64_t, std::set<std::int64_t>> partners;
  for (std::int64_t step = 0; step < 60; ++step) {
    const BatchPlan plan = kept.plan(step);
    for (std::size_t i = 0; i < plan.samples.size(); i += 2)
      partners[plan.samples[i].record].insert(plan.samples[i + 1].record);
  }
  CHECK(partners[2] == std::set<std::int64_t>{0});        // has its own
  CHECK(partners[3] == std::set<std::int64_t>{0, 1, 6});  // drawn afresh each epoch
  CHECK(partners[4] == std::set<std::int64_t>{0, 1, 6});
}

TEST_CASE("planner: shuffled labels are the same labels, dealt out once, and say nothing about the images") {
  PlanSettings s = settings(100);
  s.shuffle_labels = true;
  const BatchPlanner planner(pair_list(400), s);
  std::map<std::int64_t, float> label;
  for (std::int64_t step = 0; step < 8; ++step)
    for (const SampleDraw& d : planner.plan(step).samples) {
      const auto [it, fresh] = label.emplace(d.record, d.label);
      CHECK(it->second == d.label);  // an image keeps its label through the run
    }
  CHECK(label.size() == 800);
  int ones = 0, agree = 0;
  for (const auto& [record, l] : label) ones += l == 1, agree += (l == 1) == (record >= 400);
  CHECK(ones == 400);
  CHECK(std::abs(agree - 400) < 5 * std::sqrt(800 * 0.25));
}

TEST_CASE("planner: settings and lists that cannot train say why") {
  const auto make = [](std::shared_ptr<const Manifest> m, PlanSettings s) {
    return [=] { BatchPlanner planner(m, s); };
  };
  expect_throw("batch_size is 0", make(pair_list(4), settings(0)));
  expect_throw("epoch_fraction is 0,", make(pair_list(4), settings(2, 0)));
  expect_throw("epoch_fraction is 1.5", make(pair_list(4), settings(2, 1.5)));
  PlanSettings s = settings(2);
  s.margin_min = 1.4f;
  expect_throw("crop margins 1.4 to 1.3", make(pair_list(4), s));
  expect_throw("list.csv: 4 pairs, of which epoch_fraction 0.5 uses 2 an epoch, do not fill one batch of 3 pairs",
               make(pair_list(4), settings(3, 0.5)));

  ListBuilder genuine, attacks, wrong;
  genuine.add("g", Label{});
  expect_throw("list.csv: no training pairs", make(genuine.done(), settings(1)));
  attacks.add("a", kPrint);
  const auto only_attacks = attacks.done();
  expect_throw("class_partner draws partners", make(only_attacks, settings(1)));
  s = settings(1);
  s.unmatched = UnmatchedAttacks::class_partner;
  expect_throw("list.csv: no genuine photographs", make(only_attacks, s));
  wrong.add("a", kPrint, "b");
  wrong.add("b", kReplay);
  expect_throw("list.csv:2: pair_filename b (line 3) is not genuine", make(wrong.done(), settings(1)));

  s = simulated(2);
  expect_throw("list.csv: no genuine photographs to simulate attacks from", make(only_attacks, s));
  s.simulate.species = {{kPrint, 0}};
  expect_throw("no species with a weight above 0", make(photo_list(2, 2), s));
  s.simulate.species = {{kPrint, -1}};
  expect_throw("the weight of print is -1", make(photo_list(2, 2), s));
  s.simulate.species = {{Label{}, 1}};
  expect_throw("genuine is no species", make(photo_list(2, 2), s));
  s = simulated(2);
  s.simulate.steps_per_epoch = -1;
  expect_throw("steps_per_epoch is -1", make(photo_list(2, 2), s));
}

TEST_CASE("planner: simulated pairs use every photograph equally often, with draws of their own") {
  const auto list = photo_list(3, 5);  // 15 photographs
  const BatchPlanner planner(list, simulated(6));
  CHECK(planner.steps_per_epoch() == 10);
  CHECK(planner.has_donors());
  std::map<std::int64_t, int> used;
  std::map<Label, int> species;
  std::set<std::pair<std::uint64_t, std::uint64_t>> streams;
  int draws = 0;
  for (std::int64_t step = 0; step < 100; ++step) {  // 600 pairs: 40 rounds
    const BatchPlan plan = planner.plan(step);
    CHECK(plan.epoch == step / 10);
    CHECK(plan.seed == 42);
    REQUIRE(plan.samples.size() == 12);
    for (std::size_t i = 0; i < 12; i += 2) {
      const SampleDraw &a = plan.samples[i], &g = plan.samples[i + 1];
      CHECK(a.label == 1);
      CHECK(g.label == 0);
      CHECK(a.simulated);
      CHECK(g.simulated);
      CHECK(!a.species.genuine());
      CHECK(g.species.genuine());
      CHECK(g.record == a.record);  // the same photograph
      REQUIRE(a.donor >= 0);
      CHECK(list->records[std::size_t(a.donor)].subject != list->records[std::size_t(a.record)].subject);
      ++used[a.record];
      ++species[a.species];
      for (const SampleDraw* d : {&a, &g}) streams.insert({d->simulate_a, d->simulate_b}), ++draws;
    }
  }
  CHECK(used.size() == 15);
  for (const auto& [record, n] : used) CHECK(n == 40);
  CHECK(int(streams.size()) == draws);  // no two renders share a random stream
  CHECK(species.size() == 3);           // cut-out has weight 0
  CHECK(std::abs(species[kReplay] - 300) < 5 * std::sqrt(600 * 0.25));
  CHECK(std::abs(species[kPrint] - 150) < 5 * std::sqrt(600 * 0.1875));
}

TEST_CASE("planner: a species that is listed twice has the sum of its weights") {
  PlanSettings s = simulated(6);
  s.simulate.species = {{kPrint, 1}, {kReplay, 2}, {kPrint, 0.5}};
  CHECK(BatchPlanner(photo_list(3, 5), s).species() == std::map<Label, double>{{kPrint, 1.5}, {kReplay, 2}});
}

TEST_CASE("planner: partners of simulated pairs") {
  PlanSettings s = simulated(5);
  s.simulate.partner = SimulateSettings::Partner::same_subject;
  const auto list = photo_list(3, 3);
  std::map<std::int64_t, std::map<std::int64_t, int>> partner;
  const BatchPlanner planner(list, s);
  for (std::int64_t step = 0; step < 180; ++step) {
    const BatchPlan plan = planner.plan(step);
    for (std::size_t i = 0; i < plan.samples.size(); i += 2)
      ++partner[plan.samples[i].record][plan.samples[i + 1].record];
  }
  for (const auto& [record, others] : partner) {  // 100 each
    CHECK(others.size() == 2);                    // the two other photographs of the person
    for (const auto& [other, n] : others) {
      CHECK(other != record);
      CHECK(other / 3 == record / 3);
      CHECK(std::abs(n - 50) < 26);
    }
  }
  const BatchPlan alone = BatchPlanner(photo_list(3, 1), s).plan(0);
  CHECK(alone.samples[0].record == alone.samples[1].record);

  s.simulate.partner = SimulateSettings::Partner::any;
  std::set<std::int64_t> people;
  const BatchPlanner any(list, s);
  for (std::int64_t step = 0; step < 50; ++step) {
    const BatchPlan plan = any.plan(step);
    for (std::size_t i = 0; i < plan.samples.size(); i += 2)
      if (plan.samples[i].record == 0) people.insert(plan.samples[i + 1].record / 3);
  }
  CHECK(people.size() == 3);
}

TEST_CASE("planner: donors need to be somebody else for certain") {
  CHECK(!BatchPlanner(photo_list(1, 4), simulated(2)).has_donors());
  ListBuilder list;
  list.add("a", Label{}, {}, "x");
  list.add("b", Label{}, {}, "y");
  list.add("c", Label{});
  list.add("d", kPrint);
  const auto unknown_list = list.done();
  const BatchPlanner unknown(unknown_list, simulated(2));
  CHECK(!unknown.has_donors());
  CHECK(unknown.plan(0).samples[0].donor == -1);
  PlanSettings s = simulated(2);
  s.simulate.donor = SimulateSettings::Donor::any;
  s.simulate.steps_per_epoch = 0;
  const BatchPlanner any(unknown_list, s);
  CHECK(any.steps_per_epoch() == 2);  // three photographs, two a batch
  CHECK(any.has_donors());
  std::map<std::int64_t, std::set<std::int64_t>> donors;
  for (std::int64_t step = 0; step < 60; ++step)
    for (const SampleDraw& d : any.plan(step).samples)
      if (d.label == 1) donors[d.record].insert(d.donor);
  CHECK(donors == std::map<std::int64_t, std::set<std::int64_t>>{{0, {1, 2}}, {1, {0, 2}}, {2, {0, 1}}});
  CHECK(unknown.left_out() == std::map<std::string, std::int64_t>{{"attacks (simulated ones are used instead)", 1}});
}

TEST_CASE("planner: shuffled labels of simulated batches stay balanced and say nothing") {
  PlanSettings s = simulated(10);
  s.shuffle_labels = true;
  const BatchPlanner planner(photo_list(3, 5), s);
  int agree = 0, n = 0;
  for (std::int64_t step = 0; step < 40; ++step) {
    const BatchPlan plan = planner.plan(step);
    float sum = 0;
    for (std::size_t i = 0; i < 20; ++i, ++n)
      sum += plan.samples[i].label, agree += (plan.samples[i].label == 1) == (i % 2 == 0);
    CHECK(sum == 10);
  }
  CHECK(std::abs(agree - n / 2) < 5 * std::sqrt(n * 0.25));
}

TEST_CASE("planner: evaluation shows every record once, in order, margin 1.2") {
  ListBuilder list;
  for (int i = 0; i < 7; ++i)
    list.add(str("i", i), i % 3 == 0 ? std::optional<Label>() : i % 3 == 1 ? Label{} : kPrint);
  const EvaluationPlanner planner(list.done(), 3);
  CHECK(planner.steps() == 3);
  std::int64_t next = 0;
  for (std::int64_t step = 0; step < 3; ++step) {
    const BatchPlan plan = planner.plan(step);
    CHECK(plan.samples.size() == (step < 2 ? 3 : 1));
    CHECK(!plan.cutmix.on);
    for (const SampleDraw& d : plan.samples) {
      CHECK(d.record == next);
      CHECK(d.margin == 1.2);
      CHECK(!d.augment.flip);
      if (next % 3 == 0)
        CHECK(std::isnan(d.label));
      else
        CHECK(d.label == float(next % 3 - 1));
      ++next;
    }
  }
  expect_throw("step 3 of 3", [&] { planner.plan(3); });
  expect_throw("nothing to evaluate", [] { EvaluationPlanner(ListBuilder().done(), 3); });
}
