// data/packed.cpp — the packed file's bytes: header and index to and from numbers, every way they can be wrong.
#include "data/packed.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "data/csv.h"
#include "engine/digest.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kMagic = "BONAPACK";
constexpr std::uint32_t kVersion = 1;
constexpr std::int64_t kHeader = 64, kRecord = 64, kDigestAt = 56;  // bytes
constexpr std::int64_t kMostPixels = std::int64_t(1) << 27;         // of a photograph, as in data/images/decode.h

// Little-endian numbers, appended and taken off in order.
class Out {
 public:
  template <class U>
  void number(U v) {
    for (std::size_t i = 0; i < sizeof v; ++i) bytes += char(std::uint8_t(v >> (8 * i)));
  }
  void u32(std::int64_t v) { number(std::uint32_t(v)); }
  void u64(std::uint64_t v) { number(v); }
  void f32(float v) { number(std::bit_cast<std::uint32_t>(v)); }
  void f64(double v) { number(std::bit_cast<std::uint64_t>(v)); }
  std::string bytes;
};

class In {
 public:
  explicit In(std::string_view bytes) : bytes_(bytes) {}
  template <class U>
  U number() {
    U v = 0;
    for (std::size_t i = 0; i < sizeof v; ++i) v |= U(std::uint8_t(bytes_[i])) << (8 * i);
    bytes_.remove_prefix(sizeof v);
    return v;
  }
  std::int64_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  float f32() { return std::bit_cast<float>(number<std::uint32_t>()); }
  double f64() { return std::bit_cast<double>(number<std::uint64_t>()); }

 private:
  std::string_view bytes_;
};

std::uint64_t digest_of(std::string_view header, std::string_view index) {
  return digest64(index, digest64(header.substr(0, std::size_t(kDigestAt))));
}

// Index and names of images with their offsets.
std::string index_of(const std::vector<PackedImage>& images) {
  Out out;
  for (const PackedImage& i : images) {
    out.u64(std::uint64_t(i.offset)), out.u64(i.digest);
    for (const int v : {i.height, i.width, i.part.x, i.part.y, i.part.height, i.part.width}) out.u32(v);
    for (const float v : {i.box.x1, i.box.y1, i.box.x2, i.box.y2}) out.f32(v);
    out.u32(std::int64_t(i.filename.size())), out.u32(std::int64_t(i.subject.size()));
  }
  for (const PackedImage& i : images) out.bytes += i.filename + i.subject;
  return std::move(out.bytes);
}

// `end`: of the pixels.
std::string header_of(const std::string& index, std::size_t images, std::int64_t end, double margin) {
  Out out;
  out.bytes = kMagic;
  out.u32(kVersion), out.u32(kRecord);
  out.u64(images), out.u64(std::uint64_t(end) + index.size()), out.u64(std::uint64_t(end));
  out.u64(index.size() - images * std::size_t(kRecord));
  out.f64(margin);
  out.u64(digest_of(out.bytes, index));
  return std::move(out.bytes);
}

// Gives every image its offset; the end of the last.
std::int64_t place(std::vector<PackedImage>& images) {
  std::int64_t at = kHeader;
  for (PackedImage& i : images) i.offset = at, at += i.bytes();
  return at;
}

// What is wrong with an entry's own numbers; empty where nothing is.
std::string objection(const PackedImage& i) {
  const Image::Part& p = i.part;
  if (i.filename.empty() || !printable_path(i.filename)) return "its name is empty or holds a control character";
  if (i.height < 1 || i.width < 1 || p.height < 1 || p.width < 1) return "it has no size";
  if (p.height > kMostPixels / p.width) return str("a photograph of ", p.width, " x ", p.height, " pixels");
  if (p.x < 0 || p.y < 0 || i.width > p.width - p.x || i.height > p.height - p.y)
    return str("its ", i.width, " x ", i.height, " pixels at ", p.x, ",", p.y, " do not lie in a photograph of ", p.width, " x ", p.height);
  const Box &b = i.box, none;
  const bool finite = std::isfinite(b.x1) && std::isfinite(b.y1) && std::isfinite(b.x2) && std::isfinite(b.y2);
  if (!finite || !(b.valid() || (b.x1 == none.x1 && b.y1 == none.y1 && b.x2 == none.x2 && b.y2 == none.y2))) return "its box is none";
  return {};
}

}  // namespace

