// engine/zip.cpp — see zip.h.
#include "engine/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "engine/files.h"

namespace bonafide {
namespace {

// ---- writing

void put(std::string& s, std::uint32_t v, int bytes) {
  for (int i = 0; i < bytes; ++i) s += char(v >> (8 * i) & 0xff);
}

// Raw deflate, without zlib's own header.
std::string deflated(std::string_view text) {
  z_stream z{};
  BF_CHECK(deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK, "zlib");
  std::string out(deflateBound(&z, uLong(text.size())), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = uInt(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = uInt(out.size());
  const int status = deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  BF_CHECK(status == Z_STREAM_END, "zlib: deflate ended with ", status);
  return out;
}

// ---- reading

constexpr std::uint32_t kLocal = 0x04034b50, kDirectory = 0x02014b50, kEnd = 0x06054b50, kEnd64 = 0x06064b50,
                        kLocator64 = 0x07064b50;
constexpr std::uint64_t kLocalBytes = 30, kDirectoryBytes = 46, kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20;

// Little-endian numbers at a position whose bounds the caller has checked.
struct Numbers {
  const std::byte* p;
  std::uint64_t at(std::uint64_t offset, int n) const {
    std::uint64_t v = 0;
    for (int i = 0; i < n; ++i) v |= std::uint64_t(p[offset + std::uint64_t(i)]) << (8 * i);
    return v;
  }
  std::uint16_t u16(std::uint64_t o) const { return std::uint16_t(at(o, 2)); }
  std::uint32_t u32(std::uint64_t o) const { return std::uint32_t(at(o, 4)); }
  std::uint64_t u64(std::uint64_t o) const { return at(o, 8); }
};

// Where the central directory lies.
struct DirectoryPlace {
  std::uint64_t begin = 0, size = 0, entries = 0;
};

DirectoryPlace find_directory(std::span<const std::byte> bytes, const std::string& where) {
  const Numbers n{bytes.data()};
  const std::uint64_t size = bytes.size();
  if (size < kEndBytes) throw Error(str(where, ": ", size, " bytes are too few for a zip archive"));
  // The end record is the last thing but for a comment, whose length it tells.
  std::uint64_t end = size - kEndBytes;
  const std::uint64_t lowest = end > 0xffff ? end - 0xffff : 0;
  while (n.u32(end) != kEnd || end + kEndBytes + n.u16(end + 20) != size) {
    if (end == lowest) throw Error(where + ": no end of a zip archive (truncated file?)");
    --end;
  }
  if (n.u16(end + 4) || n.u16(end + 6) || n.u16(end + 8) != n.u16(end + 10))
    throw Error(where + ": an archive of several volumes");
  DirectoryPlace d{n.u32(end + 16), n.u32(end + 12), n.u16(end + 10)};
  std::uint64_t limit = end;
  if (end >= kLocator64Bytes && n.u32(end - kLocator64Bytes) == kLocator64) {
    const std::uint64_t at = n.u64(end - kLocator64Bytes + 8);
    if (at > end - kLocator64Bytes || end - kLocator64Bytes - at < kEnd64Bytes || n.u32(at) != kEnd64)
      throw Error(where + ": no zip64 end record where its locator points");
    d = {n.u64(at + 48), n.u64(at + 40), n.u64(at + 32)};
    limit = at;
  }
  if (d.begin > limit || d.size > limit - d.begin)
    throw Error(str(where, ": the directory of the archive (", d.size, " bytes at ", d.begin, ") ends after byte ", limit));
  return d;
}

}  // namespace

ZipArchive::ZipArchive(std::span<const std::byte> bytes, std::string where)
    : bytes_(bytes), where_(std::move(where)), budget_(bytes.size() * kMaxInflation + (1u << 20)) {
  const DirectoryPlace directory = find_directory(bytes, where_);
  const Numbers n{bytes.data()};
  struct Extent {
    std::uint64_t begin, end;
    const std::string* name;
  };
  std::vector<Extent> extents;
  std::uint64_t at = directory.begin;
  const std::uint64_t end = directory.begin + directory.size;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    const auto refuse = [&](const std::string& name, const auto&... what) {
      throw Error(str(where_, ": zip entry ", i, name.empty() ? "" : " '" + name + "'", ": ", what...));
    };
    if (end - at < kDirectoryBytes || n.u32(at) != kDirectory) refuse("", "not where the directory should list it");
    const std::uint64_t name_bytes = n.u16(at + 28), extra_bytes = n.u16(at + 30), comment_bytes = n.u16(at + 32);
    if (end - at - kDirectoryBytes < name_bytes + extra_bytes + comment_bytes) refuse("", "reaches out of the directory");
    const std::string name(reinterpret_cast<const char*>(bytes.data() + at + kDirectoryBytes), name_bytes);
    Entry e;
    e.method = n.u16(at + 10), e.crc = n.u32(at + 16), e.stored = n.u32(at + 20), e.size = n.u32(at + 24);
    std::uint64_t local = n.u32(at + 42);
    if (n.u16(at + 8) & 0x2041) refuse(name, "is encrypted");
    // zip64: the numbers that did not fit in 32 bits, in this order, in the extra field of kind 1.
    std::uint64_t x = at + kDirectoryBytes + name_bytes;
    for (const std::uint64_t extra_end = x + extra_bytes; extra_end - x >= 4;) {
      const std::uint64_t kind = n.u16(x), field_end = x + 4 + n.u16(x + 2);
      if (field_end > extra_end) refuse(name, "has a damaged extra field");
      if (kind == 1) {
        std::uint64_t from = x + 4;
        for (std::uint64_t* v : {&e.size, &e.stored, &local})
          if (*v == 0xffffffffu) {
            if (field_end - from < 8) refuse(name, "lacks its zip64 sizes");
            *v = n.u64(from), from += 8;
          }
      }
      x = field_end;
    }
    at += kDirectoryBytes + name_bytes + extra_bytes + comment_bytes;

    if (local > directory.begin || directory.begin - local < kLocalBytes || n.u32(local) != kLocal)
      refuse(name, "no local header at byte ", local);
    const std::uint64_t header = kLocalBytes + n.u16(local + 26) + n.u16(local + 28);
    if (directory.begin - local < header || directory.begin - local - header < e.stored)
      refuse(name, "its ", e.stored, " bytes at ", local, " run into the directory (truncated file?)");
    if (n.u16(local + 26) != name_bytes || std::memcmp(bytes.data() + local + kLocalBytes, name.data(), name_bytes) != 0 ||
        n.u16(local + 8) != e.method)
      refuse(name, "its local header describes another file");
    if (e.method == 0 && e.stored != e.size) refuse(name, "stores ", e.stored, " bytes and claims ", e.size);
    e.begin = local + header;
    const auto [place, fresh] = entries_.emplace(name, e);
    if (!fresh) refuse(name, "is listed twice");
    names_.push_back(name);
    extents.push_back({local, e.begin + e.stored, &place->first});
  }
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < extents.size(); ++i)
    if (extents[i].begin < extents[i - 1].end)
      throw Error(str(where_, ": zip entries '", *extents[i - 1].name, "' and '", *extents[i].name, "' overlap"));
}

std::span<const std::byte> ZipArchive::read(std::string_view name) {
  const auto it = entries_.find(name);
  if (it == entries_.end()) throw Error(str(where_, ": the archive has no entry '", name, "'"));
  Entry& e = it->second;
  if (e.checked) return e.contents;
  if (e.method == 0)
    e.contents = bytes_.subspan(std::size_t(e.begin), std::size_t(e.stored));
  else if (e.method == 8)
    inflate(e, it->first);
  else
    throw Error(str(where_, ": zip entry '", name, "': compressed by method ", e.method, ", expected 0 or 8 (deflate)"));
  // PyTorch can be told not to compute checksums and stores 0 then.
  const bool without = e.method == 0 && e.crc == 0;
  if (!without && crc32_z(0, reinterpret_cast<const Bytef*>(e.contents.data()), e.contents.size()) != e.crc)
    throw Error(str(where_, ": zip entry '", name, "': its checksum is wrong: the file is damaged"));
  e.checked = true;
  return e.contents;
}

void ZipArchive::inflate(Entry& e, const std::string& name) {
  const auto refuse = [&](const auto&... what) { throw Error(str(where_, ": zip entry '", name, "': ", what...)); };
  if (e.size > budget_)
    refuse("inflates to ", e.size, " bytes, and ", bytes_.size(), " bytes of archive may give ", budget_,
           " more (a zip bomb?)");
  if (e.size > 0xffffffffu || e.stored > 0xffffffffu) refuse("a deflated entry of 4 GiB or more");
  budget_ -= e.size;
  std::vector<std::byte>& out = inflated_.emplace_back(std::size_t(e.size) + 1);  // one more: a longer stream shows itself
  z_stream z{};
  BF_CHECK(inflateInit2(&z, -MAX_WBITS) == Z_OK, "zlib");
  z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes_.data() + e.begin));
  z.avail_in = uInt(e.stored);
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = uInt(std::min<std::uint64_t>(e.size + 1, 0xffffffffu));
  const int status = ::inflate(&z, Z_FINISH);
  const bool whole = status == Z_STREAM_END && z.total_out == e.size && z.avail_in == 0;
  inflateEnd(&z);
  if (!whole) refuse("its deflated bytes do not give the ", e.size, " bytes that it claims");
  e.contents = {out.data(), std::size_t(e.size)};
}

