// layers/model_cost.h — how large a model is and what one forward pass of an image computes, part by part.
//
// Read off the parameter list: every matrix and filter of this network is applied once at every position of the map its
// part writes, so its multiply-accumulates are (its values) x (positions). As the literature counts: one multiply-
// accumulate once, filters whole at the border; norms, biases and activations are not counted.
#pragma once
#include <string>
#include <vector>

#include "layers/paired_model.h"

namespace bonafide {

struct PartCost {
  std::string part;  // "stem", "stages.0" … "stages.3", "head.norm", "cls", "proj"
  std::int64_t parameters = 0, macs = 0;
};

// In the order of the network. Images of height x width, at least 32 each; maps round down. `proj` computes in training
// only: its multiply-accumulates are those of a forward pass with projection.
std::vector<PartCost> model_cost(const PairedModelConfig&, std::int64_t height, std::int64_t width);

}  // namespace bonafide