bool PackedFile::is_one(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return false;
  const MappedFile file = map_file(path);
  return file.bytes.size() >= kMagic.size() && !std::memcmp(file.bytes.data(), kMagic.data(), kMagic.size());
}

PackedFile::PackedFile(const fs::path& path) : name_(path.string()), file_(map_file(path)) {
  const auto fail = [&](const auto&... what) { throw Error(str(name_, ": ", what...)); };
  const std::string_view bytes(reinterpret_cast<const char*>(file_.bytes.data()), file_.bytes.size());
  const std::uint64_t size = bytes.size();
  if (!bytes.starts_with(kMagic)) fail("is no packed file of bonafide");
  if (size < std::uint64_t(kHeader)) fail("is cut short: ", size, " bytes, the header alone has ", kHeader);
  In head(bytes.substr(kMagic.size()));
  const std::int64_t version = head.u32(), record = head.u32();
  if (version != kVersion) fail("is packed in version ", version, "; this program reads version ", kVersion);
  if (record != kRecord) fail("its index has ", record, " bytes an image, expected ", kRecord);
  const std::uint64_t count = head.u64(), whole = head.u64(), index_at = head.u64(), name_bytes = head.u64();
  margin_ = head.f64();
  digest_ = head.u64();
  if (whole > size) fail("is cut short: ", size, " of ", whole, " bytes");
  if (whole < size) fail("has ", size, " bytes and says it has ", whole);
  if (index_at < std::uint64_t(kHeader) || index_at > size || count > (size - index_at) / kRecord ||
      name_bytes != size - index_at - count * kRecord)
    fail("its index of ", count, " images does not fit into it");
  const std::string_view index = bytes.substr(index_at);
  if (digest_of(bytes, index) != digest_) fail("its index is damaged (it does not have the digest that the header says)");
  if (!(margin_ == 0 || (margin_ >= 1 && margin_ <= 1e6))) fail("says its margin is ", margin_);

  images_.reserve(count);
  std::uint64_t at = kHeader;
  std::string_view names = index.substr(count * kRecord);
  for (std::uint64_t i = 0; i < count; ++i) {
    In in(index.substr(i * kRecord, kRecord));
    PackedImage& image = images_.emplace_back();
    const std::uint64_t offset = in.u64();
    image.digest = in.u64();
    const auto length = [&](const char* what) {
      const std::int64_t v = in.u32();
      if (v > kMostPixels) fail("image ", i, ": a ", what, " of ", v);
      return int(v);
    };
    image.height = length("height"), image.width = length("width");
    image.part.x = length("corner"), image.part.y = length("corner");
    image.part.height = length("height"), image.part.width = length("width");
    for (float* v : {&image.box.x1, &image.box.y1, &image.box.x2, &image.box.y2}) *v = in.f32();
    const auto name = [&](std::string& to) {
      const auto n = std::uint64_t(in.u32());
      if (n > names.size()) fail("image ", i, ": its name is longer than all names");
      to = names.substr(0, n);
      names.remove_prefix(n);
    };
    name(image.filename), name(image.subject);
    if (const std::string why = objection(image); !why.empty()) fail("image ", i, " (", clipped(image.filename), "): ", why);
    if (offset != at) fail("image ", i, " (", clipped(image.filename), ") begins at byte ", offset, ", expected ", at);
    if (std::uint64_t(image.bytes()) > index_at - at)
      fail("image ", i, " (", clipped(image.filename), ") reaches into the index");
    image.offset = std::int64_t(offset);
    at += std::uint64_t(image.bytes());
  }
  if (at != index_at) fail("has ", index_at - at, " bytes that belong to no image");
  if (!names.empty()) fail("has ", names.size(), " bytes of names that belong to no image");
  at_.reserve(count);
  for (std::size_t i = 0; i < images_.size(); ++i)
    if (!at_.emplace(images_[i].filename, std::int64_t(i)).second) fail(clipped(images_[i].filename), " is in it twice");
}

std::int64_t PackedFile::find(std::string_view filename) const {
  const auto it = at_.find(filename);
  return it == at_.end() ? -1 : it->second;
}

