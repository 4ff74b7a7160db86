// engine/safetensors.cpp — see safetensors.h.
#include "engine/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/f16.h"
#include "engine/files.h"

namespace bonafide {
namespace {

using nlohmann::json;
static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the official reader's limit
constexpr std::array<const char*, 6> kNames = {"F32", "BF16", "F16", "I32", "I64", "U8"};
constexpr std::array<std::int64_t, 6> kSizes = {4, 2, 2, 4, 8, 1};

// The JSON of a header. nlohmann keeps the last of two equal keys and accepts any depth; a header may have neither.
json parse_header(const std::string& file, const char* begin, const char* end) {
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start) {
      if (depth > 2) throw Error(file + ": header: nested deeper than a tensor's shape");
      if (event == json::parse_event_t::object_start) keys.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == json::parse_event_t::key) {
      if (const auto key = value.get<std::string>(); !keys.back().insert(key).second)
        throw Error(file + ": header: '" + key + "' appears twice");
    }
    return true;
  };
  try {
    return json::parse(begin, end, watch);
  } catch (const json::exception& e) {
    throw Error(file + ": header is not JSON: " + e.what());
  }
}

// Begin and end of an array's bytes, counted from the end of the header.
struct Extent {
  std::uint64_t begin, end;
};

StoredArray parse_entry(const std::string& where, const std::string& name, const json& entry, Extent& extent) {
  const auto need = [&](bool ok, const auto&... what) {
    if (!ok) throw Error(where + str(what...));
  };
  need(entry.is_object() && entry.size() == 3 && entry.contains("dtype") && entry.contains("shape") &&
           entry.contains("data_offsets"),
       "expected exactly dtype, shape and data_offsets");
  const json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];

  StoredArray a{.name = name};
  need(dtype.is_string(), "dtype is not a string");
  const auto known = std::find(kNames.begin(), kNames.end(), dtype.get<std::string>());
  need(known != kNames.end(), "dtype ", dtype.get<std::string>(), " is not one of F32 BF16 F16 I32 I64 U8");
  a.type = StoredType(known - kNames.begin());

  need(shape.is_array(), "shape is not a list");
  std::int64_t bytes = size_of(a.type);
  for (const json& d : shape) {
    need(d.is_number_unsigned(), "shape ", shape.dump(), " has an entry that is not a size");
    const auto n = d.get<std::uint64_t>();
    need(n <= std::uint64_t(INT64_MAX) && !__builtin_mul_overflow(bytes, std::int64_t(n), &bytes), "shape ",
         shape.dump(), " is too large");
    a.shape.push_back(std::int64_t(n));
  }

  need(offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() && offsets[1].is_number_unsigned(),
       "data_offsets ", offsets.dump(), " are not two positions");
  extent = {offsets[0].get<std::uint64_t>(), offsets[1].get<std::uint64_t>()};
  need(extent.begin <= extent.end && extent.end - extent.begin == std::uint64_t(bytes), "data_offsets ", offsets.dump(),
       " hold ", std::int64_t(extent.end - extent.begin), " bytes, but ", dtype.get<std::string>(), " ",
       shape_text(a.shape), " takes ", bytes);
  return a;
}

}  // namespace

std::int64_t size_of(StoredType t) { return kSizes[std::size_t(t)]; }
const char* name_of(StoredType t) { return kNames[std::size_t(t)]; }

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string s = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) s += (i ? ", " : "") + std::to_string(shape[i]);
  return s + "]";
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : path_(path) {
  const MappedFile file = map_file(path);
  if (file.bytes.size() < 8)
    throw Error(str(path.string(), ": ", file.bytes.size(), " bytes are too few for a safetensors file"));
  mapping_ = file.owner;
  parse(file.bytes.size());
}

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, const std::string& name) : path_(name) {
  if (bytes.size() < 8) throw Error(str(name, ": ", bytes.size(), " bytes are too few for a safetensors file"));
  auto* copy = new std::byte[bytes.size()];
  mapping_ = {copy, std::default_delete<const std::byte[]>()};
  std::memcpy(copy, bytes.data(), bytes.size());
  parse(bytes.size());
}

