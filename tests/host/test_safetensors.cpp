// tests/host/test_safetensors.cpp — what is written is read back bit for bit; a hostile file is refused by name.
#include "engine/safetensors.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "engine/files.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

template <class T>
Span<const T> values(const std::vector<T>& v) {
  return v;
}

// A file made by hand: length (the header's own unless given), header, data.
std::string raw(const std::string& header, const std::string& data, std::int64_t length = -1) {
  const std::uint64_t n = length < 0 ? header.size() : std::uint64_t(length);
  return std::string(reinterpret_cast<const char*>(&n), 8) + header + data;
}

void refuses(const TempFolder& folder, const std::string& bytes, const std::string& part) {
  const fs::path path = folder.path() / "hostile.safetensors";
  write_file_atomically(path, bytes);
  expect_throw(part, [&] { SafetensorsFile{path}; });
  expect_throw("hostile.safetensors: ", [&] { SafetensorsFile{path}; });
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape,
                  const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

}  // namespace

TEST_CASE("safetensors: every type, shape and metadata come back bit for bit") {
  TempFolder folder;
  const fs::path path = folder.path() / "a.safetensors";
  const std::vector<std::uint8_t> u = {0, 1, 255};
  const std::vector<float> f = {1.5f, -0.0f, std::nanf(""), 3e38f, 1e-42f, 7};
  const std::vector<bf16> b = {bf16(1.f), bf16(-2.5f)};
  const std::vector<std::int64_t> l = {INT64_MIN, -1};
  const std::vector<std::int32_t> i = {INT32_MIN};
  const std::vector<float> none;
  // Narrow types first: the writer must move the wide ones ahead, so that every array is aligned.
  write_safetensors(path,
                    std::vector{stored_array("bytes", {3}, values(u)), stored_array("half", {2, 1}, values(b)),
                                stored_array("weights", {2, 3}, values(f)), stored_array("scalar", {}, values(i)),
                                stored_array("empty", {0, 4}, values(none)), stored_array("long", {2}, values(l))},
                    {{"bonafide.format", "1"}, {"quote", "a\"b\n\xc3\xa9"}, {"broken", "\xff"}});
  const SafetensorsFile file(path);
  CHECK(file.metadata("bonafide.format", "") == "1");
  CHECK(file.metadata("quote", "") == "a\"b\n\xc3\xa9");
  CHECK(file.metadata("absent", "otherwise") == "otherwise");
  std::string order;
  for (const StoredArray& a : file.arrays()) {
    order += a.name + " ";
    CHECK(reinterpret_cast<std::uintptr_t>(a.bytes.data()) % std::uintptr_t(size_of(a.type)) == 0);
  }
  CHECK(order == "long weights scalar empty half bytes ");
  CHECK(file.at("weights").shape == std::vector<std::int64_t>{2, 3});
  CHECK(file.at("scalar").shape.empty());
  CHECK(file.read<std::int64_t>("long") == l);
  CHECK(file.read<std::int32_t>("scalar") == i);
  CHECK(file.read<std::uint8_t>("bytes") == u);
  CHECK(file.read<bf16>("half") == b);
  CHECK(file.read<float>("half") == std::vector<float>{1, -2.5f});
  CHECK(file.read<float>("empty").empty());
  const auto back = file.read<float>("weights");
  CHECK(std::memcmp(back.data(), f.data(), f.size() * 4) == 0);
  CHECK(file.find("nothing") == nullptr);
  expect_throw("no tensor 'nothing' (it has 6)", [&] { file.at("nothing"); });
  expect_throw("tensor 'bytes': is U8, expected F32", [&] { file.read<float>("bytes"); });
  expect_throw("tensor 'weights': is F32, expected BF16", [&] { file.read<bf16>("weights"); });
  std::vector<float> five(5);
  expect_throw("tensor 'weights': has 6 elements [2, 3], expected 5", [&] { file.read<float>("weights", five); });
}

TEST_CASE("safetensors: the bytes are the published format") {
  TempFolder folder;
  const fs::path path = folder.path() / "b.safetensors";
  const std::vector<std::uint8_t> u = {7, 9};
  write_safetensors(path, std::vector{stored_array("x", {2}, values(u))}, {{"k", "v"}});
  std::string header = R"({"__metadata__":{"k":"v"},"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  CHECK(read_file(path) == raw(header, "\x07\x09"));
}

