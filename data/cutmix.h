// data/cutmix.h — draws a batch's CutMix: whether, which rectangle, and whose.
#pragma once
#include <string>
#include <vector>

#include "data/batch_plan.h"
#include "engine/philox.h"

namespace bonafide {

struct CutMixSettings {
  double probability = 0.3;     // of a batch being mixed at all
  double alpha = 0.592;         // the kept share before clipping is Beta(alpha, alpha)
  std::string partner = "any";  // a permutation of all images (pairs are not respected), or "same_class": of each class
  int height = 224, width = 224;
};

// The box has the aspect of the image, sides sqrt(1 - share) of it rounded down, around a uniform pixel, cut at the
// borders: as published (clovaai's CutMix and the Paired-Sampling Contrastive Framework). Classes are the samples'
// labels. An unknown partner rule, a probability outside [0, 1] or an alpha that is not positive is an Error.
CutMixDraw draw_cutmix(Random& random, const CutMixSettings& settings, const std::vector<SampleDraw>& samples);

}  // namespace bonafide
