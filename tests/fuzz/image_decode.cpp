// tests/fuzz/image_decode.cpp — a whole file through the decoders, with a small limit on pixels.
#include "data/images/decode.h"
#include "tests/fuzz/images.h"

namespace bonafide::fuzz {
namespace {

constexpr std::int64_t kMaxPixels = 1 << 16;

void run(const std::string& input) {
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  Image image;
  if (!accepts([&] { image = decode_image_bytes(bytes, "fuzz.img", kMaxPixels); })) return;
  must(image.width >= 1 && image.height >= 1 && std::int64_t(image.width) * image.height <= kMaxPixels, "an image of ",
       image.width, " x ", image.height);
  must(image.pixels.size() == std::size_t(image.width) * std::size_t(image.height) * 3, image.pixels.size(), " bytes");
}

const Register target("image_decode", run, image_seeds());

}  // namespace
}  // namespace bonafide::fuzz
