// data/images/probe.cpp
#include "data/images/probe.h"

#include <turbojpeg.h>

#include <filesystem>
#include <tuple>

#include "data/images/decode.h"
#include "data/images/header.h"
#include "data/perceptual_hash.h"
#include "engine/digest.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

// Width and height as stored, of a JPEG.
std::pair<int, int> jpeg_size(Span<const std::uint8_t> bytes, const std::string& name) {
  const std::unique_ptr<void, int (*)(tjhandle)> handle(tjInitDecompress(), tjDestroy);
  int width = 0, height = 0, subsampling = 0, colour = 0;
  const bool bad = !handle || tjDecompressHeader3(handle.get(), bytes.ptr, static_cast<unsigned long>(bytes.len), &width, &height, &subsampling, &colour);
  if (bad && !(width > 0 && height > 0)) throw Error(name + ": unreadable JPEG: its header is damaged");
  return {width, height};
}

}  // namespace

bool FileImageProbe::there(const std::string& filename) const {
  std::error_code ignored;
  return fs::is_regular_file(fs::path(root_) / filename, ignored);
}

ImageFacts FileImageProbe::probe(const std::string& filename, const Box& face, bool decode) const {
  const std::string path = (fs::path(root_) / filename).string(), file = read_image_file(path);
  const Span<const std::uint8_t> bytes{reinterpret_cast<const std::uint8_t*>(file.data()), std::int64_t(file.size())};
  ImageFacts facts;
  facts.digest = digest64(file);
  const auto header = images::read_header(bytes);
  const bool jpeg = header && header->format == images::Format::jpeg;
  if (jpeg) facts.orientation = images::exif_orientation(bytes);
  if (decode || !header) {  // without a header the decoder says what is wrong
    const Image image = decode_image_bytes(bytes, path);
    facts.height = image.height, facts.width = image.width;
    facts.hash = perceptual_hash(image, face);
    return facts;
  }
  std::tie(facts.width, facts.height) = jpeg ? jpeg_size(bytes, path) : std::pair(int(header->width), int(header->height));
  if (facts.orientation >= 5) std::swap(facts.width, facts.height);
  return facts;
}

}  // namespace bonafide
