// tests/fuzz/packed.cpp — PackedFile: of what it accepts every image lies inside the file, apart from all others, and crops of
// its box stay inside it. The digest of header and index is set right first: a hostile file has the right one.
#include "data/packed.h"

#include <cstring>

#include "engine/digest.h"
#include "tests/fuzz/target.h"

namespace bonafide::fuzz {
namespace {

std::string with_digest(std::string bytes) {
  if (bytes.size() < 64) return bytes;
  std::uint64_t index_at = 0;
  std::memcpy(&index_at, bytes.data() + 32, 8);
  const std::string_view all = bytes, index = all.substr(std::min<std::uint64_t>(index_at, all.size()));
  const std::uint64_t digest = digest64(index, digest64(all.substr(0, 56)));
  std::memcpy(bytes.data() + 56, &digest, 8);
  return bytes;
}

void check(const PackedFile& f, std::int64_t size) {
  std::int64_t at = 64;
  for (std::size_t i = 0; i < f.images().size(); ++i) {
    const PackedImage& image = f.images()[i];
    must(image.offset == at && image.bytes() > 0 && image.bytes() <= size - at, "pixels at ", image.offset, " of ", size);
    at += image.bytes();
    must(f.find(image.filename) == std::int64_t(i), "image ", i, " is not found by its name");
    must(image.part.x >= 0 && image.part.y >= 0 && image.part.x + image.width <= image.part.width &&
             image.part.y + image.height <= image.part.height, "a part outside its photograph");
    accepts([&] {
      const Image pixels = f.load(std::int64_t(i));
      must(std::int64_t(pixels.pixels.size()) == image.bytes(), "other pixels");
      const CropRect r = crop_rect(image.box, 1.2, pixels);
      must(r.x1 >= 0 && r.y1 >= 0 && r.x2 > r.x1 && r.y2 > r.y1 && r.x2 <= pixels.width && r.y2 <= pixels.height, "a crop outside");
    });
  }
}

void run(const std::string& input) {
  for (const std::string& bytes : {input, with_digest(input)})
    accepts([&] { check(PackedFile(MemoryFile(bytes).path()), std::int64_t(bytes.size())); });
}

// Built by hand and not by PackedWriter, so that both sides of the format are written down once more.
std::string file(const std::vector<std::vector<std::uint32_t>>& images, const std::string& names) {
  std::string pixels, index;
  const auto put = [](std::string& to, auto v) { to.append(reinterpret_cast<const char*>(&v), sizeof v); };
  for (const auto& i : images) {  // height, width, x, y, photograph's height, width, name, subject
    const std::string p(std::size_t(i[0]) * i[1] * 3, 'p');
    put(index, std::uint64_t(64 + pixels.size())), put(index, digest64(p));
    for (std::size_t k = 0; k < 6; ++k) put(index, i[k]);
    for (const float v : {1.0f, 2.0f, 3.5f, 4.0f}) put(index, i[6] % 2 ? v : -1.0f);
    put(index, i[6]), put(index, i[7]);
    pixels += p;
  }
  std::string header = "BONAPACK";
  put(header, std::uint32_t(1)), put(header, std::uint32_t(64));
  put(header, std::uint64_t(images.size()));
  put(header, std::uint64_t(64 + pixels.size() + index.size() + names.size())), put(header, std::uint64_t(64 + pixels.size()));
  put(header, std::uint64_t(names.size()));
  put(header, 1.3), put(header, std::uint64_t(0));
  return with_digest(header + pixels + index + names);
}

const Register target("packed", run,
                      {file({}, ""), file({{2, 3, 0, 0, 2, 3, 1, 0}}, "a"), file({{2, 3, 0, 1, 9, 8, 5, 2}, {1, 1, 0, 0, 1, 1, 4, 0}}, "a.pngxyb, \xc3\xa9"),
                       file({{1, 1, 0, 0, 1, 1, 1, 0}, {1, 1, 0, 0, 1, 1, 1, 0}}, "aa"), "BONAPACK"});

}  // namespace
}  // namespace bonafide::fuzz
