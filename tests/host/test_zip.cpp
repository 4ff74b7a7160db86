// tests/host/test_zip.cpp — archives: what is written is read back; overlapping, lying and exploding ones are refused.
#include "engine/zip.h"

#include <zlib.h>

#include <algorithm>

#include "engine/files.h"
#include "tests/support/pickles.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

std::string text_of(std::span<const std::byte> b) { return {reinterpret_cast<const char*>(b.data()), b.size()}; }

std::uint32_t crc_of(const std::string& s) { return std::uint32_t(crc32(0, reinterpret_cast<const Bytef*>(s.data()), uInt(s.size()))); }

std::string deflated(const std::string& s) {
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, s.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(s.data())), z.avail_in = uInt(s.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data()), z.avail_out = uInt(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

// One entry, every number of it free to lie.
struct Entry {
  std::string name, data;  // as stored
  std::uint32_t crc, size;
  std::uint16_t method = 0, flags = 0;
  std::string local_name = name;
  std::int64_t at = -1;  // of its local header; -1: where it is
  std::uint32_t stored = std::uint32_t(data.size());
  std::string extra = {};  // in the directory
};
Entry stored(const std::string& name, const std::string& data) { return {name, data, crc_of(data), std::uint32_t(data.size())}; }
Entry packed(const std::string& name, const std::string& data) { return {name, deflated(data), crc_of(data), std::uint32_t(data.size()), 8}; }

std::string archive(const std::vector<Entry>& entries, std::size_t count = 0) {
  std::string zip, directory;
  for (const Entry& e : entries) {
    const auto at = std::uint32_t(e.at < 0 ? std::int64_t(zip.size()) : e.at);
    const std::string common = little(e.flags) + little(e.method) + little(0) + little(e.crc) + little(e.stored) + little(e.size);
    zip += "PK\3\4" + little(std::uint16_t(20)) + common + little(std::uint16_t(e.local_name.size())) + little(std::uint16_t(0)) + e.local_name + e.data;
    directory += "PK\1\2" + little(20) + common + little(std::uint16_t(e.name.size())) + little(std::uint16_t(e.extra.size())) +
                 std::string(10, '\0') + little(at) + e.name + e.extra;
  }
  const auto begin = std::uint32_t(zip.size());
  const auto n = std::uint16_t(count ? count : entries.size());
  return zip + directory + "PK\5\6" + little(0) + little(n) + little(n) + little(std::uint32_t(directory.size())) + little(begin) + little(std::uint16_t(0));
}

void refuses(const std::string& bytes, const std::string& part) {
  const auto all = [&] {
    ZipArchive zip(as_bytes(bytes), "z");
    for (const std::string& name : zip.names()) zip.read(name);
  };
  expect_throw(part, all);
  expect_throw("z: ", all);
}

}  // namespace

TEST_CASE("zip: what write_zip writes is read back; a stored entry is a part of the input") {
  const TempFolder folder;
  const std::string content = "a line\nand another line\n";
  write_zip(folder / "a.zip", "submission.txt", content);
  const std::string bytes = read_file(folder / "a.zip");
  ZipArchive zip(as_bytes(bytes), "a.zip");
  CHECK(zip.names() == std::vector<std::string>{"submission.txt"});
  CHECK(text_of(zip.read("submission.txt")) == content);
  CHECK(zip.read("submission.txt").data() == zip.read("submission.txt").data());  // inflated once
  CHECK(!zip.contains("other"));
  expect_throw("a.zip: the archive has no entry 'other'", [&] { zip.read("other"); });

  const std::string two = archive({stored("folder/x", "1234"), packed("y", content), stored("empty", "")});
  ZipArchive other(as_bytes(two), "two");
  CHECK(other.names() == std::vector<std::string>{"folder/x", "y", "empty"});
  CHECK(text_of(other.read("folder/x")) == "1234");
  CHECK(static_cast<const void*>(other.read("folder/x").data()) == two.data() + 30 + 8);
  CHECK(text_of(other.read("y")) == content);
  CHECK(other.read("empty").empty());
  const std::string none = archive({});
  CHECK(ZipArchive(as_bytes(none), "none").names().empty());
  const std::string commented = two.substr(0, two.size() - 2) + little(std::uint16_t(7)) + "comment";
  CHECK(ZipArchive(as_bytes(commented), "commented").names().size() == 3);
}

