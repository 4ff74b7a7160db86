// engine/safetensors.h — named arrays in one file: a reader that trusts nothing and a writer that never leaves half a
// file.
//
// Format (huggingface/safetensors): u64 little-endian length of the header, a JSON header
// {"__metadata__": {string: string}, name: {"dtype", "shape", "data_offsets": [begin, end]}}, then the bytes. Offsets
// count from the end of the header; taken in order of `begin`, the arrays cover the data without holes or overlaps.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base.h"
#include "engine/bf16.h"

namespace bonafide {

enum class StoredType : std::uint8_t { f32, bf16, f16, i32, i64, u8 };
std::int64_t size_of(StoredType);
const char* name_of(StoredType);  // as the file spells it: "F32", "BF16", …
template <class T>
constexpr StoredType stored_type_of() {
  if constexpr (std::is_same_v<T, float>)
    return StoredType::f32;
  else if constexpr (std::is_same_v<T, bf16>)
    return StoredType::bf16;
  else if constexpr (std::is_same_v<T, std::int32_t>)
    return StoredType::i32;
  else if constexpr (std::is_same_v<T, std::int64_t>)
    return StoredType::i64;
  else {
    static_assert(std::is_same_v<T, std::uint8_t>, "no StoredType for this C++ type");
    return StoredType::u8;
  }
}

// One array, in a file or about to be. Does not own its bytes, unless it has an owner.
struct StoredArray {
  std::string name;
  StoredType type = StoredType::f32;
  std::vector<std::int64_t> shape;  // [] is a scalar: one element
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner = nullptr;

  std::int64_t numel() const { return std::int64_t(bytes.size()) / size_of(type); }
};
std::string shape_text(std::span<const std::int64_t> shape);  // "[96, 3, 4, 4]"

template <class T>
StoredArray stored_array(std::string name, std::vector<std::int64_t> shape, Span<const T> values) {
  return {std::move(name), stored_type_of<T>(), std::move(shape),
          std::as_bytes(std::span(values.ptr, std::size_t(values.len))), nullptr};
}

using Metadata = std::map<std::string, std::string>;

// An open file, mapped into memory. Copies share the mapping; the bytes of arrays() live as long as any copy.
// Throws an Error naming the file, and the tensor where there is one, for everything the format forbids.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);
  // The same from memory (copied); `name` is what errors and path() call it.
  SafetensorsFile(std::span<const std::byte> bytes, const std::string& name);

  const std::filesystem::path& path() const { return path_; }
  const Metadata& metadata() const { return metadata_; }
  std::string metadata(const std::string& key, const std::string& otherwise) const;
  const std::vector<StoredArray>& arrays() const { return arrays_; }  // in the order of their bytes
  const StoredArray* find(std::string_view name) const;               // nullptr if there is none
  const StoredArray& at(std::string_view name) const;                 // throws, naming the file

  // Copies one array out. `out` must have its number of elements. Reading as float also accepts BF16 and F16.
  // Unaligned arrays (legal, if rare) are read all the same.
  template <class T>
  void read(std::string_view name, Span<T> out) const {
    copy_out(at(name), stored_type_of<T>(), out.ptr, out.len);
  }
  template <class T>
  std::vector<T> read(std::string_view name) const {
    const StoredArray& a = at(name);
    std::vector<T> v(std::size_t(a.numel()));
    copy_out(a, stored_type_of<T>(), v.data(), std::int64_t(v.size()));
    return v;
  }

 private:
  void parse(std::uint64_t size);  // of mapping_
  void copy_out(const StoredArray&, StoredType as, void* out, std::int64_t n) const;

  std::filesystem::path path_;
  std::shared_ptr<const std::byte> mapping_;
  Metadata metadata_;
  std::vector<StoredArray> arrays_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
};

// Writes under a temporary name in the same folder, syncs, renames: after an error, or a loss of power, `path` is what
// it was before. Arrays keep the given order, except that wider types come first so that every array is aligned.
void write_safetensors(const std::filesystem::path& path, std::span<const StoredArray> arrays,
                       const Metadata& metadata = {});

}  // namespace bonafide
