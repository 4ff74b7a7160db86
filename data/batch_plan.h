// data/batch_plan.h — everything random about a training batch, decided before anything is loaded.
//
// The plan is made for the *global* batch from (seed, epoch, step) alone; a process then loads its slice. So the data
// do not depend on threads, workers, processes or resumption, and a test can write a plan by hand.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/label.h"
#include "engine/base.h"

namespace bonafide {

// Parameters of one image's augmentation, drawn (kernels/augment say what each means). Off when the flag is false.
struct AugmentDraw {
  bool flip = false;
  bool brightness_contrast = false;
  float alpha = 1, beta = 0;  // lut[v] = trunc(clip(v * alpha + beta * 255))
  bool hue_saturation_value = false;
  float hue = 0, saturation = 0, value = 0;  // shifts, in OpenCV's 8-bit units
  bool jpeg = false;
  int jpeg_quality = 0;
};

// One image of the global batch.
struct SampleDraw {
  std::int64_t record = 0;  // row of the training manifest
  float label = 0;          // 1 = attack, NaN = unlabelled (evaluation only)
  double margin = 1.2;      // crop: box size times this
  AugmentDraw augment;
  bool simulated = false;        // render `species` (or, for genuine, the camera alone) from the photograph
  Label species;                 // what to render
  std::int64_t donor = -1;       // row of another person's photograph, for species that need one; -1: nobody else there
  std::uint64_t simulate_a = 0;  // the render's random stream is Random(plan.seed, "simulate", simulate_a, simulate_b)
  std::uint64_t simulate_b = 0;
};

// One rectangle for the whole batch: image i receives it from image partner[i]. Labels become
// keep * y + (1 - keep) * y[partner], keep = 1 - area / (H W).
struct CutMixDraw {
  bool on = false;
  int x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // exclusive
  std::vector<std::int32_t> partner;
  float keep = 1;
};

struct BatchPlan {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0, step = 0;  // step counts from 0 over the whole run
  int group = 1;                     // samples that stay together when processes share a batch: 2 for pairs
  std::vector<SampleDraw> samples;   // [attack0, genuine0, attack1, genuine1, …] for pair batches
  CutMixDraw cutmix;
};

}  // namespace bonafide
