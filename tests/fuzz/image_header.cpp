// tests/fuzz/image_header.cpp — sizes and orientation out of the first bytes of a file, without a decoder.
#include "data/images/header.h"
#include "tests/fuzz/images.h"

namespace bonafide::fuzz {
namespace {

void run(const std::string& input) {
  // A copy of its own: nothing readable lies behind the last byte.
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  if (const auto h = images::read_header(bytes))
    must(h->format == images::Format::jpeg || (h->width >= 1 && h->height >= 1), "an image of ", h->width, " x ", h->height);
  const int orientation = images::exif_orientation(bytes);
  must(orientation >= 1 && orientation <= 8, "orientation ", orientation);
}

const Register target("image_header", run, image_seeds());

}  // namespace
}  // namespace bonafide::fuzz
