// tests/host/test_npy.cpp — .npy files: the bytes that numpy writes, and every way in which one can be bad.
#include "data/npy.h"

#include <cmath>

#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using test::expect_throw;
using test::TempFolder;

namespace {

std::string floats(std::initializer_list<float> v) { return {reinterpret_cast<const char*>(v.begin()), v.size() * 4}; }
std::string doubles(std::initializer_list<double> v) { return {reinterpret_cast<const char*>(v.begin()), v.size() * 8}; }

// A file with this header, as it stands, and these bytes.
std::string file(const std::string& header, const std::string& data, char major = 1) {
  std::string s = "\x93NUMPY";
  s += major, s += '\0';
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) s += char(header.size() >> (8 * i));
  return s + header + data;
}
std::string good(const std::string& descr, const std::string& shape, const std::string& data) {
  return file("{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }\n", data);
}
NpyArray parse(const std::string& s) { return parse_npy(std::as_bytes(std::span(s)), "a.npy"); }
void refused(const std::string& why, const std::string& s) {
  expect_throw(why, [&] { parse(s); });
}

}  // namespace

TEST_CASE("npy: writes what numpy.save writes") {
  TempFolder dir;
  const std::vector<float> v{1, -2.5, 0.125};
  write_npy(dir / "a.npy", {3}, v);
  // numpy.save(f, numpy.array([1, -2.5, .125], 'f4'))
  const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }";
  CHECK(read_file(dir / "a.npy") == std::string("\x93NUMPY\x01\x00v\x00", 10) + header + std::string(117 - header.size(), ' ') + "\n" +
                                        floats({1, -2.5, 0.125}));
  const NpyArray a = read_npy(dir / "a.npy");
  CHECK(a.shape == std::vector<std::int64_t>{3});
  CHECK(a.values == v);

  write_npy(dir / "b.npy", {1, 3}, v);
  CHECK(read_file(dir / "b.npy").find("'shape': (1, 3), }") != std::string::npos);
  CHECK(read_npy(dir / "b.npy").shape == std::vector<std::int64_t>{1, 3});
  write_npy(dir / "c.npy", {0, 7}, Span<const float>());
  CHECK(read_npy(dir / "c.npy").values.empty());
  write_npy(dir / "d.npy", {}, Span<const float>(v.data(), 1));
  CHECK(read_npy(dir / "d.npy").shape.empty());
  CHECK(read_npy(dir / "d.npy").values == std::vector<float>{1});
  expect_throw("3 values for shape (4)", [&] { write_npy(dir / "e.npy", {4}, v); });
  CHECK(!std::filesystem::exists(dir / "e.npy"));
}

TEST_CASE("npy: f8 becomes f4, what no float can hold an infinity") {
  const NpyArray a = parse(good("<f8", "(2, 3)", doubles({1, 1e300, -1e300, 0.1, NAN, 3.4028234663852886e38})));
  CHECK(a.shape == std::vector<std::int64_t>{2, 3});
  CHECK(a.values[0] == 1);
  CHECK((std::isinf(a.values[1]) && a.values[1] > 0));
  CHECK((std::isinf(a.values[2]) && a.values[2] < 0));
  CHECK(a.values[3] == 0.1f);
  CHECK(std::isnan(a.values[4]));
  CHECK(a.values[5] == 3.4028234663852886e38f);
}

TEST_CASE("npy: version 2.0, double quotes, keys in any order, no comma at the end") {
  const NpyArray a = parse(file("{\"shape\":(2,),\"fortran_order\":False,\"descr\":\"<f4\"}", floats({3, 4}), 2));
  CHECK(a.values == std::vector<float>{3, 4});
}

TEST_CASE("npy: whatever else is refused") {
  const std::string two = floats({1, 2});
  refused("a.npy: is no .npy file", "PK\x03\x04");
  refused("a.npy: is no .npy file", "");
  refused("is cut short: 6 bytes", "\x93NUMPY");
  refused(".npy version 3.0, expected 1.0 or 2.0", file("{}", "", 3));
  refused("is cut short: its header takes 300 bytes", std::string("\x93NUMPY\x01\x00\x2c\x01{}", 12));
  refused("is cut short: its header takes 4294967295 bytes", std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14));
  refused("type '>f4', expected '<f4' or '<f8'", good(">f4", "(2,)", two));
  refused("type '|O'", good("|O", "(2,)", two));
  refused("type '<i8'", good("<i8", "(1,)", two));
  refused("a record type", file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", two));
  refused("Fortran order", file("{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}", two));
  refused("neither True nor False", file("{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", two));
  refused("'shape' appears twice", file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'shape': (2,)}", two));
  refused("'descr' appears twice", file("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", two));
  refused("'fortran_order' appears twice", file("{'descr': '<f4', 'fortran_order': False, 'fortran_order': False, 'shape': (2,)}", two));
  refused("an unknown key 'x'", file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", two));
  refused("expected descr, fortran_order and shape", file("{'descr': '<f4', 'shape': (2,)}", two));
  refused("expected descr, fortran_order and shape", file("{}", two));
  refused("something follows the dictionary", file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", two));
  refused("the shape is no tuple", good("<f4", "(2)", two));
  refused("no size", good("<f4", "(-2,)", two));
  refused("no size", good("<f4", "(x,)", two));
  refused("expected a comma in the shape", good("<f4", "(2L,)", two));
  refused("expected a comma in the shape", good("<f4", "(1 2)", two));
  refused("no size", good("<f4", "(99999999999999999999,)", two));
  refused("expected '('", good("<f4", "2", two));
  refused("expected a text in quotes", file("{'descr", two));
  refused("expected ':'", file("{'descr' '<f4'}", two));
  refused("expected ','", file("{'descr': '<f4' 'shape': (2,)}", two));
  refused("expected '{'", file("", two));
  refused("is cut short: after its header it has 8 bytes, its shape takes 12", good("<f4", "(3,)", two));
  refused("is cut short: after its header it has 8 bytes, its shape takes 16", good("<f8", "(2,)", two));
  refused("is too long: after its header it has 8 bytes, its shape takes 4", good("<f4", "()", two));
  refused("more than any file has", good("<f4", "(4611686018427387904, 4)", two));
  refused("more than any file has", good("<f4", "(9223372036854775807, 9223372036854775807, 0)", ""));
  const std::string whole = good("<f4", "(2,)", two);
  for (std::size_t n = 0; n < whole.size(); ++n) CHECK_THROWS_AS(parse(whole.substr(0, n)), Error);
}

TEST_CASE("npy: no file, a folder") {
  TempFolder dir;
  expect_throw("none.npy: cannot open: No such file", [&] { read_npy(dir / "none.npy"); });
  expect_throw("not a regular file", [&] { read_npy(dir.path()); });
}
