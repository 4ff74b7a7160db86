// data/loader.cpp — a short queue of batches under construction; workers take one image at a time.
#include "data/loader.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "data/image_cache.h"

namespace bonafide {
namespace {

// A batch under construction. Everything but the pixels is guarded by State::mutex.
struct Slot {
  Batch batch;
  std::size_t next_row = 0, remaining = 0;  // to be started, to be finished
  std::size_t failed_row = 0;               // of `error`: the first in the batch, whichever worker met it first
  std::exception_ptr error;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The simulator draws on the surroundings of a face too.
void require_whole(const Image& photo) {
  if (!photo.whole())
    throw Error("simulated attacks need whole photographs, and this one is packed as a crop (bonafide pack --whole keeps all)");
}

}  // namespace

struct Loader::State {
  std::shared_ptr<const Manifest> manifest;
  Planner planner;
  std::shared_ptr<const ImageSource> source;
  std::shared_ptr<const AttackSimulator> simulator;
  MakeSample make_sample;
  LoaderSettings settings;

  mutable std::mutex mutex;
  std::condition_variable work, finished;
  std::deque<std::shared_ptr<Slot>> slots;  // in step order
  std::int64_t open_step = 0, next_step = 0;
  bool opening = false, stop = false;
  Stats stats;
  std::vector<std::thread> threads;

