// kernels/jpeg_round_trip/jpeg_round_trip.h — what baseline JPEG does to an 8-bit RGB image, without the file, in
// place.
//
// RGB -> YCbCr -> chroma halved both ways -> 8x8 DCT -> quantise -> dequantise -> inverse DCT -> chroma doubled
// (triangle filter) -> RGB, with the standard's example tables (ITU-T T.81 Annex K) scaled by `quality` as the
// Independent JPEG Group does, and integer arithmetic of the precision of its "slow" transform: 13-bit constants, two
// fractional bits between the passes. Entropy coding loses nothing and is left out. The result is that of encoding and
// decoding with libjpeg-turbo at its defaults (tests/images compares the bits). Pure integers: the same bits
// everywhere.
#pragma once
#include <array>

#include "engine/base.h"
#include "kernels/backends.h"
#include "kernels/jpeg_round_trip/arithmetic.h"

namespace bonafide::kernels {

struct JpegRoundTrip {
  Span<std::uint8_t> image;  // [height, width, 3], RGB
  int height = 0, width = 0;
  int quality = 75;                   // 1..100
  Span<std::uint8_t> workspace = {};  // CUDA: jpeg_round_trip_workspace bytes at a multiple of 8, contents irrelevant
};

using QuantTable = std::array<std::int32_t, 64>;  // row-major, not zigzag
QuantTable jpeg_luma_table(int quality);
QuantTable jpeg_chroma_table(int quality);

constexpr std::int64_t jpeg_round_trip_workspace(int height, int width) {
  return jpeg::luma_plane(height, width).size() + 2 * jpeg::chroma_plane(height, width).size();
}

// The image is read and written once; 1.5 planes are transformed, 2 x 16 passes of 32 multiply-adds for 64 values.
constexpr Cost jpeg_round_trip_cost(int height, int width) {
  const double n = double(height) * width;
  return {3 * n, 3 * n, 1.5 * n * 2 * 16 * 32 * 2 / 64};
}

void check(const JpegRoundTrip&);
void check_workspace(const JpegRoundTrip&);  // throws; CUDA

BF_PASS_PLAIN(jpeg_round_trip, JpegRoundTrip);

}  // namespace bonafide::kernels
