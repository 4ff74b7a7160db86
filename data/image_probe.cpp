// data/image_probe.cpp
#include "data/image_probe.h"

#include "data/perceptual_hash.h"

namespace bonafide {

ImageFacts PackedImageProbe::probe(const std::string& filename, const Box& face, bool decode) const {
  const std::int64_t i = file_.find(filename);
  if (i < 0) throw Error(filename + ": is not in " + file_.name());
  const PackedImage& image = file_.images()[std::size_t(i)];
  ImageFacts facts{image.part.height, image.part.width, 1, image.digest, {}};
  if (decode) facts.hash = perceptual_hash(file_.load(i), face);
  return facts;
}

}  // namespace bonafide