  bool ended(std::int64_t step) const { return settings.end_step >= 0 && step >= settings.end_step; }
  std::shared_ptr<Slot> open(std::int64_t step) const;
  void fill(Batch& batch, std::size_t row) const;
  void run();
  void end_threads();
};

std::vector<std::int64_t> shares(std::int64_t samples, std::int64_t group, int world) {
  BF_CHECK(group >= 1 && samples % group == 0, "a batch of ", samples, " images in groups of ", group);
  std::vector<std::int64_t> first;
  for (std::int64_t r = 0; r <= world; ++r) first.push_back(samples / group * r / world * group);
  return first;
}

// Plans a batch and finds out which images this process needs. Errors wait in the slot until next() reaches it.
std::shared_ptr<Slot> Loader::State::open(std::int64_t step) const {
  auto slot = std::make_shared<Slot>();
  try {
    Batch& b = slot->batch;
    b.plan = planner(step);
    const std::int64_t n = std::int64_t(b.plan.samples.size()), group = b.plan.group;
    const auto first = shares(n, group, settings.world);
    b.first = first[std::size_t(settings.rank)];
    b.own = first[std::size_t(settings.rank) + 1] - b.first;
    for (std::int64_t i = 0; i < b.own; ++i) b.rows.push_back(b.first + i);
    b.cutmix = b.plan.cutmix;
    if (b.cutmix.on) {
      BF_CHECK(std::int64_t(b.cutmix.partner.size()) == n, b.cutmix.partner.size(), " CutMix partners for ", n,
               " images");
      b.cutmix.partner.clear();
      std::unordered_map<std::int64_t, std::int32_t> row_of;
      for (std::size_t i = 0; i < b.rows.size(); ++i) row_of[b.rows[i]] = std::int32_t(i);
      for (std::int64_t i = 0; i < b.own; ++i) {
        const std::int64_t partner = b.plan.cutmix.partner[std::size_t(b.first + i)];
        BF_CHECK(partner >= 0 && partner < n, "CutMix partner ", partner, " in a batch of ", n);
        const auto [it, fresh] = row_of.emplace(partner, std::int32_t(b.rows.size()));
        if (fresh) b.rows.push_back(partner);
        b.cutmix.partner.push_back(it->second);
      }
    }
    b.height = settings.height;
    b.width = settings.width;
    b.images.resize(b.rows.size() * std::size_t(b.height) * std::size_t(b.width) * 3);
    for (const std::int64_t row : b.rows) b.labels.push_back(b.plan.samples[std::size_t(row)].label);
    slot->remaining = b.rows.size();
  } catch (...) {
    slot->batch.rows.clear();
    slot->error = std::current_exception();
  }
  return slot;
}

void Loader::State::fill(Batch& batch, std::size_t row) const {
  const SampleDraw& draw = batch.plan.samples[std::size_t(batch.rows[row])];
  BF_CHECK(draw.record >= 0 && draw.record < std::int64_t(manifest->records.size()), "record ", draw.record, " of ",
           manifest->records.size());
  const Record& record = manifest->records[std::size_t(draw.record)];
  std::uint8_t* out = batch.images.data() + row * std::size_t(batch.height) * std::size_t(batch.width) * 3;
  try {
    const std::shared_ptr<const Image> photo = source->share(record.filename);
    if (!draw.simulated) {
      make_sample(*photo, record.box, draw, batch.height, batch.width, out);
      return;
    }
    if (!simulator) throw Error("its plan asks for a simulated camera or attack, and there is no simulator");
    require_whole(*photo);
    std::shared_ptr<const Image> donor;
    Box donor_face;
    if (!draw.species.genuine() && simulator->needs_donor(draw.species)) {
      if (draw.donor < 0)
        throw Error(str(draw.species.name(), " needs another person's photograph, and there is none"));
      const Record& other = manifest->records.at(std::size_t(draw.donor));
      donor = source->share(other.filename);
      require_whole(*donor);
      donor_face = other.box;
    }
    Random random(batch.plan.seed, "simulate", draw.simulate_a, draw.simulate_b);
    const AttackSimulator::Result made =
        simulator->render(*photo, record.box, donor.get(), donor_face, draw.species, random);
    make_sample(made.image, made.face, draw, batch.height, batch.width, out);
  } catch (const std::exception& e) {
    throw Error(str(manifest->where(record), ": ", e.what()));
  }
}

void Loader::State::run() {
  omp_set_num_threads(1);  // of this worker: the workers are the parallelism
  std::unique_lock lock(mutex);
  for (;;) {
    if (stop) return;
    const auto it =
        std::find_if(slots.begin(), slots.end(), [](const auto& s) { return s->next_row < s->batch.rows.size(); });
    if (it != slots.end()) {
      const std::shared_ptr<Slot> slot = *it;
      const std::size_t row = slot->next_row++;
      lock.unlock();
      std::exception_ptr error;
      try {
        fill(slot->batch, row);
      } catch (...) {
        error = std::current_exception();
      }
      lock.lock();
      if (error && (!slot->error || row < slot->failed_row)) {
        slot->error = error;
        slot->failed_row = row;
      }
      if (--slot->remaining == 0) finished.notify_all();
    } else if (!opening && !ended(open_step) && slots.size() < std::size_t(settings.ahead)) {
      opening = true;  // one at a time, so that slots are in step order
      const std::int64_t step = open_step++;
      lock.unlock();
      std::shared_ptr<Slot> slot = open(step);
      lock.lock();
      opening = false;
      if (slot->remaining == 0) finished.notify_all();
      slots.push_back(std::move(slot));
      work.notify_all();
    } else {
      work.wait(lock);
    }
  }
}

void Loader::State::end_threads() {
  {
    const std::scoped_lock lock(mutex);
    stop = true;
  }
  work.notify_all();
  for (std::thread& t : threads) t.join();
}

Loader::Loader(std::shared_ptr<const Manifest> manifest, Planner planner, std::shared_ptr<const ImageSource> source,
               std::shared_ptr<const AttackSimulator> simulator, MakeSample make_sample, LoaderSettings settings)
    : state_(std::make_unique<State>()) {
  BF_CHECK(manifest && planner && source && make_sample,
           "a loader needs a manifest, a planner, a source and make_sample");
  BF_CHECK(settings.height > 0 && settings.width > 0, "images of ", settings.height, " x ", settings.width);
  BF_CHECK(settings.rank >= 0 && settings.rank < settings.world, "rank ", settings.rank, " of ", settings.world);
  if (settings.workers < 0) throw Error(str("num_workers is ", settings.workers, ", expected at least 0"));
  if (settings.ahead < 1) throw Error(str("prefetch_factor is ", settings.ahead, ", expected at least 1"));
  if (settings.first_step < 0) throw Error(str("the first step is ", settings.first_step));
  State& s = *state_;
  s.manifest = std::move(manifest);
  s.planner = std::move(planner);
  s.source = std::move(source);
  if (settings.cache_bytes && !s.source->quick())
    s.source = std::make_shared<CachedImageSource>(std::move(s.source), settings.cache_bytes);
  s.simulator = std::move(simulator);
  s.make_sample = std::move(make_sample);
  s.settings = settings;
  s.open_step = s.next_step = settings.first_step;
  try {
    for (int i = 0; i < settings.workers; ++i) s.threads.emplace_back([&s] { s.run(); });
  } catch (...) {  // no more threads to be had: those that run must not outlive this
    s.end_threads();
    throw;
  }
}

Loader::~Loader() { state_->end_threads(); }

Batch Loader::next() {
  State& s = *state_;
  const auto start = std::chrono::steady_clock::now();
  std::shared_ptr<Slot> slot;
  if (done()) throw Error(str("the loader ends before step ", s.next_step));
  if (s.threads.empty()) {
    slot = s.open(s.next_step);
    try {
      for (std::size_t row = 0; row < slot->batch.rows.size(); ++row) s.fill(slot->batch, row);
    } catch (...) {
      slot->error = std::current_exception();
    }
  }
  std::unique_lock lock(s.mutex);
  if (!slot) {
    s.finished.wait(lock, [&] { return !s.slots.empty() && s.slots.front()->remaining == 0; });
    slot = std::move(s.slots.front());
    s.slots.pop_front();
    s.work.notify_all();
  }
  ++s.next_step;
  if (slot->error) {
    lock.unlock();
    std::rethrow_exception(slot->error);
  }
  slot->batch.waited_seconds = seconds_since(start);
  ++s.stats.batches;
  s.stats.images += std::int64_t(slot->batch.rows.size());
  s.stats.waited_seconds += slot->batch.waited_seconds;
  return std::move(slot->batch);
}

std::int64_t Loader::next_step() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->next_step;
}

bool Loader::done() const { return state_->ended(next_step()); }

Loader::Stats Loader::stats() const {
  const std::scoped_lock lock(state_->mutex);
  Stats stats = state_->stats;
  if (const auto* cache = dynamic_cast<const CachedImageSource*>(state_->source.get())) {
    const CachedImageSource::Stats c = cache->stats();
    stats.decoded = c.loads;
    stats.cache_hits = c.hits;
    stats.cache_bytes = c.bytes;
  }
  return stats;
}

std::unique_ptr<Loader> make_training_loader(std::shared_ptr<const BatchPlanner> planner,
                                             std::shared_ptr<const ImageSource> source,
                                             std::shared_ptr<const AttackSimulator> simulator, MakeSample make_sample,
                                             LoaderSettings settings) {
  BF_CHECK(planner, "no planner");
  const SimulateSettings& simulate = planner->settings().simulate;
  BF_CHECK(!simulate.on || simulator, "simulated attacks need a simulator");
  if (simulate.on)
    for (const auto& [species, weight] : simulate.species)
      if (weight > 0 && simulator->needs_donor(species) && !planner->has_donors())
        throw Error(str(planner->manifest().origin, ": simulating ", species.name(),
                        " needs photographs of at least two people, and the subject of every one"));
  // The manifest is the planner's: an aliasing pointer keeps both alive.
  std::shared_ptr<const Manifest> manifest(planner, &planner->manifest());
  return std::make_unique<Loader>(
      std::move(manifest), [planner](std::int64_t step) { return planner->plan(step); }, std::move(source),
      std::move(simulator), std::move(make_sample), settings);
}

std::unique_ptr<Loader> make_evaluation_loader(std::shared_ptr<const Manifest> manifest, std::int64_t batch_size,
                                               std::shared_ptr<const ImageSource> source, MakeSample make_sample,
                                               LoaderSettings settings, double margin) {
  auto planner = std::make_shared<const EvaluationPlanner>(manifest, batch_size, margin);
  settings.end_step = settings.end_step < 0 ? planner->steps() : std::min(settings.end_step, planner->steps());
  return std::make_unique<Loader>(
      std::move(manifest), [planner](std::int64_t step) { return planner->plan(step); }, std::move(source), nullptr,
      std::move(make_sample), settings);
}

}  // namespace bonafide