TEST_CASE("zip: archives that lie are refused by name") {
  const Entry x = stored("x", "1234");
  const auto with = [&](auto change) {
    Entry e = x;
    change(e);
    return archive({stored("first", "0000"), e});
  };
  refuses("PK", "2 bytes are too few");
  refuses(std::string(100, 'P'), "no end of a zip archive");
  refuses(archive({x}) + "tail", "no end of a zip archive");
  refuses(with([](Entry& e) { e.crc ^= 1; }), "zip entry 'x': its checksum is wrong");
  refuses(with([](Entry& e) { e.data = "1235"; }), "zip entry 'x': its checksum is wrong");
  refuses(with([](Entry& e) { e.size = 5; }), "zip entry 1 'x': stores 4 bytes and claims 5");
  refuses(with([](Entry& e) { e.method = 12; }), "compressed by method 12");
  refuses(with([](Entry& e) { e.flags = 1; }), "is encrypted");
  refuses(with([](Entry& e) { e.local_name = "y"; }), "its local header describes another file");
  refuses(with([](Entry& e) { e.stored = e.size = 400; }), "its 400 bytes at 39 run into the directory");
  refuses(with([](Entry& e) { e.stored = e.size = 0xfffffffe; }), "run into the directory");
  refuses(with([](Entry& e) { e.stored = 0xffffffff; }), "run into the directory");
  const auto zip64 = [](const std::string& numbers) { return little(std::uint16_t(1)) + little(std::uint16_t(numbers.size())) + numbers; };
  refuses(with([&](Entry& e) { e.stored = 0xffffffff, e.extra = zip64("1234567"); }), "lacks its zip64 sizes");
  refuses(with([&](Entry& e) { e.stored = 0xffffffff, e.extra = zip64(little(UINT64_MAX)); }), "its 18446744073709551615 bytes at 39 run into");
  refuses(with([&](Entry& e) { e.at = 0xffffffff, e.extra = zip64(little(UINT64_MAX - 10)); }), "no local header at byte 18446744073709551605");
  refuses(with([&](Entry& e) { e.extra = "xx" + little(std::uint16_t(9)) + "12"; }), "has a damaged extra field");
  const std::string right = with([&](Entry& e) { e.stored = e.size = 0xffffffff, e.extra = "zz" + little(std::uint16_t(1)) + "." + zip64(little(std::uint64_t(4)) + little(std::uint64_t(4))); });
  CHECK(text_of(ZipArchive(as_bytes(right), "z").read("x")) == "1234");
  refuses(with([](Entry& e) { e.at = 1; }), "no local header at byte 1");
  refuses(with([](Entry& e) { e.at = 0xfffffff0; }), "no local header at byte 4294967280");
  refuses(archive({x, x}), "zip entry 1 'x': is listed twice");
  refuses(archive({x}, 2), "zip entry 1: not where the directory should list it");
  // Two names for the same bytes, and an entry that swallows the next one's header.
  Entry twin = stored("y", "1234");
  twin.at = 0, twin.name = "x2", twin.local_name = "x2";
  Entry original = stored("x2", "1234");
  refuses(archive({original, twin}), "is listed twice");
  Entry wide = stored("a", "1234");
  wide.stored = wide.size = 4 + 31;
  refuses(archive({wide, stored("b", "5678")}), "zip entries 'a' and 'b' overlap");
  // the directory
  std::string moved = archive({x});
  for (const std::uint32_t at : {0u, 1u, 100u, 0xffffffffu}) {
    std::memcpy(moved.data() + moved.size() - 6, &at, 4);
    expect_throw("z: ", [&] { ZipArchive(as_bytes(moved), "z"); });
  }
}

TEST_CASE("zip: bombs are refused before they take memory, streams that lie when they end") {
  const std::string zeros(64 << 20, '\0');
  Entry bomb = packed("bomb", zeros);
  refuses(archive({bomb}), "zip entry 'bomb': inflates to 67108864 bytes");
  // Many small ones: the limit is of the whole archive.
  const std::string half(700 << 10, '\0');
  refuses(archive({packed("a", half), packed("b", half)}), "zip entry 'b': inflates to 716800 bytes");
  bomb.size = 100;  // claims little, gives much
  refuses(archive({bomb}), "do not give the 100 bytes that it claims");
  bomb = packed("x", "1234");
  bomb.size = 5;
  refuses(archive({bomb}), "do not give the 5 bytes");
  bomb.size = 3;
  refuses(archive({bomb}), "do not give the 3 bytes");
  bomb = packed("x", "1234");
  bomb.data += "!", ++bomb.stored;
  refuses(archive({bomb}), "do not give the 4 bytes");
  bomb = packed("x", std::string(1000, 'a') + "1234");
  bomb.data.resize(bomb.data.size() - 3), bomb.stored -= 3;
  refuses(archive({bomb}), "do not give the 1004 bytes");
  bomb = packed("x", "1234");
  bomb.data = "\xff\xff\xff\xff", bomb.stored = 4;
  refuses(archive({bomb}), "do not give the 4 bytes");
}

TEST_CASE("zip: an entry may inflate to the limit itself, and not to a byte more") {
  const auto zeros = [](std::size_t n) { return archive({packed("x", std::string(n, '\0'))}); };
  std::size_t limit = 1 << 20;
  for (int i = 0; i < 10; ++i) limit = zeros(limit).size() * ZipArchive::kMaxInflation + (1 << 20);
  const std::string most = zeros(limit), more = zeros(limit + 1);
  REQUIRE(most.size() * ZipArchive::kMaxInflation + (1 << 20) == limit);
  REQUIRE(more.size() == most.size());
  CHECK(ZipArchive(as_bytes(most), "z").read("x").size() == limit);
  refuses(more, "inflates to");
}
