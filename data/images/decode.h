// data/images/decode.h — a file or its bytes to 8-bit RGB, and the ImageSource that reads a folder.
//
// What comes out is what the published training code saw through cv2.imread: EXIF orientation is applied, grey and
// palette become RGB, 16-bit is cut to its high byte, alpha is dropped, CMYK is converted with the usual (Adobe,
// inverted) rule. JPEG goes through TurboJPEG (accurate DCT, smooth chroma upsampling: the same bits as OpenCV's
// reader), PNG, BMP, WebP and TIFF through OpenCV; the format is told by content, never by name, and nothing else is
// handed to a decoder.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/image.h"
#include "data/sources.h"
#include "engine/base.h"

namespace bonafide {

// 128 Mi pixels (402 MB of RGB). Read from the header and refused before anything is allocated.
inline constexpr std::int64_t kMaxImagePixels = std::int64_t(1) << 27;

// Larger files are not read. (The largest image, uncompressed with 16 bits a channel, is 0.8 GB.)
inline constexpr std::uint64_t kMaxImageBytes = std::uint64_t(1) << 30;

// Throws an Error that begins with the path: missing, a folder, a device or pipe, empty, not an image, cut off, larger than
// `max_pixels` or kMaxImageBytes.
Image decode_image(const std::string& path, std::int64_t max_pixels = kMaxImagePixels);

// Its two halves, for callers that look at the bytes too (images::exif_orientation): the file, with the errors about files;
// and the picture in it. `name` is what errors call it.
std::string read_image_file(const std::string& path);
Image decode_image_bytes(Span<const std::uint8_t> bytes, const std::string& name,
                         std::int64_t max_pixels = kMaxImagePixels);

// Files below `root` (an absolute path stands for itself; an empty root is the working folder). Thread-safe, no cache.
class FileImageSource final : public ImageSource {
 public:
  explicit FileImageSource(std::string root = {}, std::int64_t max_pixels = kMaxImagePixels);
  Image load(const std::string& path) const override;

 private:
  std::string root_;
  std::int64_t max_pixels_;
};

}  // namespace bonafide
