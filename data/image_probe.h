// data/image_probe.h — what a check of the data wants to know of a photograph, wherever it lies.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "data/packed.h"

namespace bonafide {

struct ImageFacts {
  int height = 0, width = 0;           // of the photograph, upright
  int orientation = 1;                 // EXIF, 1 to 8: what it took to stand it upright
  std::uint64_t digest = 0;            // XXH3-64 of the file; of a packed photograph, of its pixels
  std::optional<std::uint64_t> hash;   // of the face as training crops it (data/perceptual_hash.h), where it was decoded
};

class ImageProbe {
 public:
  virtual ~ImageProbe() = default;
  virtual bool there(const std::string& filename) const = 0;
  // With `decode` every pixel is looked at, else the header alone. Thread-safe. Throws an Error where it cannot be read.
  virtual ImageFacts probe(const std::string& filename, const Box& face, bool decode) const = 0;
};

// Of a packed file: the part that is kept.
class PackedImageProbe final : public ImageProbe {
 public:
  explicit PackedImageProbe(const std::filesystem::path& path) : file_(path) {}
  bool there(const std::string& filename) const override { return file_.find(filename) >= 0; }
  ImageFacts probe(const std::string& filename, const Box& face, bool decode) const override;

 private:
  PackedFile file_;
};

}  // namespace bonafide
