// engine/weight_file.h — named arrays from a file of any kind that is read: safetensors, or PyTorch's own.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/safetensors.h"
#include "engine/torch_file.h"

namespace bonafide {

// What kind of file it is, its contents say, not its name. Errors name the file.
class WeightFile {
 public:
  explicit WeightFile(const std::filesystem::path& path);
  WeightFile(SafetensorsFile file);  // NOLINT: a safetensors file is a weight file
  WeightFile(TorchFile file);        // NOLINT

  struct Entry {
    std::string name;  // as stored
    std::vector<std::int64_t> shape;
  };
  const std::vector<Entry>& entries() const { return entries_; }
  // Copies entry i out as f32, converting; `out` has as many elements as its shape.
  void read(std::size_t i, Span<float> out) const;

  const std::filesystem::path& path() const { return path_; }
  const Metadata& metadata() const;  // PyTorch's files have none
  std::string metadata(const std::string& key, const std::string& otherwise) const;
  // "weights.pth (state_dict_ema)": the file, and which of its entries was taken where there was a choice.
  std::string description() const;

 private:
  std::filesystem::path path_;
  std::vector<Entry> entries_;
  std::optional<SafetensorsFile> safetensors_;  // one of the two
  std::optional<TorchFile> torch_;
};

}  // namespace bonafide
