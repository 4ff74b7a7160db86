// layers/weights.cpp
#include "layers/weights.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/host_values.h"

namespace bonafide {
namespace {

bool starts_with(const std::string& s, const std::string& part) { return s.rfind(part, 0) == 0; }

void replace(std::string& s, const std::string& from, const std::string& to) {
  if (const auto at = s.find(from); at != std::string::npos) s.replace(at, from.size(), to);
}

std::vector<std::int64_t> without_ones(const auto& dims, int rank) {
  std::vector<std::int64_t> r;
  for (int i = 0; i < rank; ++i)
    if (dims[i] != 1) r.push_back(dims[i]);
  return r;
}

std::string listed(const char* what, const std::vector<std::string>& names) {
  if (names.empty()) return "";
  std::string s = str("\n  ", names.size(), " ", what, ": ");
  for (std::size_t i = 0; i < names.size() && i < 8; ++i) s += (i ? ", " : "") + names[i];
  return s + (names.size() > 8 ? ", …" : "");
}

}  // namespace

std::string timm_name(const std::string& stored) {
  std::string s = stored;
  for (bool stripped = true; stripped;) {
    stripped = false;
    for (const std::string wrapper : {"module.", "_orig_mod.", "model."})
      if (starts_with(s, wrapper)) s = s.substr(wrapper.size()), stripped = true;
  }
  // facebookresearch: the first entry of downsample_layers is the stem.
  if (starts_with(s, "downsample_layers.0.")) return "stem." + s.substr(20);
  if (starts_with(s, "downsample_layers.")) {  // downsample_layers.i.k. -> stages.i.downsample.k.
    const auto dot = s.find('.', 18);
    return dot == std::string::npos ? s : "stages." + s.substr(18, dot - 18) + ".downsample" + s.substr(dot);
  }
  if (starts_with(s, "stages.") && s.find(".blocks.") == std::string::npos && s.find(".downsample.") == std::string::npos) {
    const auto dot = s.find('.', 7);  // stages.i.j. -> stages.i.blocks.j.
    if (dot != std::string::npos) s.insert(dot, ".blocks");
    replace(s, ".dwconv.", ".conv_dw.");
    replace(s, ".pwconv1.", ".mlp.fc1.");
    replace(s, ".pwconv2.", ".mlp.fc2.");
    replace(s, ".grn.gamma", ".mlp.grn.weight");
    replace(s, ".grn.beta", ".mlp.grn.bias");
    return s;
  }
  if (s == "norm.weight" || s == "norm.bias") return "head." + s;
  if (s == "head.weight" || s == "head.bias") return "head.fc" + s.substr(4);
  return s;
}

std::string WeightReport::str() const {
  return bonafide::str(loaded.size(), " tensors loaded", listed("missing", missing), listed("unexpected", unexpected));
}

WeightReport load_weights(ParameterSet& parameters, const WeightFile& file, const std::string& prefix,
                          const std::vector<std::string>& ignore) {
  WeightReport report;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < file.entries().size(); ++i) {
    const WeightFile::Entry& a = file.entries()[i];
    const std::string plain = timm_name(a.name), name = prefix + plain;
    if (std::any_of(ignore.begin(), ignore.end(), [&](const std::string& part) { return starts_with(plain, part); })) continue;
    if (!parameters.contains(name)) {
      report.unexpected.push_back(a.name);
      continue;
    }
    const Tensor value = parameters[name];
    if (without_ones(a.shape, int(a.shape.size())) != without_ones(value.shape(), value.shape().rank()))
      throw Error(str(file.description(), ": ", a.name, " has shape ", shape_text(a.shape), ", the model expects ",
                      value.shape().str()));
    if (!seen.insert(name).second) throw Error(str(file.description(), ": two tensors are ", name, " (the second: ", a.name, ")"));
    write_values(value, [&](Span<float> values) { file.read(i, values); });
    report.loaded.push_back(name);
  }
  for (const auto& p : parameters.all())
    if (starts_with(p.spec.name, prefix) && !seen.count(p.spec.name)) report.missing.push_back(p.spec.name);
  for (const std::string& name : report.loaded) {
    const HostValues copy(parameters[name]);
    const auto values = copy.span();
    if (const auto bad = std::find_if_not(values.begin(), values.end(), [](float v) { return std::isfinite(v); }); bad != values.end())
      throw Error(str(file.description(), ": ", name, ": element ", bad - values.begin(), " of ", values.len, " is ", *bad,
                      ", no finite number; weights of a training that went wrong?"));
  }
  parameters.refresh_compute_copies();
  return report;
}

WeightReport load_backbone(ParameterSet& parameters, const WeightFile& file) {
  const auto report = load_weights(parameters, file, "backbone.", {"head.fc."});
  if (!report.missing.empty() || !report.unexpected.empty())
    throw Error(str(file.description(), ": not the weights of this backbone: ", report.str()));
  return report;
}

void load_strict(ParameterSet& parameters, const WeightFile& file) {
  const auto report = load_weights(parameters, file);
  if (!report.missing.empty() || !report.unexpected.empty())
    throw Error(str(file.description(), ": does not fit this model: ", report.str()));
}

std::vector<StoredArray> stored_parameters(const ParameterSet& parameters) {
  return stored_parameters(parameters, parameters.values());
}
std::vector<StoredArray> stored_parameters(const ParameterSet& parameters, const Tensor& arena) {
  const StoredArray whole = stored_tensor("arena", arena);
  std::vector<StoredArray> arrays;
  for (const auto& p : parameters.all()) {
    StoredArray a = whole;
    a.name = p.spec.name, a.shape.clear();
    for (int i = 0; i < p.spec.shape.rank(); ++i) a.shape.push_back(p.spec.shape[i]);
    a.bytes = whole.bytes.subspan(std::size_t(p.offset) * sizeof(float), std::size_t(p.spec.shape.numel()) * sizeof(float));
    arrays.push_back(std::move(a));
  }
  return arrays;
}

}  // namespace bonafide
