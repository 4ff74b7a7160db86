// tests/host/test_loader.cpp — the same batches for any number of workers, processes and starting points.
#include "data/loader.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "data/augment.h"
#include "data/cutmix.h"
#include "data/image_cache.h"
#include "tests/support/lists.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// Every pixel depends on the image, the box and the whole draw.
void fake_sample(const Image& image, const Box& face, const SampleDraw& draw, int height, int width,
                 std::uint8_t* out) {
  for (int i = 0; i < height * width * 3; ++i)
    out[i] = std::uint8_t(image.pixels[std::size_t(i) % image.pixels.size()] + int(draw.margin * 1000) +
                          draw.augment.flip + int(face.x2) + i);
}

class FakeSimulator final : public AttackSimulator {
 public:
  Result render(const Image& photo, const Box& face, const Image* donor, const Box&, const Label& species,
                Random& random) const override {
    Result r{photo, {0, 0, 1, float(species.a + 7)}};
    r.face.x2 += face.x2 + float(random.below(5));
    for (std::uint8_t& p : r.image.pixels)
      p = std::uint8_t(p + random.below(200) + species.c + (donor ? donor->pixels[0] : 0));
    CHECK((donor != nullptr) == (species == kFaceSwap));
    return r;
  }
  bool needs_donor(const Label& species) const override { return species == kFaceSwap; }
};

LoaderSettings small(int workers, std::int64_t end = 12) {
  LoaderSettings s;
  s.height = 5, s.width = 2;
  s.workers = workers;
  s.end_step = end;
  return s;
}

std::shared_ptr<const BatchPlanner> pair_planner(bool cutmix = false) {
  PlanSettings s;
  s.batch_size = 4;
  s.epoch_fraction = 1;
  s.augment_genuine = [](Random& r) {
    AugmentDraw d;
    d.flip = r.chance(0.5);
    return d;
  };
  if (cutmix)
    s.cutmix = [](Random& r, const std::vector<SampleDraw>& samples) {
      CutMixDraw c;
      c.on = r.chance(0.7);
      for (const std::int64_t p : r.permutation(std::int64_t(samples.size()))) c.partner.push_back(std::int32_t(p));
      return c;
    };
  return std::make_shared<const BatchPlanner>(pair_list(9), s);
}

std::vector<Batch> all_of(Loader& loader) {
  std::vector<Batch> batches;
  while (!loader.done()) batches.push_back(loader.next());
  return batches;
}

void check_same(const std::vector<Batch>& a, const std::vector<Batch>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].plan.step == b[i].plan.step);
    CHECK(a[i].rows == b[i].rows);
    CHECK(a[i].labels == b[i].labels);
    CHECK(a[i].images == b[i].images);
    CHECK(a[i].cutmix.partner == b[i].cutmix.partner);
  }
}

}  // namespace

TEST_CASE("loader: 0, 1 and 8 workers give the same batches, of the planned images") {
  const auto planner = pair_planner(true);
  const auto run = [&](int workers, int ahead) {
    LoaderSettings s = small(workers);
    s.ahead = ahead;
    const auto loader = make_training_loader(planner, std::make_shared<FakeSource>(), nullptr, fake_sample, s);
    return all_of(*loader);
  };
  const std::vector<Batch> want = run(0, 1);
  CHECK(want.size() == 12);
  check_same(want, run(1, 1));
  check_same(want, run(8, 1));
  check_same(want, run(8, 5));

  const Batch& b = want[7];
  const BatchPlan plan = planner->plan(7);
  CHECK(b.plan.step == 7);
  CHECK(b.own == 8);
  REQUIRE(b.images.size() == 8 * 5 * 2 * 3);
  for (std::size_t i = 0; i < 8; ++i) {  // made here, by hand
    CHECK(b.rows[i] == std::int64_t(i));
    CHECK(b.labels[i] == plan.samples[i].label);
    std::vector<std::uint8_t> made(30);
    const Record& r = planner->manifest().records[std::size_t(plan.samples[i].record)];
    fake_sample(FakeSource().load(r.filename), r.box, plan.samples[i], 5, 2, made.data());
    CHECK(std::equal(made.begin(), made.end(), b.images.begin() + std::ptrdiff_t(i * 30)));
  }
}

