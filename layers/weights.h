// layers/weights.h — weights from files into a ParameterSet, by name, with a strict account of what matched.
#pragma once
#include <string>
#include <vector>

#include "engine/weight_file.h"
#include "layers/parameters.h"

namespace bonafide {

// The timm name of a stored tensor: drops `module.` (DataParallel), `_orig_mod.` (torch.compile) and `model.` (a training
// class around the network), in any order, and turns the names of facebookresearch/ConvNeXt-V2
// (downsample_layers, dwconv, pwconv, grn.gamma, …) into timm's. Names that are timm's already come back unchanged.
std::string timm_name(const std::string& stored);

struct WeightReport {
  std::vector<std::string> loaded, missing, unexpected;  // parameter names; unexpected: names as stored
  std::string str() const;                               // for people; the first few names of each list
};

// Copies every stored tensor whose timm name, behind `prefix`, is a parameter. Shapes must agree up to axes of length 1
// (1x1 convolutions are linear layers; facebookresearch keeps GRN as [1,1,1,C]). Names in `ignore` (as stored, after
// renaming, matched from the start) are dropped in silence: {"head.fc."} for a backbone.
// A tensor of the right name and the wrong shape is an Error that gives both; so is one with a value that is not finite.
WeightReport load_weights(ParameterSet&, const WeightFile&, const std::string& prefix = "",
                          const std::vector<std::string>& ignore = {});

// Start weights for a backbone: everything under "backbone." must be there; classifier layers are dropped.
WeightReport load_backbone(ParameterSet&, const WeightFile&);
// A whole detector: exactly the model's parameters, no more and no less.
void load_strict(ParameterSet&, const WeightFile&);

// The parameters as arrays to store, in their order, under their own names; or, laid out as the masters are, those of
// another arena (averaged weights).
std::vector<StoredArray> stored_parameters(const ParameterSet&);
std::vector<StoredArray> stored_parameters(const ParameterSet&, const Tensor& arena);

}  // namespace bonafide
