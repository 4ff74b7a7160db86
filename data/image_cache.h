// data/image_cache.h — an ImageSource that keeps decoded photographs up to a number of bytes.
//
// The first ones that fit stay; nothing is thrown out. Training visits every photograph once an epoch in random order,
// and for that no other rule finds more of them (least-recently-used finds none when the set is a little too large).
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "data/sources.h"

namespace bonafide {

class CachedImageSource final : public ImageSource {
 public:
  CachedImageSource(std::shared_ptr<const ImageSource> source, std::size_t max_bytes);
  Image load(const std::string& path) const override { return *share(path); }
  std::shared_ptr<const Image> share(const std::string& path) const override;  // thread-safe
  bool quick() const override { return true; }

  struct Stats {
    std::int64_t hits = 0, loads = 0;  // loads: how often the source was asked
    std::int64_t images = 0;           // kept
    std::size_t bytes = 0;
  };
  Stats stats() const;

 private:
  std::shared_ptr<const ImageSource> source_;
  std::size_t max_bytes_;
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, std::shared_ptr<const Image>> kept_;
  mutable Stats stats_;
};

}  // namespace bonafide
