// data/loader.h — turns batch plans into batches of pixels, ahead of time, with any number of threads.
//
// Every image of a batch is made by one task that depends on its SampleDraw alone: decode (or take from the cache),
// render the simulated attack or camera, crop, augment, resize. So the output is the same for 0, 1 or 8 workers.
// Workers run at most `ahead` batches ahead of next().
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/batch_planner.h"
#include "data/sources.h"
#include "engine/uninitialized.h"

namespace bonafide {

// Crop, augmentation and resize: `out` is [height, width, 3] RGB. Thread-safe. Bind make_sample of data/augment.h.
using MakeSample = std::function<void(const Image& image, const Box& face, const SampleDraw& draw, int height,
                                      int width, std::uint8_t* out)>;

struct LoaderSettings {
  int height = 224, width = 224;
  int workers = 2;                      // 0: everything happens inside next()
  int ahead = 2;                        // batches prepared in advance (at least 1; workers > 0 only)
  std::size_t cache_bytes = 512 << 20;  // decoded photographs kept (data/image_cache.h), unless the source is quick()
  int rank = 0, world = 1;              // this process's share of every batch
  std::int64_t first_step = 0;          // resumption starts here
  std::int64_t end_step = -1;           // one past the last batch; -1: endless
};

// How the processes share a global batch of `samples` images: process r has [first[r], first[r + 1]). Groups (pairs) stay
// together; where there are fewer groups than processes, some have nothing.
std::vector<std::int64_t> shares(std::int64_t samples, std::int64_t group, int world);

// One process's share of a global batch.
struct Batch {
  BatchPlan plan;                   // of the global batch
  std::int64_t first = 0, own = 0;  // this share: plan.samples [first, first + own)
  // Loaded images as rows of plan.samples: the own ones in order, then partners of the CutMix that belong to others.
  std::vector<std::int64_t> rows;
  int height = 0, width = 0;
  UninitializedVector<std::uint8_t> images;  // [rows, height, width, 3] RGB
  std::vector<float> labels;         // one a row: 1 attack, 0 genuine, NaN unlabelled; before CutMix
  CutMixDraw cutmix;                 // plan.cutmix with `partner` of the own images, as indices into rows
  double waited_seconds = 0;         // how long next() had to wait for it
};

class Loader {
 public:
  // Called by one thread at a time, with rising steps.
  using Planner = std::function<BatchPlan(std::int64_t step)>;

  // `simulator` may be null where no plan asks for it. To share decoded photographs between loaders (every epoch's
  // validation), give them one CachedImageSource.
  Loader(std::shared_ptr<const Manifest> manifest, Planner planner, std::shared_ptr<const ImageSource> source,
         std::shared_ptr<const AttackSimulator> simulator, MakeSample make_sample, LoaderSettings settings);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Batches of steps first_step, first_step + 1, …. Throws what a worker threw (the first image of the batch that
  // failed; the message names it and its line of the manifest), and an Error past the end.
  Batch next();
  bool done() const;  // end_step reached
  std::int64_t next_step() const;

  struct Stats {
    std::int64_t batches = 0, images = 0, decoded = 0, cache_hits = 0;
    std::size_t cache_bytes = 0;
    double waited_seconds = 0;  // in next(), all batches
  };
  Stats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The usual two. Training throws when a species of the plan needs a donor (face swap) and the manifest has none for
// sure; evaluation ends after the last record.
std::unique_ptr<Loader> make_training_loader(std::shared_ptr<const BatchPlanner> planner,
                                             std::shared_ptr<const ImageSource> source,
                                             std::shared_ptr<const AttackSimulator> simulator, MakeSample make_sample,
                                             LoaderSettings settings);
std::unique_ptr<Loader> make_evaluation_loader(std::shared_ptr<const Manifest> manifest, std::int64_t batch_size,
                                               std::shared_ptr<const ImageSource> source, MakeSample make_sample,
                                               LoaderSettings settings, double margin = 1.2);

}  // namespace bonafide
