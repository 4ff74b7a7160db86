// data/zip.cpp
#include "data/zip.h"

#include <zlib.h>

#include <vector>

#include "engine/files.h"

namespace bonafide {
namespace {

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

}  // namespace

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