TEST_CASE("loader: simulated attacks, with donors and the face the simulator found") {
  PlanSettings s;
  s.batch_size = 5;
  s.simulate.on = true;
  s.simulate.species = {{kPrint, 1}, {kFaceSwap, 1}};
  const auto planner = std::make_shared<const BatchPlanner>(photo_list(3, 4), s);
  const auto run = [&](int workers) {
    const auto loader = make_training_loader(planner, std::make_shared<FakeSource>(), std::make_shared<FakeSimulator>(),
                                             fake_sample, small(workers));
    return all_of(*loader);
  };
  const std::vector<Batch> want = run(0);
  check_same(want, run(8));
  const auto name = [&](std::int64_t record) { return planner->manifest().records[std::size_t(record)].filename; };
  for (std::size_t i = 0; i < 10; ++i) {  // made here, by hand
    const SampleDraw& d = want[2].plan.samples[i];
    Random random(s.seed, "simulate", d.simulate_a, d.simulate_b);
    std::optional<Image> donor;
    if (d.species == kFaceSwap) donor = FakeSource().load(name(d.donor));
    const auto made =
        FakeSimulator().render(FakeSource().load(name(d.record)), {}, donor ? &*donor : nullptr, {}, d.species, random);
    std::vector<std::uint8_t> out(30);
    fake_sample(made.image, made.face, d, 5, 2, out.data());
    CHECK(std::equal(out.begin(), out.end(), want[2].images.begin() + std::ptrdiff_t(i * 30)));
  }

  const auto one_person = std::make_shared<const BatchPlanner>(photo_list(1, 4), s);
  expect_throw("list.csv: simulating face_swap needs photographs of at least two people", [&] {
    make_training_loader(one_person, std::make_shared<FakeSource>(), std::make_shared<FakeSimulator>(), fake_sample,
                         small(0));
  });
  expect_throw("simulated attacks need a simulator",
               [&] { make_training_loader(planner, std::make_shared<FakeSource>(), nullptr, fake_sample, small(0)); });
}

TEST_CASE("loader: processes share a batch in whole pairs and load the CutMix partners they need") {
  const auto planner = pair_planner(true);
  const auto run = [&](int rank, int world) {
    LoaderSettings s = small(2, 8);
    s.rank = rank, s.world = world;
    return all_of(*make_training_loader(planner, std::make_shared<FakeSource>(), nullptr, fake_sample, s));
  };
  const std::vector<Batch> whole = run(0, 1);
  int with_foreign_partners = 0;
  for (const int world : {2, 3}) {
    std::vector<std::vector<Batch>> parts;
    for (int rank = 0; rank < world; ++rank) parts.push_back(run(rank, world));
    for (std::size_t step = 0; step < whole.size(); ++step) {
      std::int64_t at = 0;
      for (const auto& part : parts) {
        const Batch& b = part[step];
        CHECK(b.first == at);
        CHECK(b.own % 2 == 0);
        at += b.own;
        REQUIRE(std::int64_t(b.rows.size()) >= b.own);
        with_foreign_partners += std::int64_t(b.rows.size()) > b.own;
        if (!b.plan.cutmix.on) CHECK(std::int64_t(b.rows.size()) == b.own);
        for (std::size_t i = 0; i < b.rows.size(); ++i) {
          if (std::int64_t(i) < b.own) CHECK(b.rows[i] == b.first + std::int64_t(i));
          CHECK(b.labels[i] == whole[step].labels[std::size_t(b.rows[i])]);
          CHECK(std::equal(b.images.begin() + std::ptrdiff_t(i * 30), b.images.begin() + std::ptrdiff_t((i + 1) * 30),
                           whole[step].images.begin() + std::ptrdiff_t(b.rows[i] * 30)));
        }
        if (b.plan.cutmix.on)
          for (std::int64_t i = 0; i < b.own; ++i)
            CHECK(b.rows[std::size_t(b.cutmix.partner[std::size_t(i)])] ==
                  b.plan.cutmix.partner[std::size_t(b.first + i)]);
      }
      CHECK(at == 8);
    }
  }
  CHECK(with_foreign_partners > 5);
}

TEST_CASE("loader: starts anywhere, ends where it should") {
  const auto planner = pair_planner();
  const std::vector<Batch> whole =
      all_of(*make_training_loader(planner, std::make_shared<FakeSource>(), nullptr, fake_sample, small(2)));
  LoaderSettings s = small(3);
  s.first_step = 9;
  const auto loader = make_training_loader(planner, std::make_shared<FakeSource>(), nullptr, fake_sample, s);
  CHECK(loader->next_step() == 9);
  check_same({whole.begin() + 9, whole.end()}, all_of(*loader));
  CHECK(loader->next_step() == 12);
  expect_throw("the loader ends before step 12", [&] { loader->next(); });
}

