// data/npy.h — one array in NumPy's .npy format: a strict reader, and a writer. The published embeddings are such files.
//
// Read is what embeddings are made of: version 1.0 or 2.0, descr '<f4' or '<f8', C order. Everything else is refused with
// an Error that names the file: other types, Fortran order, pickled objects, a header that is no such dictionary, and bytes
// missing or left over. Allocates no more than the file's size.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "engine/files.h"

namespace bonafide {

struct NpyArray {
  std::vector<std::int64_t> shape;  // [] is a scalar: one value
  std::vector<float> values;        // f64 rounded; what no float can hold becomes an infinity
};

NpyArray read_npy(const std::filesystem::path& path);
NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& name);

// '<f4', C order, version 1.0: the bytes that numpy.save writes.
std::string npy_bytes(const std::vector<std::int64_t>& shape, Span<const float> values);
void write_npy(const std::filesystem::path& path, const std::vector<std::int64_t>& shape, Span<const float> values,
               Durable durable = Durable::at_once);

}  // namespace bonafide
