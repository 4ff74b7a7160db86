// layers/model_cost.cpp
#include "layers/model_cost.h"

namespace bonafide {
namespace {

// "backbone.stages.2.blocks.0.norm.weight" belongs to "stages.2".
std::string part_of(std::string name) {
  const std::string backbone = "backbone.";
  if (!name.starts_with(backbone)) return name.substr(0, name.find('.'));
  name = name.substr(backbone.size());
  if (name.starts_with("stem.")) return "stem";
  return name.substr(0, name.find('.', name.find('.') + 1));
}

// Positions of the map a part writes: the stem divides by 4, each stage after the first by 2; the heads see one pooled row.
std::int64_t positions(const std::string& part, std::int64_t height, std::int64_t width) {
  if (part != "stem" && !part.starts_with("stages.")) return 1;
  height /= 4, width /= 4;
  for (int stage = part == "stem" ? 0 : part.back() - '0'; stage > 0; --stage) height /= 2, width /= 2;
  return height * width;
}

}  // namespace

std::vector<PartCost> model_cost(const PairedModelConfig& c, std::int64_t height, std::int64_t width) {
  BF_CHECK(height >= 32 && width >= 32, "images must be at least 32x32, got ", height, "x", width);
  std::vector<PartCost> parts;
  for (const ParameterSpec& p : paired_model_parameters(c)) {
    const std::string part = part_of(p.name);
    if (parts.empty() || parts.back().part != part) parts.push_back({part});
    parts.back().parameters += p.shape.numel();
    if (p.shape.rank() > 1) parts.back().macs += p.shape.numel() * positions(part, height, width);
  }
  return parts;
}

}  // namespace bonafide
