// data/model_info.cpp — metadata values are strings; structured ones are JSON in a string. Nothing in them is trusted.
#include "data/model_info.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

namespace bonafide {
namespace {

using Json = nlohmann::json;

constexpr int kFormat = 1;
constexpr std::int64_t kMost = std::int64_t(1) << 53;  // steps, counts
constexpr int kDeepest = 4;                            // nesting of any value

// One metadata value of one file: every accessor checks, every complaint names the file and the key.
class Value {
 public:
  Value(const Metadata& metadata, const std::string& file, const std::string& key)
      : where_(file + ": metadata 'bonafide." + key + "'") {
    const auto it = metadata.find("bonafide." + key);
    if (it == metadata.end())
      throw Error(str(file, ": no 'bonafide.", key, "' in the metadata: not a detector written by this program"));
    text_ = it->second;
  }

  const std::string& text() const { return text_; }
  [[noreturn]] void refuse(const std::string& expected) const {
    throw Error(str(where_, ": expected ", expected, ", found '", text_.substr(0, 200), text_.size() > 200 ? "…" : "", "'"));
  }
  std::int64_t whole_number(std::int64_t low, std::int64_t high) const {
    std::int64_t n = 0;
    const char* end = text_.data() + text_.size();
    const auto [at, error] = std::from_chars(text_.data(), end, n);
    if (error != std::errc() || at != end || n < low || n > high) refuse(str("a whole number from ", low, " to ", high));
    return n;
  }
  Json json() const {
    const auto shallow = [this](int depth, Json::parse_event_t, Json&) {
      if (depth > kDeepest) refuse("less deeply nested JSON");
      return true;
    };
    Json j = Json::parse(text_, shallow, false);
    if (j.is_discarded()) refuse("JSON");
    return j;
  }

  const Json& part(const Json& object, const char* name) const {
    if (!object.is_object() || !object.contains(name)) refuse(str("an object with '", name, "'"));
    return object[name];
  }
  std::string text(const Json& object, const char* name) const {
    const Json& j = part(object, name);
    if (!j.is_string()) refuse(str("a text as '", name, "'"));
    return j.get<std::string>();
  }
  std::int64_t whole_number(const Json& j, const char* name, std::int64_t low, std::int64_t high) const {
    const bool fits = j.is_number_unsigned() ? j.get<std::uint64_t>() <= std::uint64_t(high) : j.is_number_integer();
    if (!fits || j.get<std::int64_t>() < low || j.get<std::int64_t>() > high)
      refuse(str("a whole number from ", low, " to ", high, " as '", name, "'"));
    return j.get<std::int64_t>();
  }
  double number(const Json& j, const char* name, double low, double high) const {
    if (!j.is_number() || !(j.get<double>() >= low && j.get<double>() <= high))
      refuse(str("a number from ", low, " to ", high, " as '", name, "'"));
    return j.get<double>();
  }
  const Json& list(const Json& j, const char* name, std::size_t n) const {
    if (!j.is_array() || j.size() != n) refuse(str("a list of ", n, " as '", name, "'"));
    return j;
  }
  std::array<float, 3> colour(double low, double high) const {
    const Json j = json();
    std::array<float, 3> c{};
    for (std::size_t i = 0; i < 3; ++i) c[i] = float(number(list(j, "red, green, blue", 3)[i], "colour", low, high));
    return c;
  }

 private:
  std::string where_, text_;
};

}  // namespace

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
  const auto value = [&](const char* key) { return Value(m, file, key); };
  if (const auto format = value("format").whole_number(INT32_MIN, INT32_MAX); format != kFormat)
    throw Error(str(file, ": model format ", format, ", this program reads ", kFormat));
  if (const Value score = value("score"); score.text() != "P(attack)") score.refuse("'P(attack)'");

  ModelInfo r;
  const Value architecture = value("architecture");
  const Json a = architecture.json();
  auto& b = r.architecture.backbone;
  b.name = architecture.text(a, "name");
  const Json &depths = architecture.list(architecture.part(a, "depths"), "depths", 4),
             &dims = architecture.list(architecture.part(a, "dims"), "dims", 4);
  for (std::size_t i = 0; i < 4; ++i) {
    b.depths[i] = architecture.whole_number(depths[i], "depths", 1, 1000);
    b.dims[i] = architecture.whole_number(dims[i], "dims", 1, 65536);
  }
  const Json& conv_mlp = architecture.part(a, "conv_mlp");
  if (!conv_mlp.is_boolean()) architecture.refuse("true or false as 'conv_mlp'");
  b.conv_mlp = conv_mlp.get<bool>();
  b.drop_path = float(architecture.number(architecture.part(a, "drop_path"), "drop_path", 0, 1));
  r.architecture.projection = architecture.whole_number(architecture.part(a, "projection"), "projection", 1, 65536);

  r.input_size = int(value("input_size").whole_number(1, 4096));
  r.mean = value("mean").colour(-1e6, 1e6);
  r.std = value("std").colour(1e-6, 1e6);
  const Value margin = value("crop_margin");
  r.crop_margin = margin.number(margin.json(), "crop_margin", 0.01, 100);
  r.step = value("step").whole_number(0, kMost);
  const Value species = value("trained_species");
  const Json codes = species.json();
  if (!codes.is_array()) species.refuse("a list of species");
  for (const Json& code : codes) {
    const auto label = code.is_string() ? Label::parse(code.get<std::string>()) : std::nullopt;
    if (!label) species.refuse("a list of species");
    r.trained_species.push_back(*label);
  }
  if (m.count("bonafide.threshold")) {
    const Value threshold = value("threshold");
    const Json t = threshold.json();
    const Json& interval = threshold.list(threshold.part(t, "interval"), "interval", 2);
    const auto finite = [&](const Json& j, const char* name) { return threshold.number(j, name, -1e300, 1e300); };
    const auto count = [&](const char* name) { return threshold.whole_number(threshold.part(t, name), name, 0, kMost); };
    r.threshold = ModelThreshold{finite(threshold.part(t, "value"), "value"), threshold.text(t, "criterion"), threshold.text(t, "data"),
                                 count("genuine"), count("attacks"), finite(interval[0], "interval"), finite(interval[1], "interval")};
  }
  if (m.count("bonafide.start_weights")) {
    const Value start = value("start_weights");
    const Json s = start.json();
    r.start_weights = start.text(s, "name"), r.start_licence = start.text(s, "licence"), r.start_digest = start.text(s, "digest");
  }
  return r;
}

}  // namespace bonafide
