// tests/fuzz/safetensors.cpp — SafetensorsFile and the description of a detector in its metadata.
#include "engine/safetensors.h"

#include <cmath>
#include <cstring>

#include "data/model_file.h"
#include "tests/fuzz/target.h"

namespace bonafide::fuzz {
namespace {

void check(const SafetensorsFile& file, const std::string& input) {
  std::size_t bytes = 0;
  for (const StoredArray& a : file.arrays()) {
    std::int64_t n = 1;
    for (const std::int64_t d : a.shape) n *= d;
    must(n == a.numel(), a.name, ": ", a.numel(), " elements of shape ", shape_text(a.shape));
    must(file.find(a.name) == &a, a.name, " is not found by its name");
    bytes += a.bytes.size();
    unsigned sum = 0;
    for (const std::byte b : a.bytes) sum += unsigned(b);  // touches every byte
    must(sum <= 255 * a.bytes.size(), "impossible");
    if (a.type == StoredType::f32 || a.type == StoredType::bf16 || a.type == StoredType::f16)
      must(std::int64_t(file.read<float>(a.name).size()) == n, a.name, " reads at another length");
    else
      must(!accepts([&] { file.read<float>(a.name); }), a.name, ": integers read as floats");
  }
  must(bytes <= input.size(), "more bytes than the file has");
  ModelInfo info;
  if (!accepts([&] { info = ModelInfo::from_metadata(file.metadata(), "fuzz.safetensors"); })) return;
  must(info.input_size >= 1 && info.input_size <= 65536, "input size ", info.input_size);
  must(std::isfinite(info.crop_margin) && info.crop_margin > 0, "crop margin ", info.crop_margin);
  for (std::size_t c = 0; c < 3; ++c) must(std::isfinite(info.mean[c]) && std::isfinite(info.std[c]) && info.std[c] > 0, "mean or std");
  if (info.threshold) must(std::isfinite(info.threshold->value), "threshold ", info.threshold->value);
}

void run(const std::string& input) {
  accepts([&] { check(SafetensorsFile(std::as_bytes(std::span(input)), "fuzz.safetensors"), input); });
}

std::string raw(std::string header, const std::string& data = {}) {
  const std::uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + header + data;
}

std::string detector() {
  ModelInfo info;
  info.threshold = ModelThreshold{0.25, "eer", "abc", 10, 20, 0.2, 0.3};
  info.start_weights = "none", info.start_licence = "MIT", info.start_digest = "0";
  info.trained_species = {kPrint, kReplay};
  std::string header = R"({"__metadata__":{)";
  const auto quoted = [](const std::string& s) {
    std::string q = "\"";
    for (const char c : s) q += c == '"' ? std::string("\\\"") : std::string(1, c);
    return q + "\"";
  };
  for (const auto& [key, value] : info.to_metadata()) header += (header.back() == '{' ? "" : ",") + quoted(key) + ":" + quoted(value);
  return raw(header + "}}");
}

const Register target(
    "safetensors", run,
    {raw(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", std::string(8, '\0')),
     raw(R"({"__metadata__":{"k":"v"},"a":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},)"
         R"("b":{"dtype":"BF16","shape":[1,1],"data_offsets":[6,8]},"c":{"dtype":"I64","shape":[],"data_offsets":[8,16]},)"
         R"("d":{"dtype":"U8","shape":[0,7],"data_offsets":[16,16]}}   )",
         "\0\x3c\xff\xff\x01\x7c\x80\x3f" "abcdefgh"),
     raw(R"({"x":{"dtype":"I32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", std::string(8, 'x')), detector()});

}  // namespace
}  // namespace bonafide::fuzz