TEST_CASE("loader: an unreadable image surfaces in next(), named with its line, and the rest goes on") {
  ListBuilder list;
  for (int i = 0; i < 9; ++i) list.add(i == 4 || i == 5 ? str("bad", i, ".jpg") : str("i", i), Label{});
  const auto manifest = list.done();
  for (const int workers : {0, 1, 8}) {
    const auto loader =
        make_evaluation_loader(manifest, 3, std::make_shared<FakeSource>(), fake_sample, small(workers, -1));
    CHECK(loader->next().rows.size() == 3);
    expect_throw("list.csv:6: bad4.jpg: not an image", [&] { loader->next(); });  // the first of the two
    CHECK(loader->next().plan.samples[0].record == 6);
    CHECK(loader->done());
  }
  for (const int workers : {0, 2}) {  // a planner that fails
    Loader loader(
        manifest, [](std::int64_t step) -> BatchPlan { throw Error(str("no plan for step ", step)); },
        std::make_shared<FakeSource>(), nullptr, fake_sample, small(workers));
    expect_throw("no plan for step 0", [&] { loader.next(); });
    expect_throw("no plan for step 1", [&] { loader.next(); });
  }
  // Destroyed with work under way.
  for (int i = 0; i < 20; ++i)
    make_evaluation_loader(manifest, 1, std::make_shared<FakeSource>(), fake_sample, small(4, -1));
}

TEST_CASE("loader: evaluation in order, last batch smaller, empty shares allowed") {
  const auto manifest = photo_list(1, 7);
  const auto batches =
      all_of(*make_evaluation_loader(manifest, 3, std::make_shared<FakeSource>(), fake_sample, small(2, -1)));
  REQUIRE(batches.size() == 3);
  CHECK(batches[2].rows.size() == 1);
  CHECK(batches[2].images.size() == 30);
  LoaderSettings s = small(2, -1);
  s.rank = 0, s.world = 2;
  const auto half = all_of(*make_evaluation_loader(manifest, 3, std::make_shared<FakeSource>(), fake_sample, s));
  REQUIRE(half.size() == 3);
  CHECK(half[0].own == 1);
  CHECK(half[2].own == 0);
  CHECK(half[2].images.empty());
}

TEST_CASE("loader: decoded photographs are kept up to the limit, and shared between loaders") {
  const auto manifest = photo_list(2, 5);  // 10 images of 36 bytes
  const auto run = [&](std::shared_ptr<const ImageSource> source, std::size_t bytes) {
    LoaderSettings s = small(0, -1);
    s.cache_bytes = bytes;
    const auto plan = std::make_shared<const EvaluationPlanner>(manifest, 5);
    Loader loader(
        manifest, [=](std::int64_t step) { return plan->plan(step % 2); }, source, nullptr, fake_sample, s);
    for (int i = 0; i < 6; ++i) loader.next();  // three times everything
    return loader.stats();
  };
  const auto all = std::make_shared<FakeSource>();
  Loader::Stats stats = run(all, 1000);
  CHECK(all->loads == 10);
  CHECK(stats.decoded == 10);
  CHECK(stats.cache_hits == 20);
  CHECK(stats.cache_bytes == 360);
  CHECK(stats.batches == 6);
  CHECK(stats.images == 30);
  const auto some = std::make_shared<FakeSource>();
  stats = run(some, 4 * 36 + 35);  // four fit
  CHECK(some->loads == 10 + 6 + 6);
  CHECK(stats.cache_bytes == 4 * 36);
  const auto none = std::make_shared<FakeSource>();
  run(none, 0);
  CHECK(none->loads == 30);
  const auto inner = std::make_shared<FakeSource>();
  const auto shared = std::make_shared<CachedImageSource>(inner, 1000);
  run(shared, 1000);
  run(shared, 1000);
  CHECK(inner->loads == 10);
  CHECK(shared->stats().images == 10);
}