TEST_CASE("safetensors: half precision converts exactly; an unaligned array reads the same") {
  TempFolder folder;
  const fs::path path = folder.path() / "h.safetensors";
  const std::uint16_t half[] = {0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x0400, 0x7c00, 0xfc00, 0x7e00};
  const float want[] = {0, -0.f, 1, -2, 65504, 0x1p-24f, 1023 * 0x1p-24f, 0x1p-14f, INFINITY, -INFINITY};
  const std::string data(reinterpret_cast<const char*>(half), sizeof half);
  write_file_atomically(
      path,
      raw("{" + entry("pad", "U8", "[1]", "[0,1]") + "," + entry("h", "F16", "[11]", "[1,23]") + "}", "." + data));
  const auto got = SafetensorsFile(path).read<float>("h");
  CHECK(std::memcmp(got.data(), want, sizeof want) == 0);
  CHECK(std::isnan(got[10]));
}

TEST_CASE("safetensors: hostile files are refused, naming file and tensor") {
  TempFolder folder;
  const std::string x = entry("x", "F32", "[2]", "[0,8]"), d8(8, '\0'), d16(16, '\0');
  write_file_atomically(folder.path() / "good.safetensors", raw("{" + x + "}  ", d8));
  CHECK(SafetensorsFile(folder.path() / "good.safetensors").arrays().size() == 1);

  expect_throw("cannot open: No such file", [&] { SafetensorsFile{folder.path() / "absent"}; });
  expect_throw("not a regular file", [&] { SafetensorsFile{folder.path()}; });
  refuses(folder, "", "0 bytes are too few");
  refuses(folder, "1234567", "7 bytes are too few");
  // the length of the header
  refuses(folder, raw("{" + x + "}", "", 1000), "truncated: the header takes 1000 bytes");
  refuses(folder, raw("{}", "", 3), "truncated: the header takes 3 bytes, the file has 2");
  refuses(folder, raw("{" + x + "}", d8, 100'000'001), "a header of 100000001 bytes exceeds the limit");
  refuses(folder, raw("{" + x + "}", d8, INT64_MAX), "exceeds the limit");
  refuses(folder, raw("", d8), "does not start with '{'");
  refuses(folder, raw("", ""), "does not start with '{'");
  refuses(folder, raw(" {" + x + "}", d8), "does not start with '{'");
  refuses(folder, raw("{" + x, d8), "header is not JSON");
  refuses(folder, raw("{" + x + "}}", d8), "header is not JSON");
  refuses(folder, raw("{\"\xff\":1}", d8), "header is not JSON");
  refuses(folder, raw("{\"x\":" + std::string(100000, '['), ""), "nested deeper");
  // duplicate keys, at every level
  refuses(folder, raw("{" + x + "," + x + "}", d8), "header: 'x' appears twice");
  refuses(folder, raw(R"({"x":{"dtype":"F32","dtype":"U8","shape":[2],"data_offsets":[0,8]}})", d8),
          "'dtype' appears twice");
  refuses(folder, raw(R"({"__metadata__":{"a":"1","a":"2"}})", ""), "'a' appears twice");
  // metadata
  refuses(folder, raw(R"({"__metadata__":{"a":1}})", ""), "__metadata__: 'a' is not a string");
  refuses(folder, raw(R"({"__metadata__":[]})", ""), "__metadata__ is not an object");
  // one tensor
  const auto one = [&](const std::string& e, const std::string& part) {
    refuses(folder, raw("{" + e + "}", d8), "tensor 'x': " + part);
  };
  one("\"x\":1", "expected exactly dtype, shape and data_offsets");
  one(R"("x":{"dtype":"F32","shape":[2]})", "expected exactly dtype, shape and data_offsets");
  one(R"("x":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1})", "expected exactly");
  one(R"("x":{"dtype":3,"shape":[2],"data_offsets":[0,8]})", "dtype is not a string");
  one(entry("x", "F64", "[1]", "[0,8]"), "dtype F64 is not one of");
  one(entry("x", "F32", "2", "[0,8]"), "shape is not a list");
  one(entry("x", "F32", "[-2]", "[0,8]"), "shape [-2] has an entry that is not a size");
  one(entry("x", "F32", "[2.0]", "[0,8]"), "shape [2.0] has an entry that is not a size");
  one(entry("x", "F32", "[4611686018427387904,4]", "[0,8]"), "shape [4611686018427387904,4] is too large");
  one(entry("x", "F32", "[18446744073709551615]", "[0,8]"), "shape [18446744073709551615] is too large");
  one(entry("x", "F32", "[2]", "[0]"), "data_offsets [0] are not two positions");
  one(entry("x", "F32", "[2]", "[-8,0]"), "data_offsets [-8,0] are not two positions");
  one(entry("x", "F32", "[2]", "[8,0]"), "data_offsets [8,0] hold");
  one(entry("x", "F32", "[3]", "[0,8]"), "data_offsets [0,8] hold 8 bytes, but F32 [3] takes 12");
  one(entry("x", "BF16", "[2]", "[0,8]"), "data_offsets [0,8] hold 8 bytes, but BF16 [2] takes 4");
  one(entry("x", "F32", "[]", "[0,8]"), "data_offsets [0,8] hold 8 bytes, but F32 [] takes 4");
  // how the tensors lie together
  one(entry("x", "F32", "[3]", "[0,12]"), "ends at byte 12 of 8 (truncated file?)");
  one(entry("x", "F32", "[1]", "[4,8]"), "starts at byte 4, expected 0 (a hole before it)");
  refuses(folder, raw("{" + x + "}", d8 + "."), "1 bytes after the last tensor belong to nothing");
  refuses(folder, raw("{" + x + "," + entry("y", "F32", "[2]", "[4,12]") + "}", d16),
          "tensor 'y': starts at byte 4, expected 8 (overlaps");
  refuses(folder, raw("{" + x + "," + entry("y", "F32", "[2]", "[0,8]") + "}", d8),
          "tensor 'y': starts at byte 0, expected 8 (overlaps");
  refuses(folder, raw("{" + x + "," + entry("y", "F32", "[1]", "[12,16]") + "}", d16),
          "tensor 'y': starts at byte 12, expected 8 (a hole");
}

