// kernels/crop_resize/cpu.cpp — bilinear resize on the CPU: two blended source rows are kept, each made once.
#include "kernels/crop_resize/crop_resize.h"

#ifdef __SSE4_1__
#include <smmintrin.h>
#endif

#include <cstring>
#include <vector>

namespace bonafide::kernels {

void check(const CropResize& a) {
  const std::int64_t stride = a.stride ? a.stride : 3LL * a.width;
  BF_CHECK(a.height > 0 && a.width > 0 && stride >= 3LL * a.width, "crop_resize: image of ", a.height, " x ", a.width,
           ", stride ", stride);
  BF_CHECK(a.image.size() >= stride * (a.height - 1) + 3LL * a.width, "crop_resize: ", a.image.size(),
           " bytes for an image of ", a.height, " x ", a.width, ", stride ", stride);
  const Rect& c = a.crop;
  BF_CHECK(c.x1 >= 0 && c.y1 >= 0 && c.x2 > c.x1 && c.y2 > c.y1 && c.x2 <= a.width && c.y2 <= a.height,
           "crop_resize: rectangle (", c.x1, ", ", c.y1, ")-(", c.x2, ", ", c.y2, ") is empty or leaves the image of ",
           a.height, " x ", a.width);
  BF_CHECK(a.out_height > 0 && a.out_width > 0 && a.out.size() == 3LL * a.out_height * a.out_width,
           "crop_resize: ", a.out.size(), " bytes for an output of ", a.out_height, " x ", a.out_width, " x 3");
}

void resize_taps(int size, int out_size, Span<ResizeTap> taps) {
  for (int i = 0; i < out_size; ++i) taps[i] = resize_tap(size, out_size, i);
}

namespace cpu {
namespace {

void blend_pixel(const std::uint8_t* a, const std::uint8_t* b, int weight, std::int16_t* out) {
  for (int c = 0; c < 3; ++c) out[c] = blend_along_x(a[c], b[c], weight);
}
// The same, but reads one byte and writes one value more: a pixel and what lies behind it are one vector.
void blend_pixel_and_more(const std::uint8_t* a, const std::uint8_t* b, int weight, std::int16_t* out) {
#ifdef __SSE4_1__
  const auto pixel = [](const std::uint8_t* p) {
    int bytes;
    std::memcpy(&bytes, p, sizeof bytes);
    return _mm_cvtsi32_si128(bytes);
  };
  const __m128i pairs = _mm_cvtepu8_epi16(_mm_unpacklo_epi8(pixel(a), pixel(b)));  // a0 b0 a1 b1 …
  const __m128i v = _mm_srai_epi32(_mm_madd_epi16(pairs, _mm_set1_epi32(2048 - weight + (weight << 16))), 4);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packs_epi32(v, v));
#else
  blend_pixel(a, b, weight, out);
#endif
}

// One source row at the output's width, 15 bits a value. `last`: the last column, behind which there may be nothing.
// `out` has room for one value more than it will hold.
void blend_row(const std::uint8_t* row, int last, const std::vector<ResizeTap>& taps, std::int16_t* out) {
  for (const ResizeTap& t : taps) {
    const std::uint8_t *a = row + 3 * t.from, *b = row + 3 * t.to;
    if (t.to < last)
      blend_pixel_and_more(a, b, t.weight, out);
    else
      blend_pixel(a, b, t.weight, out);
    out += 3;
  }
}

void blend_rows(const std::int16_t* a, const std::int16_t* b, int weight, std::int64_t n, std::uint8_t* out) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) out[i] = blend_along_y(a[i], b[i], weight);
}

}  // namespace

void crop_resize(const CropResize& a) {
  check(a);
  const std::int64_t stride = a.stride ? a.stride : 3LL * a.width, n = 3LL * a.out_width;
  const std::uint8_t* origin = a.image.ptr + a.crop.y1 * stride + 3LL * a.crop.x1;
  std::vector<ResizeTap> columns(std::size_t(a.out_width)), rows(std::size_t(a.out_height));
  resize_taps(a.crop.width(), a.out_width, columns);
  resize_taps(a.crop.height(), a.out_height, rows);

  std::vector<std::int16_t> storage(std::size_t(2 * (n + 1)));
  std::int16_t* slot[2] = {storage.data(), storage.data() + n + 1};
  int held[2] = {-1, -1};
  const auto blended = [&](int y, int keep) {  // the row's values, in whichever slot is not holding row `keep`
    if (held[0] == y) return slot[0];
    if (held[1] == y) return slot[1];
    const int s = held[0] == keep ? 1 : 0;
    blend_row(origin + y * stride, a.crop.width() - 1, columns, slot[s]);
    held[s] = y;
    return slot[s];
  };
  for (int y = 0; y < a.out_height; ++y) {
    const ResizeTap& t = rows[std::size_t(y)];
    const std::int16_t* from = blended(t.from, t.to);
    const std::int16_t* to = blended(t.to, t.from);
    blend_rows(from, to, t.weight, n, a.out.ptr + y * n);
  }
}

}  // namespace cpu
}  // namespace bonafide::kernels
