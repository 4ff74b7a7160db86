// apps/common/scoring.h — every photograph of a list through a detector, in order.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "data/detector.h"
#include "data/manifest.h"
#include "data/sources.h"

namespace bonafide {

// Which batches of the list a process scores: those whose number is `rank` modulo `world`. Batches are the same whatever
// `world` is, and so are, to the last bit, their logits.
struct ScoringShare {
  int rank = 0, world = 1;
};

// One logit for each record of the list, in order. sigmoid() of it is P(attack); the logit itself keeps apart what the
// sigmoid saturates. `progress(done, total)` is called after each batch. An unreadable photograph is an Error naming it.
// Those of other processes are 0.
std::vector<float> score_manifest(const Detector& detector, std::shared_ptr<const Manifest> list,
                                  std::shared_ptr<const ImageSource> source, std::int64_t batch_size, int workers,
                                  const std::function<void(std::int64_t, std::int64_t)>& progress = {}, ScoringShare share = {});

}  // namespace bonafide
