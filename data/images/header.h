// data/images/header.h — format, size and orientation of an encoded image, read from its first bytes without decoding.
#pragma once
#include <cstdint>
#include <optional>

#include "engine/base.h"

namespace bonafide::images {

enum class Format { jpeg, png, bmp, webp, tiff };

struct Header {
  Format format;
  std::int64_t width = 0, height = 0;
};

// By magic number, not by file name. nullopt: none of the formats above, or the header is cut off or malformed. For
// JPEG the size is left 0 (the decoder's own header reader is the authority there).
std::optional<Header> read_header(Span<const std::uint8_t> bytes);

// EXIF orientation of a JPEG: 1 to 8 (1 where there is none or where it cannot be read).
int exif_orientation(Span<const std::uint8_t> jpeg);

}  // namespace bonafide::images
