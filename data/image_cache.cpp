// data/image_cache.cpp — a map and a byte count.
#include "data/image_cache.h"

namespace bonafide {

CachedImageSource::CachedImageSource(std::shared_ptr<const ImageSource> source, std::size_t max_bytes)
    : source_(std::move(source)), max_bytes_(max_bytes) {
  BF_CHECK(source_, "no source");
}

std::shared_ptr<const Image> CachedImageSource::share(const std::string& path) const {
  {
    const std::scoped_lock lock(mutex_);
    if (const auto it = kept_.find(path); it != kept_.end()) {
      ++stats_.hits;
      return it->second;
    }
    ++stats_.loads;
  }
  std::shared_ptr<const Image> image = source_->share(path);  // two threads may do this at once: the same pixels
  const std::scoped_lock lock(mutex_);
  if (stats_.bytes + image->pixels.size() <= max_bytes_ && kept_.emplace(path, image).second) {
    stats_.bytes += image->pixels.size();
    ++stats_.images;
  }
  return image;
}

CachedImageSource::Stats CachedImageSource::stats() const {
  const std::scoped_lock lock(mutex_);
  return stats_;
}

}  // namespace bonafide
