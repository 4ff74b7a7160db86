// data/sources.h — where pixels come from. data/ itself knows no image format: data/images implements both.
#pragma once
#include <memory>
#include <string>

#include "data/image.h"
#include "data/label.h"
#include "engine/philox.h"

namespace bonafide {

// Decodes one file (or one entry of a packed file). Thread-safe. Throws an Error that names the file.
class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual Image load(const std::string& path) const = 0;
  // The same to look at only: a source that keeps images (data/image_cache.h) gives its own without a copy.
  virtual std::shared_ptr<const Image> share(const std::string& path) const {
    return std::make_shared<const Image>(load(path));
  }
  // Whether asking twice costs little, so that nothing is gained by keeping images.
  virtual bool quick() const { return false; }
};

// Renders an attack species from a genuine photograph, and photographs both classes with the same simulated camera.
// Label{} (genuine) means the camera alone. Thread-safe; depends on nothing but its arguments.
class AttackSimulator {
 public:
  struct Result {
    Image image;
    Box face;  // where the face is in `image`; invalid when the whole image is the face
  };
  virtual ~AttackSimulator() = default;
  // `donor` is another person's genuine photograph for species that need one (face swap), else ignored.
  virtual Result render(const Image& photo, const Box& face, const Image* donor, const Box& donor_face,
                        const Label& species, Random& random) const = 0;
  virtual bool needs_donor(const Label& species) const = 0;
};

}  // namespace bonafide