Image PackedFile::load(std::int64_t i) const {
  BF_CHECK(i >= 0 && i < std::int64_t(images_.size()), "image ", i, " of ", images_.size());
  const PackedImage& image = images_[std::size_t(i)];
  Image out = Image::uninitialized(image.height, image.width);
  std::memcpy(out.pixels.data(), file_.bytes.data() + image.offset, out.pixels.size());
  if (digest64({reinterpret_cast<const char*>(out.pixels.data()), out.pixels.size()}) != image.digest)
    throw Error(str(image.filename, ": its pixels in ", name_, " are damaged"));
  if (!image.whole()) out.part = image.part;
  return out;
}

Image PackedImageSource::load(const std::string& path) const {
  const std::int64_t i = file_.find(path);
  if (i < 0) throw Error(str(path, ": is not in ", file_.name(), " (names are those of the lists it was packed from)"));
  return file_.load(i);
}

CropRect kept_rect(const Box& box, double margin, int width, int height) {
  // A rectangle grows with its margin, except that an empty one gives the whole photograph: only the smallest can be.
  const CropRect a = crop_rect(box, 1, width, height), b = crop_rect(box, margin, width, height);
  return {std::min(a.x1, b.x1), std::min(a.y1, b.y1), std::max(a.x2, b.x2), std::max(a.y2, b.y2)};
}

fs::path PackedWriter::partial(const fs::path& path) { return path.string() + ".partial"; }

PackedWriter::PackedWriter(fs::path path, double margin, std::vector<PackedImage> there)
    : path_(std::move(path)), margin_(margin), images_(std::move(there)) {
  BF_CHECK(margin_ == 0 || margin_ >= 1, "margin ", margin_);
  for (const PackedImage& image : images_)
    BF_CHECK(objection(image).empty() && names_.emplace(image.filename, 0).second, image.filename, ": ", objection(image));
  end_ = place(images_);
  if (!images_.empty()) {
    std::error_code none;
    const std::uintmax_t size = fs::file_size(partial(path_), none);
    if (none || size < std::uintmax_t(end_))
      throw Error(str(partial(path_).string(), ": the ", end_, " bytes written before are gone: it was changed or removed "
                      "(--restart begins anew)"));
  }
  fd_ = ::open(partial(path_).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("write");
  if (::ftruncate(fd_, end_)) {
    const int error = errno;
    ::close(fd_);
    errno = error;
    fail("write");
  }
}

PackedWriter::~PackedWriter() { ::close(fd_); }

void PackedWriter::fail(const char* doing) const {
  throw Error(str(partial(path_).string(), ": cannot ", doing, ": ", std::strerror(errno)));
}

void PackedWriter::write(std::int64_t at, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write");
    bytes.remove_prefix(std::size_t(n));
    at += n;
  }
}

const PackedImage& PackedWriter::append(PackedImage image, Span<const std::uint8_t> pixels) {
  if (const std::string why = objection(image); !why.empty()) throw Error(str(image.filename, ": cannot be packed: ", why));
  BF_CHECK(pixels.len == image.bytes(), pixels.len, " bytes of pixels, expected ", image.bytes());
  if (!names_.emplace(image.filename, 0).second) throw Error(str(image.filename, ": is to be packed twice"));
  const std::string_view bytes(reinterpret_cast<const char*>(pixels.ptr), std::size_t(pixels.len));
  image.offset = end_;
  image.digest = digest64(bytes);
  write(end_, bytes);
  end_ += image.bytes();
  images_.push_back(std::move(image));
  return images_.back();
}

bool PackedWriter::is_committed(const fs::path& path, double margin, std::vector<PackedImage> images) {
  if (!PackedFile::is_one(path)) return false;
  const std::int64_t end = place(images);
  const std::string header = header_of(index_of(images), images.size(), end, margin);
  const MappedFile file = map_file(path);
  return file.bytes.size() >= header.size() && !std::memcmp(file.bytes.data(), header.data(), header.size());
}

void PackedWriter::discard() noexcept { ::unlink(partial(path_).c_str()); }

void PackedWriter::commit() {
  const std::string index = index_of(images_), header = header_of(index, images_.size(), end_, margin_);
  write(end_, index);
  write(0, header);
  if (::fsync(fd_)) fail("flush to the disk");
  fs::path to = path_;
  std::error_code ignored;
  if (fs::is_symlink(to, ignored)) to = fs::weakly_canonical(to, ignored);
  if (::rename(partial(path_).c_str(), to.c_str())) fail("rename");
}

}  // namespace bonafide
