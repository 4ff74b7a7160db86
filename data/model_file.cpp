// data/model_file.cpp
#include "data/model_file.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "layers/weights.h"

namespace bonafide {
namespace {

constexpr int kFormat = 1;
using Json = nlohmann::json;

}  // namespace

// Metadata values are strings; structured ones are JSON in a string.
Metadata ModelInfo::to_metadata() const {
  const auto& b = architecture.backbone;
  Metadata m;
  m["bonafide.format"] = std::to_string(kFormat);
  m["bonafide.architecture"] = Json{{"name", b.name}, {"depths", b.depths}, {"dims", b.dims}, {"conv_mlp", b.conv_mlp},
                                    {"drop_path", b.drop_path}, {"projection", architecture.projection}}.dump();
  m["bonafide.input_size"] = std::to_string(input_size);
  m["bonafide.mean"] = Json(mean).dump();
  m["bonafide.std"] = Json(std).dump();
  m["bonafide.crop"] = "box*margin, clamped, resized bilinear, aspect not kept; no box: whole image";
  m["bonafide.crop_margin"] = Json(crop_margin).dump();
  m["bonafide.score"] = "P(attack)";
  m["bonafide.step"] = std::to_string(step);
  Json species = Json::array();
  for (const Label& l : trained_species) species.push_back(l.code());
  m["bonafide.trained_species"] = species.dump();
  if (threshold)
    m["bonafide.threshold"] = Json{{"value", threshold->value}, {"criterion", threshold->criterion}, {"data", threshold->data},
                                   {"genuine", threshold->genuine}, {"attacks", threshold->attacks},
                                   {"interval", {threshold->low, threshold->high}}}.dump();
  if (!start_weights.empty())
    m["bonafide.start_weights"] = Json{{"name", start_weights}, {"licence", start_licence}, {"digest", start_digest}}.dump();
  return m;
}

ModelInfo ModelInfo::from_metadata(const Metadata& m, const std::string& file) {
  const auto value = [&](const std::string& key) {
    const auto it = m.find("bonafide." + key);
    if (it == m.end()) throw Error(str(file, ": no 'bonafide.", key, "' in the metadata: not a detector written by this program"));
    return it->second;
  };
  try {
    if (const int format = std::stoi(value("format")); format != kFormat)
      throw Error(str(file, ": model format ", format, ", this program reads ", kFormat));
    ModelInfo r;
    const Json a = Json::parse(value("architecture"));
    auto& b = r.architecture.backbone;
    b.name = a.at("name"), b.depths = a.at("depths"), b.dims = a.at("dims"), b.conv_mlp = a.at("conv_mlp");
    b.drop_path = a.at("drop_path"), r.architecture.projection = a.at("projection");
    for (int i = 0; i < 4; ++i)
      if (b.depths[std::size_t(i)] < 1 || b.depths[std::size_t(i)] > 1000 || b.dims[std::size_t(i)] < 1 || b.dims[std::size_t(i)] > 65536)
        throw Error(str(file, ": impossible architecture ", a.dump()));
    r.input_size = std::stoi(value("input_size"));
    r.mean = Json::parse(value("mean")).get<std::array<float, 3>>();
    r.std = Json::parse(value("std")).get<std::array<float, 3>>();
    r.crop_margin = Json::parse(value("crop_margin"));
    r.step = std::stoll(value("step"));
    for (const std::string code : Json::parse(value("trained_species"))) {
      const auto label = Label::parse(code);
      if (!label) throw Error(str(file, ": '", code, "' is no species"));
      r.trained_species.push_back(*label);
    }
    if (value("score") != "P(attack)") throw Error(str(file, ": score is '", value("score"), "', expected 'P(attack)'"));
    if (m.count("bonafide.threshold")) {
      const Json t = Json::parse(value("threshold"));
      r.threshold = ModelThreshold{t.at("value"), t.at("criterion"), t.at("data"), t.at("genuine"), t.at("attacks"),
                              t.at("interval").at(0), t.at("interval").at(1)};
    }
    if (m.count("bonafide.start_weights")) {
      const Json s = Json::parse(value("start_weights"));
      r.start_weights = s.at("name"), r.start_licence = s.at("licence"), r.start_digest = s.at("digest");
    }
    return r;
  } catch (const Json::exception& e) {
    throw Error(str(file, ": damaged metadata: ", e.what()));
  } catch (const std::logic_error& e) {  // std::stoi
    throw Error(str(file, ": a number in the metadata is unreadable"));
  }
}

void save_model(const std::filesystem::path& path, const ParameterSet& parameters, const ModelInfo& info) {
  write_safetensors(path, stored_parameters(parameters), info.to_metadata());
}

std::unique_ptr<PairedModel> load_model(Context& ctx, const std::filesystem::path& path, ModelInfo* info, DType compute) {
  const SafetensorsFile file(path);
  const ModelInfo read = ModelInfo::from_metadata(file.metadata(), path.string());
  auto model = std::make_unique<PairedModel>(ctx, read.architecture, compute);
  load_strict(model->parameters(), file);
  if (info) *info = read;
  return model;
}

}  // namespace bonafide
