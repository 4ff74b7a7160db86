// apps/common/scoring.cpp
#include "apps/common/scoring.h"

#include <cmath>

#include "data/augment.h"
#include "data/loader.h"

namespace bonafide {

std::vector<float> score_manifest(const Detector& detector, std::shared_ptr<const Manifest> list,
                                  std::shared_ptr<const ImageSource> source, std::int64_t batch_size, int workers,
                                  const std::function<void(std::int64_t, std::int64_t)>& progress) {
  LoaderSettings settings;
  settings.height = settings.width = detector.info().input_size;
  settings.workers = workers;
  settings.cache_bytes = 0;  // every photograph is read once
  const double margin = detector.info().crop_margin;
  const auto sample = [margin](const Image& image, const Box& face, const SampleDraw&, int height, int width, std::uint8_t* out) {
    make_sample(image, face, margin, {}, {}, height, width, {out, std::int64_t(height) * width * 3});
  };
  const auto total = std::int64_t(list->records.size());
  const auto loader = make_evaluation_loader(list, batch_size, std::move(source), sample, settings);
  std::vector<float> logits;
  while (!loader->done()) {
    const Batch b = loader->next();
    const auto part = detector.logits(b.images, std::int64_t(b.rows.size()));
    for (std::size_t i = 0; i < part.size(); ++i)
      if (!std::isfinite(part[i]))
        throw Error(str(list->where(list->records[logits.size() + i]), ": ", list->records[logits.size() + i].filename,
                        ": the model's answer is ", part[i], ", no finite number"));
    logits.insert(logits.end(), part.begin(), part.end());
    if (progress) progress(std::int64_t(logits.size()), total);
  }
  return logits;
}

}  // namespace bonafide