void SafetensorsFile::parse(std::uint64_t size) {
  const std::string file = path_.string();
  std::uint64_t header = 0;
  std::memcpy(&header, mapping_.get(), 8);
  if (header > kMaxHeaderBytes)
    throw Error(str(file, ": a header of ", header, " bytes exceeds the limit of ", kMaxHeaderBytes,
                    " (is this a safetensors file?)"));
  if (header > size - 8)
    throw Error(
        str(file, ": truncated: the header takes ", header, " bytes, the file has ", size - 8, " after its length"));
  const char* text = reinterpret_cast<const char*>(mapping_.get()) + 8;
  if (header == 0 || text[0] != '{') throw Error(file + ": the header does not start with '{'");
  const json root = parse_header(file, text, text + header);

  const std::byte* data = mapping_.get() + 8 + header;
  const std::uint64_t data_bytes = size - 8 - header;
  std::vector<std::pair<Extent, StoredArray>> entries;
  for (const auto& [name, entry] : root.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) throw Error(file + ": __metadata__ is not an object");
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string()) throw Error(file + ": __metadata__: '" + key + "' is not a string");
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    Extent extent{};
    StoredArray a = parse_entry(file + ": tensor '" + name + "': ", name, entry, extent);
    entries.emplace_back(extent, std::move(a));
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first.begin, a.first.end, a.second.name) < std::tie(b.first.begin, b.first.end, b.second.name);
  });
  std::uint64_t covered = 0;
  for (auto& [extent, a] : entries) {
    const std::string where = file + ": tensor '" + a.name + "': ";
    if (extent.end > data_bytes)
      throw Error(str(where, "ends at byte ", extent.end, " of ", data_bytes, " (truncated file?)"));
    if (extent.begin != covered)
      throw Error(str(where, "starts at byte ", extent.begin, ", expected ", covered,
                      extent.begin < covered ? " (overlaps the tensor before it)" : " (a hole before it)"));
    covered = extent.end;
    a.bytes = {data + extent.begin, std::size_t(extent.end - extent.begin)};
    by_name_.emplace(a.name, arrays_.size());
    arrays_.push_back(std::move(a));
  }
  if (covered != data_bytes)
    throw Error(str(file, ": ", data_bytes - covered, " bytes after the last tensor belong to nothing"));
}

std::string SafetensorsFile::metadata(const std::string& key, const std::string& otherwise) const {
  const auto it = metadata_.find(key);
  return it == metadata_.end() ? otherwise : it->second;
}

const StoredArray* SafetensorsFile::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &arrays_[it->second];
}

const StoredArray& SafetensorsFile::at(std::string_view name) const {
  if (const StoredArray* a = find(name)) return *a;
  throw Error(str(path_.string(), ": no tensor '", name, "' (it has ", arrays_.size(), ")"));
}

void SafetensorsFile::copy_out(const StoredArray& a, StoredType as, void* out, std::int64_t n) const {
  const auto refuse = [&](const auto&... what) {
    throw Error(path_.string() + ": tensor '" + a.name + "': " + str(what...));
  };
  if (n != a.numel()) refuse("has ", a.numel(), " elements ", shape_text(a.shape), ", expected ", n);
  if (a.type == as) {
    if (n) std::memcpy(out, a.bytes.data(), a.bytes.size());
    return;
  }
  if (as != StoredType::f32 || (a.type != StoredType::bf16 && a.type != StoredType::f16))
    refuse("is ", name_of(a.type), ", expected ", name_of(as));
  auto* y = static_cast<float*>(out);
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint16_t h;
    std::memcpy(&h, a.bytes.data() + i * 2, 2);
    y[i] = a.type == StoredType::f16 ? half_to_f32(h) : std::bit_cast<float>(std::uint32_t(h) << 16);
  }
}

void write_safetensors(const std::filesystem::path& path, std::span<const StoredArray> arrays,
                       const Metadata& metadata) {
  std::vector<const StoredArray*> order;
  for (const StoredArray& a : arrays) order.push_back(&a);
  std::stable_sort(order.begin(), order.end(),
                   [](const StoredArray* a, const StoredArray* b) { return size_of(a->type) > size_of(b->type); });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t at = 0;
  for (const StoredArray* a : order) {
    std::int64_t n = 1;
    for (std::int64_t d : a->shape) n *= d;
    BF_CHECK(!a->name.empty() && a->name != "__metadata__" && !header.contains(a->name), "tensor name '", a->name,
             "' is empty, reserved or used twice");
    BF_CHECK(n * size_of(a->type) == std::int64_t(a->bytes.size()), "tensor '", a->name, "': ", name_of(a->type), " ",
             shape_text(a->shape), " with ", a->bytes.size(), " bytes");
    header[a->name] = {{"dtype", name_of(a->type)}, {"shape", a->shape}, {"data_offsets", {at, at + a->bytes.size()}}};
    at += a->bytes.size();
  }
  // A path in the metadata may hold bytes that are not UTF-8; losing one letter of it must not lose the weights.
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.resize(std::size_t(ceil_div<std::uint64_t>(text.size(), 8)) * 8, ' ');
  const std::uint64_t length = text.size();
  BF_CHECK(length <= kMaxHeaderBytes, "header of ", length, " bytes");

  AtomicFile file(path);
  file.write(&length, sizeof length);
  file.write(text);
  for (const StoredArray* a : order) file.write(a->bytes.data(), a->bytes.size());
  file.commit();
}

}  // namespace bonafide
