// tests/fuzz/npy.cpp — parse_npy: what it accepts has as many values as its shape says, and reads back when written.
#include "data/npy.h"

#include <bit>

#include "tests/fuzz/target.h"

namespace bonafide::fuzz {
namespace {

NpyArray parse(const std::string& bytes) { return parse_npy(std::as_bytes(std::span(bytes)), "fuzz.npy"); }

void run(const std::string& input) {
  NpyArray a;
  if (!accepts([&] { a = parse(input); })) return;
  std::int64_t n = 1;
  for (const std::int64_t d : a.shape) n *= d;
  must(n == std::int64_t(a.values.size()), n, " elements of shape, ", a.values.size(), " values");
  must(a.values.size() * 4 <= input.size(), "more values than the file has");
  if (a.shape.size() > 1000) return;  // a header that long is not written
  const NpyArray b = parse(npy_bytes(a.shape, a.values));
  must(b.shape == a.shape && b.values.size() == a.values.size(), "another shape when read again");
  for (std::size_t i = 0; i < a.values.size(); ++i)
    must(std::bit_cast<std::uint32_t>(a.values[i]) == std::bit_cast<std::uint32_t>(b.values[i]), "another value when read again");
}

std::string npy(const std::string& header, const std::string& data, char major = 1) {
  std::string s = "\x93NUMPY";
  s += major, s += '\0';
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) s += char(header.size() >> (8 * i));
  return s + header + data;
}

const Register target("npy", run,
                      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }      \n", "\0\0\x80\x3f" "abcd"),
                       npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2)}", std::string(16, '\x7f'), 2),
                       npy("{\"shape\": (), \"fortran_order\": False, \"descr\": \"<f4\"}", "abcd"),
                       npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807), }\n", ""),
                       npy("{'descr': '<f4', 'fortran_order': True, 'shape': (4611686018427387904, 4), }\n", "abcd"),
                       npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (2L,), }\n", ""), npy("{}", "", 3)});

}  // namespace
}  // namespace bonafide::fuzz
