// apps/common/scoring.h — every photograph of a list through a detector, in order.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "data/detector.h"
#include "data/manifest.h"
#include "data/sources.h"

namespace bonafide {

// One logit for each record of the list, in order. sigmoid() of it is P(attack); the logit itself keeps apart what the
// sigmoid saturates. `progress(done, total)` is called after each batch. An unreadable photograph is an Error naming it.
std::vector<float> score_manifest(const Detector& detector, std::shared_ptr<const Manifest> list,
                                  std::shared_ptr<const ImageSource> source, std::int64_t batch_size, int workers,
                                  const std::function<void(std::int64_t, std::int64_t)>& progress = {});

}  // namespace bonafide
