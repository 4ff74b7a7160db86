// data/model_file.cpp — a model out of a file and into one.
#include "data/model_file.h"

#include "layers/weights.h"

namespace bonafide {

void save_model(const std::filesystem::path& path, const ParameterSet& parameters, const ModelInfo& info) {
  write_safetensors(path, stored_parameters(parameters), info.to_metadata());
}

std::unique_ptr<PairedModel> load_model(Context& ctx, const std::filesystem::path& path, ModelInfo* info, DType compute) {
  const SafetensorsFile file(path);
  const ModelInfo read = ModelInfo::from_metadata(file.metadata(), path.string());
  // A file of a few hundred bytes may claim an architecture of terabytes.
  std::int64_t needed = 0, there = 0;
  for (const ParameterSpec& p : paired_model_parameters(read.architecture)) needed += p.shape.numel();
  for (const StoredArray& a : file.arrays()) there += a.numel();
  if (needed > there)
    throw Error(str(path.string(), ": its architecture has ", needed, " parameters, the file holds ", there));
  auto model = std::make_unique<PairedModel>(ctx, read.architecture, compute);
  load_strict(model->parameters(), file);
  if (info) *info = read;
  return model;
}

}  // namespace bonafide
