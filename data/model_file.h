// data/model_file.h — a detector in one safetensors file: weights under timm's names, and in the metadata everything
// needed to use them without guessing (data/model_info.h).
#pragma once
#include <filesystem>
#include <memory>

#include "data/model_info.h"

namespace bonafide {

void save_model(const std::filesystem::path&, const ParameterSet&, const ModelInfo&);
// Reads the file's architecture, builds the model in `ctx` and fills it. Throws for everything that ModelInfo refuses, and
// for an architecture that needs more parameters than the file holds (before any of them is allocated).
std::unique_ptr<PairedModel> load_model(Context& ctx, const std::filesystem::path&, ModelInfo* info = nullptr,
                                        DType compute = DType::f32);

}  // namespace bonafide
