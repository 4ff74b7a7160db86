// data/images/encode.h — RGB to JPEG (TurboJPEG) and PNG, in memory or as a file that is whole or absent.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/image.h"

namespace bonafide {

// Chroma subsampling: full, halved across, halved both ways (what cameras and libjpeg use by default).
enum class Chroma : std::uint8_t { s444, s422, s420 };

// Baseline JPEG, `quality` 1 to 100. Throws on an empty image or another quality.
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality, Chroma chroma = Chroma::s420);
std::vector<std::uint8_t> encode_png(const Image& image);

// Encoded, written under a temporary name in the same folder and renamed (not flushed to the disk: there may be
// thousands). The folder must exist.
void write_jpeg(const std::string& path, const Image& image, int quality, Chroma chroma = Chroma::s420);
void write_png(const std::string& path, const Image& image);

}  // namespace bonafide