TEST_CASE("loader: works ahead, but not further than asked") {
  struct Slow final : ImageSource {
    Image load(const std::string&) const override {
      ++started;
      return Image(1, 1);
    }
    mutable std::atomic<int> started{0};
  };
  const auto source = std::make_shared<Slow>();
  LoaderSettings s = small(2, -1);
  s.ahead = 3;
  s.cache_bytes = 0;
  const auto loader = make_evaluation_loader(photo_list(1, 20), 2, source, fake_sample, s);
  for (int i = 0; i < 2000 && source->started < 6; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(source->started == 6);  // three batches of two, and no more
  loader->next();
  for (int i = 0; i < 2000 && source->started < 8; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(source->started == 8);
}

TEST_CASE("loader: all workers share one batch, also those that waited while it was planned") {
  struct Together final : ImageSource {  // an image is there when three workers ask for one at the same time
    Image load(const std::string&) const override {
      std::unique_lock lock(mutex);
      most = std::max(most.load(), ++inside);
      all.notify_all();
      all.wait_for(lock, std::chrono::seconds(2), [&] { return most == 3; });
      --inside;
      return Image(1, 1);
    }
    mutable std::mutex mutex;
    mutable std::condition_variable all;
    mutable int inside = 0;
    mutable std::atomic<int> most{0};  // read by the test, too
  };
  const auto source = std::make_shared<Together>();
  LoaderSettings s = small(3, 1);
  s.ahead = 1;
  s.cache_bytes = 0;
  const auto manifest = photo_list(1, 3);
  const auto slow_planner = [&](std::int64_t step) {  // time for the other workers to have nothing to do
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    return EvaluationPlanner(manifest, 3, 1.2).plan(step);
  };
  Loader loader(manifest, slow_planner, source, nullptr, fake_sample, s);
  for (int i = 0; i < 1000 && source->most < 3; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(source->most == 3);
}

TEST_CASE("loader: waiting is measured") {
  struct Slow final : ImageSource {
    Image load(const std::string&) const override {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      return Image(1, 1);
    }
  };
  for (const int workers : {0, 1}) {
    const auto loader =
        make_evaluation_loader(photo_list(1, 4), 2, std::make_shared<Slow>(), fake_sample, small(workers, -1));
    const Batch b = loader->next();
    if (workers == 0) CHECK(b.waited_seconds >= 0.04);
    CHECK(b.waited_seconds < 10);
    CHECK(loader->stats().waited_seconds == b.waited_seconds);
    const Batch last = loader->next();
    CHECK(loader->stats().waited_seconds == b.waited_seconds + last.waited_seconds);
    CHECK(loader->stats().batches == 2);
    CHECK(loader->stats().images == 4);
  }
}

TEST_CASE("loader: settings out of range say so") {
  const auto make = [](LoaderSettings s) {
    return [=] { make_evaluation_loader(photo_list(1, 2), 1, std::make_shared<FakeSource>(), fake_sample, s); };
  };
  LoaderSettings s = small(-1);
  expect_throw("num_workers is -1", make(s));
  s = small(1);
  s.ahead = 0;
  expect_throw("prefetch_factor is 0", make(s));
  s = small(1);
  s.rank = 2, s.world = 2;
  expect_throw("rank 2 of 2", make(s));
  s = small(1);
  s.height = 0;
  expect_throw("images of 0 x 2", make(s));
}

TEST_CASE("loader: with the real crop and augmentation, and boxes of every kind") {
  ListBuilder list;
  const Box boxes[] = {
      {}, {2, 1, 6, 8}, {-1, -1, -1, -1}, {4, 4, 500, 500}, {100, 100, 120, 130}, {0.5f, 0.25f, 9.75f, 11.5f}};
  for (int i = 0; i < 6; ++i) list.add(str("g", i), Label{}).box = boxes[i];
  for (int i = 0; i < 6; ++i) list.add(str("a", i), kPrint, str("g", i)).box = boxes[5 - i];
  struct Photos final : ImageSource {
    Image load(const std::string& path) const override {
      Image image(12, 10);
      Random random(1, path);
      for (std::uint8_t& p : image.pixels) p = std::uint8_t(random.u32());
      return image;
    }
  };
  PlanSettings s;
  s.batch_size = 3;
  s.epoch_fraction = 1;
  s.augment_genuine = [](Random& r) {
    return draw_augment(
        r, {.flip_p = 0.5f, .brightness_contrast_p = 0.5f, .hue_saturation_value_p = 0.5f, .jpeg_p = 0.5f});
  };
  s.cutmix = [](Random& r, const std::vector<SampleDraw>& samples) {
    return draw_cutmix(r, {.probability = 0.5, .height = 8, .width = 8}, samples);
  };
  const auto planner = std::make_shared<const BatchPlanner>(list.done(), s);
  const MakeSample real = [](const Image& image, const Box& face, const SampleDraw& draw, int height, int width,
                             std::uint8_t* out) {
    make_sample(image, face, draw.margin, draw.augment, {}, height, width, {out, std::int64_t(height) * width * 3});
  };
  const auto run = [&](int workers) {
    LoaderSettings l = small(workers);
    l.height = l.width = 8;
    return all_of(*make_training_loader(planner, std::make_shared<Photos>(), nullptr, real, l));
  };
  const std::vector<Batch> want = run(0);
  check_same(want, run(4));
  // A box wholly outside, or none: the whole photograph, whatever the margin.
  for (const Batch& b : want)
    for (std::size_t i = 0; i < b.rows.size(); ++i) {
      const SampleDraw& d = b.plan.samples[i];
      const Record& r = planner->manifest().records[std::size_t(d.record)];
      if (r.box.valid() && r.box.x1 < 100) continue;
      std::vector<std::uint8_t> whole(8 * 8 * 3);
      make_sample(Photos().load(r.filename), {}, 1, d.augment, {}, 8, 8, whole);
      CHECK(std::equal(whole.begin(), whole.end(), b.images.begin() + std::ptrdiff_t(i * whole.size())));
    }
}
