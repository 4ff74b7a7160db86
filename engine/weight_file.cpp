// engine/weight_file.cpp — see weight_file.h.
#include "engine/weight_file.h"

#include "engine/files.h"

namespace bonafide {
namespace {

WeightFile open(const std::filesystem::path& path) {
  if (TorchFile::recognises(map_file(path).bytes)) return TorchFile(path);
  return SafetensorsFile(path);
}

}  // namespace

WeightFile::WeightFile(const std::filesystem::path& path) : WeightFile(open(path)) {}

WeightFile::WeightFile(SafetensorsFile file) : path_(file.path()) {
  for (const StoredArray& a : file.arrays()) entries_.push_back({a.name, a.shape});
  safetensors_ = std::move(file);
}

WeightFile::WeightFile(TorchFile file) : path_(file.path()) {
  for (const TorchTensor& t : file.tensors()) entries_.push_back({t.name, t.shape});
  torch_ = std::move(file);
}

void WeightFile::read(std::size_t i, Span<float> out) const {
  if (torch_)
    torch_->tensors()[i].read(out);
  else
    safetensors_->read<float>(entries_[i].name, out);
}

const Metadata& WeightFile::metadata() const {
  static const Metadata none;
  return safetensors_ ? safetensors_->metadata() : none;
}

std::string WeightFile::metadata(const std::string& key, const std::string& otherwise) const {
  return safetensors_ ? safetensors_->metadata(key, otherwise) : otherwise;
}

std::string WeightFile::description() const {
  const bool chosen = torch_ && !torch_->container().empty();
  return path_.string() + (chosen ? " (" + torch_->container() + ")" : "");
}

}  // namespace bonafide
