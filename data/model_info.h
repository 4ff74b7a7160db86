// data/model_info.h — what a detector's file says besides its weights: architecture, preprocessing, what the score means,
// the threshold and its origin. Kept in the metadata of data/model_file.h.
#pragma once
#include <array>
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
  double crop_margin = 1.2;                          // face box times this; no box: the whole image
  std::optional<ModelThreshold> threshold;
  std::string start_weights, start_licence, start_digest;  // empty when trained from scratch
  std::vector<Label> trained_species;  // attacks seen in training; anything else is unknown to the model
  std::int64_t step = 0;

  Metadata to_metadata() const;
  // Throws an Error naming `file` and the key when one is missing, unreadable or out of any sensible range, or when the
  // format is newer than this program.
  static ModelInfo from_metadata(const Metadata&, const std::string& file);
};

}  // namespace bonafide
