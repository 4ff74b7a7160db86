// apps/common/scoring.cpp
#include "apps/common/scoring.h"

#include <algorithm>
#include <cmath>

#include "data/augment.h"
#include "data/loader.h"

namespace bonafide {

std::vector<float> score_manifest(const Detector& detector, std::shared_ptr<const Manifest> list,
                                  std::shared_ptr<const ImageSource> source, std::int64_t batch_size, int workers,
                                  const std::function<void(std::int64_t, std::int64_t)>& progress, ScoringShare share) {
  LoaderSettings settings;
  settings.height = settings.width = detector.info().input_size;
  settings.workers = workers;
  settings.cache_bytes = 0;  // every photograph is read once
  const double margin = detector.info().crop_margin;
  const auto sample = [margin](const Image& image, const Box& face, const SampleDraw&, int height, int width, std::uint8_t* out) {
    make_sample(image, face, margin, {}, {}, height, width, {out, std::int64_t(height) * width * 3});
  };
  const auto total = std::int64_t(list->records.size());
  const auto planner = std::make_shared<const EvaluationPlanner>(list, batch_size, margin);
  settings.end_step = ceil_div<std::int64_t>(planner->steps() - share.rank, share.world);
  Loader loader(list, [&](std::int64_t step) { return planner->plan(step * share.world + share.rank); }, std::move(source), nullptr, sample, settings);
  std::vector<float> logits(std::size_t(total), 0);
  for (std::int64_t done = 0; !loader.done();) {
    const Batch b = loader.next();
    const auto part = detector.logits(b.images, std::int64_t(b.rows.size()));
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto record = std::size_t(b.plan.samples[i].record);
      if (!std::isfinite(part[i]))
        throw Error(str(list->where(list->records[record]), ": ", list->records[record].filename, ": the model's answer is ", part[i], ", no finite number"));
      logits[record] = part[i];
    }
    done += std::int64_t(part.size());
    if (progress) progress(std::min(total, done * share.world), total);
  }
  return logits;
}

}  // namespace bonafide