TEST_CASE("safetensors: no prefix of a good file is accepted") {
  TempFolder folder;
  const fs::path path = folder.path() / "whole.safetensors";
  const std::vector<float> f = {1, 2, 3, 4, 5};
  write_safetensors(path, std::vector{stored_array("x", {5}, values(f)), stored_array("y", {1, 5}, values(f))});
  const std::string whole = read_file(path);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    write_file_atomically(path, whole.substr(0, n));
    CHECK_THROWS_AS(SafetensorsFile{path}, Error);
  }
}

TEST_CASE("safetensors: a program whose standard input is closed can read too") {  // the file becomes descriptor 0
  TempFolder folder;
  const std::vector<float> f = {1};
  write_safetensors(folder / "x.safetensors", std::vector{stored_array("x", {1}, values(f))});
  const int kept = ::dup(0);
  ::close(0);
  CHECK(SafetensorsFile(folder / "x.safetensors").find("x"));
  if (kept >= 0) ::dup2(kept, 0), ::close(kept);
}

TEST_CASE("safetensors: a file in memory is read and refused like one on the disk") {
  const std::string x = entry("x", "U8", "[2]", "[0,2]"), good = raw("{" + x + "}", "\x07\x09");
  std::vector<std::uint8_t> values;
  {
    std::string bytes = good;
    const SafetensorsFile file(std::as_bytes(std::span(bytes)), "memory");
    bytes.assign(bytes.size(), 'x');  // the file has a copy of its own
    CHECK(file.path() == "memory");
    values = file.read<std::uint8_t>("x");
  }
  CHECK(values == std::vector<std::uint8_t>{7, 9});
  for (std::size_t n = 0; n < good.size(); ++n)
    expect_throw("memory: ", [&] { SafetensorsFile(std::as_bytes(std::span(good).first(n)), "memory"); });
}

TEST_CASE("safetensors: names are only names, and a pipe is not waited for") {
  TempFolder folder;
  const fs::path path = folder / "names.safetensors";
  const std::string names[] = {"../../up", "/etc/passwd", "a/b", "C:\\\\x", "", std::string("nul\\u0000x"), "__proto__"};
  std::string header = "{";
  for (std::size_t i = 0; i < std::size(names); ++i)
    header += (i ? "," : "") + entry(names[i], "U8", "[1]", str("[", i, ",", i + 1, "]"));
  write_file_atomically(path, raw(header + "}", std::string(std::size(names), 'v')));
  const SafetensorsFile file(path);
  CHECK(file.arrays().size() == std::size(names));
  CHECK(file.read<std::uint8_t>("../../up") == std::vector<std::uint8_t>{'v'});
  CHECK(file.read<std::uint8_t>(std::string_view("nul\0x", 5)).size() == 1);
  CHECK(file.find("nul") == nullptr);
  const fs::path pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  expect_throw("pipe: not a regular file", [&] { SafetensorsFile{pipe}; });
}

TEST_CASE("safetensors: the writer refuses what no reader would take") {
  TempFolder folder;
  const fs::path path = folder.path() / "w.safetensors";
  const std::vector<float> f = {1, 2};
  const auto write = [&](std::vector<StoredArray> a) { write_safetensors(path, a); };
  expect_throw("used twice", [&] { write({stored_array("x", {2}, values(f)), stored_array("x", {2}, values(f))}); });
  expect_throw("reserved", [&] { write({stored_array("__metadata__", {2}, values(f))}); });
  expect_throw("F32 [3] with 8 bytes", [&] { write({stored_array("x", {3}, values(f))}); });
  CHECK_FALSE(fs::exists(path));
}
