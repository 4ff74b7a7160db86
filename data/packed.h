// data/packed.h — many photographs, cut to what training takes of them, as raw pixels in one file that is mapped into memory.
//
// The file (docs/data.md has the table) is a header of 64 bytes; the pixels of every image, 8-bit RGB, one after the other
// without gaps; an index of 64 bytes an image; all names. Numbers are little-endian, offsets have 64 bits. The header's digest
// covers header and index, and the index holds a digest of every image's pixels, which is compared whenever they are read.
//
// Of a photograph with a face box the file keeps every pixel that crop_rect() takes for a margin from 1 up to the file's; of
// one without a box all. The index says which part of the photograph that is, and boxes stay in the photograph's pixels: the
// same lists serve the photographs and the packed file, and a crop has the same bits from either.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "data/crop.h"
#include "data/sources.h"
#include "engine/files.h"

namespace bonafide {

struct PackedImage {
  std::string filename;        // as in the lists; unique
  std::string subject;         // the person; empty: unknown
  Box box;                     // as in the list it was packed from
  int height = 0, width = 0;   // of the pixels kept
  Image::Part part;            // where in the photograph they were; always filled in
  std::int64_t offset = 0;     // of the pixels, from the beginning of the file
  std::uint64_t digest = 0;    // XXH3-64 of the pixels
  bool whole() const { return height == part.height && width == part.width; }
  std::int64_t bytes() const { return std::int64_t(height) * width * 3; }
};

class PackedFile {
 public:
  // Throws an Error that names the file: no packed file, another version, cut short or longer than it says, a damaged index,
  // pixels that overlap or lie outside, sizes that contradict each other, a name twice. Pixels are looked at when read.
  explicit PackedFile(const std::filesystem::path& path);
  PackedFile(PackedFile&&) = default;  // (a copy's names would be the original's)

  const std::string& name() const { return name_; }
  double margin() const { return margin_; }  // crops up to this margin are in it; 0: all photographs are whole
  const std::vector<PackedImage>& images() const { return images_; }
  std::int64_t find(std::string_view filename) const;  // its index, or -1
  std::uint64_t digest() const { return digest_; }     // of header and index, and thereby of all pixels

  // A copy of the pixels. Throws, naming the image, where they are not those that were written.
  Image load(std::int64_t image) const;

  static bool is_one(const std::filesystem::path& path);  // a regular file that begins as these do

 private:
  std::string name_;
  MappedFile file_;
  double margin_ = 0;
  std::uint64_t digest_ = 0;
  std::vector<PackedImage> images_;
  std::unordered_map<std::string_view, std::int64_t> at_;  // keys are those of images_
};

// The photographs of a packed file by the names they have in lists.
class PackedImageSource final : public ImageSource {
 public:
  explicit PackedImageSource(const std::filesystem::path& path) : file_(path) {}
  Image load(const std::string& path) const override;
  bool quick() const override { return true; }
  const PackedFile& file() const { return file_; }

 private:
  PackedFile file_;
};

// What a file of this margin keeps of a photograph: all that crop_rect() can take of it for any margin in [1, margin].
CropRect kept_rect(const Box& box, double margin, int width, int height);

// Writes a packed file image by image into `<path>.partial`, which commit() completes and renames. What a killed program
// leaves there can be gone on with. Holds the index in memory, not the pixels.
class PackedWriter {
 public:
  // `there`: images whose pixels an earlier start has already appended, in order; what lies behind them is cut off. Throws
  // where the partial file does not hold them all.
  PackedWriter(std::filesystem::path path, double margin, std::vector<PackedImage> there = {});
  ~PackedWriter();
  PackedWriter(const PackedWriter&) = delete;
  PackedWriter& operator=(const PackedWriter&) = delete;

  // Sets offset and digest. Throws where the image's numbers contradict each other or its pixels, or the name is taken.
  const PackedImage& append(PackedImage image, Span<const std::uint8_t> pixels);
  const std::vector<PackedImage>& images() const { return images_; }

  void commit();            // index, header, fsync, rename
  void discard() noexcept;  // deletes what was written: there is nothing to go on with

  static std::filesystem::path partial(const std::filesystem::path& path);
  // Whether `path` already is what commit() would make of these images.
  static bool is_committed(const std::filesystem::path& path, double margin, std::vector<PackedImage> images);

 private:
  void write(std::int64_t at, std::string_view bytes);
  [[noreturn]] void fail(const char* doing) const;

  std::filesystem::path path_;
  double margin_;
  int fd_ = -1;
  std::int64_t end_ = 0;
  std::vector<PackedImage> images_;
  std::unordered_map<std::string, std::int64_t> names_;
};

}  // namespace bonafide
