// tests/fuzz/embeddings.cpp — EmbeddingsFile: what it accepts has a name for each row, and rows that are read are of length 1.
#include "data/embeddings.h"

#include <cmath>

#include "tests/fuzz/target.h"

namespace bonafide::fuzz {
namespace {

void check(const EmbeddingsFile& f) {
  must(f.rows() == std::int64_t(f.faces().size()) && f.dimension() >= 1, f.rows(), " rows of ", f.dimension());
  must(std::int64_t(f.bytes().size()) == f.rows() * f.dimension() * 4, "vectors of another size");
  std::vector<float> v(std::size_t(f.dimension()));
  for (std::int64_t i = 0; i < f.rows(); ++i) {
    must(f.find(f.faces()[std::size_t(i)].filename) == i, "row ", i, " is not found by its name");
    if (!accepts([&] { f.read(i, v); })) continue;
    double squared = 0;
    for (const float x : v) squared += double(x) * double(x);
    must(std::abs(squared - 1) < 0.01, "a row of length ", std::sqrt(squared));
  }
}

void run(const std::string& input) {
  accepts([&] { check(EmbeddingsFile(SafetensorsFile(std::as_bytes(std::span(input)), "fuzz.safetensors"))); });
}

std::string raw(const std::string& shape, const std::string& vectors, const std::string& index, const std::string& more = {}) {
  const std::size_t n = vectors.size(), end = n + index.size();
  const std::string header = str(R"({"__metadata__":{"bonafide.embeddings":"1","embedder":"toy")", more, R"(},"embeddings":{"dtype":"F32","shape":)", shape,
                                 R"(,"data_offsets":[0,)", n, R"(]},"index":{"dtype":"U8","shape":[)", index.size(), R"(],"data_offsets":[)", n, ",", end, "]}}");
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header + vectors + index;
}

const std::string kOne("\0\0\x80\x3f", 4), kZero(4, '\0');
const Register target("embeddings", run,
                      {raw("[2,2]", kOne + kZero + kZero + kOne, "filename,subject\na,anna\n\"b, \"\"c\"\"\",\n", R"(,"dimension":"2")"),
                       raw("[1,1]", kOne, "filename,subject\na,\n"), raw("[0,3]", "", "filename,subject\n"),
                       raw("[2,1]", kOne + kOne, "filename,subject\na,\na,\n"), raw("[1,1]", "\0\0\xc0\x7f", "filename,subject\n\xff,\n")});

}  // namespace
}  // namespace bonafide::fuzz
