// data/images/header.cpp — magic numbers, sizes in headers, and the one EXIF field that changes pixels.
#include "data/images/header.h"

#include <cstring>

namespace bonafide::images {
namespace {

// Numbers at an offset; reading past the end sets `ok` to false and gives 0.
struct Reader {
  Span<const std::uint8_t> bytes;
  bool little = false;
  bool ok = true;

  std::uint32_t number(std::int64_t at, int size) {
    if (at < 0 || at + size > bytes.len) return ok = false, 0;
    std::uint32_t v = 0;
    for (int i = 0; i < size; ++i) v = v << 8 | bytes[little ? at + size - 1 - i : at + i];
    return v;
  }
  bool starts(std::int64_t at, const char* text, std::int64_t n) const {
    return at >= 0 && at + n <= bytes.len && !std::memcmp(bytes.ptr + at, text, std::size_t(n));
  }
};

// Value of a SHORT or LONG tag in the first directory of a TIFF structure that begins at `base`; nullopt where absent.
std::optional<std::uint32_t> tiff_tag(Reader& r, std::int64_t base, unsigned tag) {
  const std::int64_t directory = base + r.number(base + 4, 4);
  const int entries = int(r.number(directory, 2));
  for (int i = 0; i < entries && r.ok; ++i) {
    const std::int64_t entry = directory + 2 + 12 * i;
    if (r.number(entry, 2) == tag) return r.number(entry + 8, r.number(entry + 2, 2) == 3 ? 2 : 4);
  }
  return std::nullopt;
}

bool tiff_order(Reader& r, std::int64_t base) {
  r.little = r.starts(base, "II\x2a\0", 4);
  return r.little || r.starts(base, "MM\0\x2a", 4);
}

Header webp(Reader& r) {
  r.little = true;
  if (r.starts(12, "VP8X", 4)) return {Format::webp, r.number(24, 3) + 1, r.number(27, 3) + 1};
  if (r.starts(12, "VP8L", 4)) {
    const std::uint32_t v = r.number(21, 4);
    return {Format::webp, (v & 0x3fff) + 1, (v >> 14 & 0x3fff) + 1};
  }
  return {Format::webp, r.number(26, 2) & 0x3fff, r.number(28, 2) & 0x3fff};
}

}  // namespace

std::optional<Header> read_header(Span<const std::uint8_t> bytes) {
  Reader r{bytes};
  Header h{};
  if (r.starts(0, "\xff\xd8\xff", 3)) return Header{Format::jpeg};
  if (r.starts(0, "\x89PNG\r\n\x1a\n", 8)) {
    h = {Format::png, r.number(16, 4), r.number(20, 4)};
  } else if (r.starts(0, "BM", 2)) {
    r.little = true;
    const bool old = r.number(14, 4) == 12;  // OS/2 headers have 16-bit sizes; later ones are signed (top-down rows)
    const auto side = [&](std::int64_t at) {
      return old ? std::int64_t(r.number(at, 2)) : std::abs(std::int64_t(std::int32_t(r.number(at, 4))));
    };
    h = {Format::bmp, side(18), side(old ? 20 : 22)};
  } else if (r.starts(0, "RIFF", 4) && r.starts(8, "WEBPVP8", 7)) {
    h = webp(r);
  } else if (tiff_order(r, 0)) {
    h = {Format::tiff, tiff_tag(r, 0, 256).value_or(0), tiff_tag(r, 0, 257).value_or(0)};
  } else {
    return std::nullopt;
  }
  if (!r.ok || h.width < 1 || h.height < 1) return std::nullopt;
  return h;
}

int exif_orientation(Span<const std::uint8_t> jpeg) {
  Reader r{jpeg};
  for (std::int64_t at = 2; r.ok && r.number(at, 1) == 0xff;) {
    const unsigned marker = r.number(at + 1, 1);
    if (marker == 0xff) {  // fill byte
      ++at;
      continue;
    }
    if (marker == 0xda || marker == 0xd9) break;  // pixels begin
    const std::int64_t length = r.number(at + 2, 2);
    if (marker == 0xe1 && r.starts(at + 4, "Exif\0\0", 6)) {
      Reader exif{jpeg};
      const std::int64_t base = at + 10;
      if (!tiff_order(exif, base)) return 1;
      const std::uint32_t orientation = tiff_tag(exif, base, 0x112).value_or(1);
      return exif.ok && orientation >= 1 && orientation <= 8 ? int(orientation) : 1;
    }
    if (length < 2) break;
    at += 2 + length;
  }
  return 1;
}

}  // namespace bonafide::images
