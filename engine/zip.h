// engine/zip.h — zip archives: a reader that trusts nothing, and a writer of archives with one deflated file.
//
// Format: PKWARE APPNOTE 6.3, zip64 included; deflate by zlib.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base.h"

namespace bonafide {

// Writes `archive` (atomically) with one entry `name` at its root. No dates: the same text gives the same bytes. At most
// 4 GiB.
void write_zip(const std::filesystem::path& archive, const std::string& name, std::string_view text);

// An archive in memory. Entries are found through the central directory; where it and the entries themselves disagree,
// where entries overlap (the trick of the worst zip bombs), appear twice, are encrypted or reach outside the file, the
// archive is refused. Names are labels: nothing is ever written under them.
// Throws an Error that begins with `where` and names the entry.
class ZipArchive {
 public:
  // All that is inflated takes at most this many times the archive's own size (and 1 MiB).
  static constexpr std::uint64_t kMaxInflation = 32;

  ZipArchive(std::span<const std::byte> bytes, std::string where);
  ZipArchive(ZipArchive&&) = default;
  ZipArchive& operator=(ZipArchive&&) = default;

  const std::vector<std::string>& names() const { return names_; }  // as the directory lists them
  bool contains(std::string_view name) const { return entries_.find(name) != entries_.end(); }
  // An entry's contents, checked against its CRC-32 (unless that is 0 and the entry stored: never computed): a part of `bytes` where it is stored, memory of this object where it
  // is deflated. Inflated once.
  std::span<const std::byte> read(std::string_view name);

 private:
  struct Entry {
    std::uint64_t begin = 0, stored = 0, size = 0;  // begin: of the data; stored: bytes in the archive
    std::uint32_t crc = 0;
    int method = 0;
    bool checked = false;
    std::span<const std::byte> contents;
  };
  void inflate(Entry&, const std::string& name);

  std::span<const std::byte> bytes_;
  std::string where_;
  std::uint64_t budget_;  // bytes that may still be inflated
  std::vector<std::string> names_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::list<std::vector<std::byte>> inflated_;
};

}  // namespace bonafide
