// data/model_file.h — a detector in one safetensors file: weights under timm's names, and in the metadata everything
// needed to use them without guessing: architecture, preprocessing, what the score means, the threshold and its origin.
#pragma once
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/label.h"
#include "engine/safetensors.h"
#include "layers/paired_model.h"

namespace bonafide {

// Where attack begins: score >= value is an attack.
struct ModelThreshold {
  double value = 0.5;
  std::string criterion;  // "eer"
  std::string data;       // digest of the list it was found on (engine/digest.h)
  std::int64_t genuine = 0, attacks = 0;
  double low = 0, high = 0;  // 95 % bootstrap interval of the value
};

struct ModelInfo {
  PairedModelConfig architecture;
  int input_size = 224;
  std::array<float, 3> mean{0, 0, 0}, std{1, 1, 1};  // of values in [0, 1], RGB
  float crop_margin = 1.2f;                          // face box times this; no box: the whole image
  std::optional<ModelThreshold> threshold;
  std::string start_weights, start_licence, start_digest;  // empty when trained from scratch
  std::vector<Label> trained_species;  // attacks seen in training; anything else is unknown to the model
  std::int64_t step = 0;

  Metadata to_metadata() const;
  // Throws an Error naming `file` when a key is missing or unreadable, or the format is newer than this program.
  static ModelInfo from_metadata(const Metadata&, const std::string& file);
};

void save_model(const std::filesystem::path&, const ParameterSet&, const ModelInfo&);
// Reads the file's architecture, builds the model in `ctx` and fills it.
std::unique_ptr<PairedModel> load_model(Context& ctx, const std::filesystem::path&, ModelInfo* info = nullptr,
                                        DType compute = DType::f32);

}  // namespace bonafide