// ---- writing

void write_zip(const std::filesystem::path& archive, const std::string& name, std::string_view text) {
  BF_CHECK(text.size() < 0xffff0000u, archive.string(), ": ", text.size(), " bytes are too many for a plain zip");
  const std::string body = deflated(text);
  const auto crc = std::uint32_t(crc32(0, reinterpret_cast<const Bytef*>(text.data()), uInt(text.size())));
  // What the local header and the central directory have in common: versions, method 8, no date, sizes, name.
  std::string common;
  put(common, 20, 2), put(common, 0, 2), put(common, 8, 2), put(common, 0, 2), put(common, 0x21, 2);  // 1 January 1980
  put(common, crc, 4), put(common, std::uint32_t(body.size()), 4), put(common, std::uint32_t(text.size()), 4);
  put(common, std::uint32_t(name.size()), 2), put(common, 0, 2);

  std::string zip, directory;
  put(zip, 0x04034b50, 4);
  zip += common + name + body;
  put(directory, 0x02014b50, 4), put(directory, 20, 2);
  directory += common;
  put(directory, 0, 2), put(directory, 0, 2), put(directory, 0, 2), put(directory, 0, 4), put(directory, 0, 4);
  directory += name;
  const auto start = std::uint32_t(zip.size());
  zip += directory;
  put(zip, 0x06054b50, 4), put(zip, 0, 2), put(zip, 0, 2), put(zip, 1, 2), put(zip, 1, 2);
  put(zip, std::uint32_t(directory.size()), 4), put(zip, start, 4), put(zip, 0, 2);
  write_file_atomically(archive, zip);
}

}  // namespace bonafide
