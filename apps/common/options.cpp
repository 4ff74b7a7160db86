// apps/common/options.cpp — reading, checking and printing a configuration through the table.
#include "apps/common/options.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "apps/common/options_table.h"
#include "data/label.h"
#include "engine/files.h"

namespace bonafide {
namespace {

using json = nlohmann::ordered_json;  // keeps the order in which people wrote things

// ---------------------------------------------------------------- text

bool equal_ignoring_case(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return std::tolower(std::uint8_t(x)) == std::tolower(std::uint8_t(y)); });
}

std::string joined(const std::vector<std::string>& parts, const std::string& between) {
  std::string s;
  for (const std::string& p : parts) s += (s.empty() ? "" : between) + p;
  return s;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(at, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// Levenshtein.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// The key somebody probably meant: a small edit away, or right but for its section. Empty if nothing is near.
std::string nearest_key(const std::string& key, const std::vector<Option>& table) {
  const auto last_part = [](const std::string& k) { return k.substr(k.rfind('.') + 1); };
  std::string best;
  std::size_t best_distance =
      std::max<std::size_t>(2, key.size() / 3) * 2 + 1;  // doubled, to put the tie-breaker below
  for (const Option& o : table) {
    const std::size_t d =
        std::min(2 * edit_distance(key, o.key), 2 * edit_distance(last_part(key), last_part(o.key)) + 1);
    if (d < best_distance) best_distance = d, best = o.key;
  }
  return best;
}

// ---------------------------------------------------------------- one value

std::string expected(const Option& o) {
  const Allowed& a = o.allowed;
  const auto number = [&](const std::string& what) {
    const bool low = std::isfinite(a.low), high = std::isfinite(a.high);
    if (low && high)
      return what + str(a.low_excluded ? " above " : " from ", a.low, a.low_excluded ? ", at most " : " to ", a.high);
    return low ? what + str(a.low_excluded ? " above " : " of at least ", a.low) : what;
  };
  struct Visitor {
    const Allowed& allowed;
    decltype(number)& numeric;
    std::string operator()(bool*) const { return "true or false"; }
    std::string operator()(std::int64_t*) const { return numeric("an integer"); }
    std::string operator()(double*) const { return numeric("a number"); }
    std::string operator()(std::string*) const {
      if (allowed.or_bool) return "a text, true or false";
      return allowed.choices.empty() ? "a text" : "one of " + joined(allowed.choices, ", ");
    }
    std::string operator()(std::vector<std::int64_t>*) const { return "a list of integers"; }
    std::string operator()(Normalization*) const {
      return "unit, weights, or {\"mean\": [r, g, b], \"std\": [r, g, b]} with std above 0";
    }
    std::string operator()(std::vector<SpeciesWeight>*) const {
      return "a list of species, or {species: weight above 0}";
    }
  };
  return std::visit(Visitor{a, number}, o.field);
}

std::optional<std::int64_t> as_integer(const json& v) {
  if (v.is_number_unsigned())
    return v.get<std::uint64_t>() <= std::uint64_t(INT64_MAX) ? std::optional(v.get<std::int64_t>()) : std::nullopt;
  if (v.is_number_integer()) return v.get<std::int64_t>();
  if (v.is_number_float() && v.get<double>() == std::floor(v.get<double>()) && std::abs(v.get<double>()) < 1e15)
    return std::int64_t(v.get<double>());  // 1e6
  return {};
}

bool in_range(const Allowed& a, double v) { return (a.low_excluded ? v > a.low : v >= a.low) && v <= a.high; }

// Puts a JSON value into the field; false when it does not fit.
struct Assign {
  const json& v;
  const Allowed& allowed;

  bool operator()(bool* field) const {
    if (!v.is_boolean()) return false;
    *field = v.get<bool>();
    return true;
  }
  bool operator()(std::int64_t* field) const {
    const auto n = as_integer(v);
    if (!n || !in_range(allowed, double(*n))) return false;
    *field = *n;
    return true;
  }
  bool operator()(double* field) const {
    if (!v.is_number() || !in_range(allowed, v.get<double>())) return false;
    *field = v.get<double>();
    return true;
  }
  bool operator()(std::string* field) const {
    if (v.is_null() && allowed.choices.empty() && !allowed.or_bool) return field->clear(), true;
    if (v.is_boolean() && allowed.or_bool) return *field = v.get<bool>() ? "true" : "false", true;
    if (!v.is_string()) return false;
    const auto text = v.get<std::string>();
    if (allowed.choices.empty()) return *field = text, !(allowed.or_bool && text.empty());
    for (const std::string& choice : allowed.choices)
      if (equal_ignoring_case(choice, text)) return *field = choice, true;
    return false;
  }
  bool operator()(std::vector<std::int64_t>* field) const {
    std::vector<std::int64_t> list;
    if (v.is_null()) return field->clear(), true;
    if (!v.is_array()) return false;
    for (const json& item : v) {
      const auto n = as_integer(item);
      if (!n || !in_range(allowed, double(*n))) return false;
      list.push_back(*n);
    }
    *field = list;
    return true;
  }
  bool operator()(Normalization* field) const {
    Normalization n;
    if (v.is_string()) {
      n.kind = v.get<std::string>();
      if (n.kind != "unit" && n.kind != "weights") return false;
    } else {
      n.kind = "custom";
      if (!v.is_object() || v.size() != 2 || !triple("mean", n.mean) || !triple("std", n.std)) return false;
      if (std::any_of(n.std.begin(), n.std.end(), [](double s) { return !(s > 0); })) return false;
    }
    *field = n;
    return true;
  }
  bool operator()(std::vector<SpeciesWeight>* field) const {
    std::vector<SpeciesWeight> list;
    if (v.is_array()) {
      for (const json& item : v) {
        if (!item.is_string()) return false;
        list.push_back({item.get<std::string>(), 1});
      }
    } else if (v.is_object()) {
      for (const auto& [species, weight] : v.items()) {
        if (!weight.is_number() || !in_range(allowed, weight.get<double>())) return false;
        list.push_back({species, weight.get<double>()});
      }
    } else {
      return false;
    }
    *field = list;
    return true;
  }

 private:
  bool triple(const char* name, std::array<double, 3>& out) const {
    if (!v.contains(name) || !v[name].is_array() || v[name].size() != 3) return false;
    for (std::size_t i = 0; i < 3; ++i) {
      if (!v[name][i].is_number()) return false;
      out[i] = v[name][i].get<double>();
    }
    return true;
  }
};

// The opposite of Assign.
json to_json(const Option& o) {
  struct Visitor {
    const Allowed& allowed;
    json operator()(const bool* f) const { return *f; }
    json operator()(const std::int64_t* f) const { return *f; }
    json operator()(const double* f) const { return *f; }
    json operator()(const std::string* f) const {
      if (allowed.or_bool && (*f == "true" || *f == "false")) return *f == "true";
      return *f;
    }
    json operator()(const std::vector<std::int64_t>* f) const { return *f; }
    json operator()(const Normalization* f) const {
      if (f->kind != "custom") return f->kind;
      return {{"mean", f->mean}, {"std", f->std}};
    }
    json operator()(const std::vector<SpeciesWeight>* f) const {
      const bool equal = std::all_of(f->begin(), f->end(), [](const SpeciesWeight& s) { return s.weight == 1; });
      json names = json::array(), weights = json::object();
      for (const SpeciesWeight& s : *f) names.push_back(s.species), weights[s.species] = s.weight;
      return equal ? names : weights;
    }
  };
  return std::visit(Visitor{o.allowed}, o.field);
}

std::string value_text(const json& v) {
  return v.dump(-1, ' ', false, json::error_handler_t::replace);  // a path may hold any byte
}

// What somebody typed after `key=`: JSON where it is JSON, else the text itself; lists may leave out the brackets.
json override_value(const Option& o, const std::string& text) {
  const bool is_text = std::holds_alternative<std::string*>(o.field);
  const json parsed = json::parse(text, nullptr, false);
  if (is_text && !parsed.is_string()) return text;
  if (!parsed.is_discarded() &&
      (parsed.is_structured() || !std::holds_alternative<std::vector<std::int64_t>*>(o.field)))
    return parsed;
  if (std::holds_alternative<std::vector<std::int64_t>*>(o.field)) return json::parse("[" + text + "]", nullptr, false);
  if (std::holds_alternative<std::vector<SpeciesWeight>*>(o.field)) {  // print,replay or print:2,replay:1
    json weights = json::object();
    for (const std::string& item : split(text, ',')) {
      const std::size_t colon = item.find(':');
      weights[item.substr(0, colon)] =
          colon == item.npos ? json(1) : json::parse(item.substr(colon + 1), nullptr, false);
    }
    return weights;
  }
  return text;
}

// ---------------------------------------------------------------- a file

// Characters of a text that count the lines they pass.
struct LineCounter {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  const char* at;
  int* line;
  reference operator*() const { return *at; }
  LineCounter& operator++() {
    *line += *at == '\n';
    ++at;
    return *this;
  }
  friend bool operator==(const LineCounter& a, const LineCounter& b) { return a.at == b.at; }
};

struct ParsedFile {
  json root;
  std::map<std::string, int> line;  // of each dotted key
};

ParsedFile parse_file(const std::string& text, const std::string& name) {
  ParsedFile file;
  int line = 1;
  std::vector<std::string> path;  // keys of the objects around
  int in_list = 0;
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    if (depth > 64) throw UsageError(str(name, ":", line, ": nested too deeply"));
    if (event == json::parse_event_t::array_start) ++in_list;
    if (event == json::parse_event_t::array_end) --in_list;
    if (event == json::parse_event_t::key && !in_list) {
      path.resize(std::size_t(depth) - 1);
      path.push_back(value.get<std::string>());
      const auto [first, fresh] = file.line.emplace(joined(path, "."), line);
      if (!fresh)
        throw UsageError(
            str(name, ":", line, ": ", first->first, " is given twice (first in line ", first->second, ")"));
    }
    return true;
  };
  try {
    const char* begin = text.data();
    file.root = json::parse(LineCounter{begin, &line}, LineCounter{begin + text.size(), &line}, watch, true, true);
  } catch (const json::exception& e) {
    const std::string what = e.what();  // "[json.exception.parse_error.101] parse error at line 3, column 5: …"
    throw UsageError(str(name, ":", line, ": not valid JSON: ", what.substr(what.find("] ") + 2)));
  }
  if (!file.root.is_object()) throw UsageError(str(name, ": expected an object { … } of settings"));
  return file;
}

// ---------------------------------------------------------------- all together

class Loader {
 public:
  Loader() : table_(option_table(config_.values)) {
    for (const Option& o : table_) config_.origin[o.key] = "default";
  }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  void file(const std::string& text, const std::string& name) {
    const ParsedFile parsed = parse_file(text, name);
    walk(parsed, name, "", parsed.root);
  }

  void command_line(const std::string& assignment) {
    const std::size_t equals = assignment.find('=');
    if (equals == 0 || equals == assignment.npos)
      throw UsageError("command line: expected key=value, got '" + assignment + "'");
    const std::string key = assignment.substr(0, equals), text = assignment.substr(equals + 1);
    if (const Option* o = find(key)) {
      set(*o, override_value(*o, text), "command line", text);
    } else {
      const json parsed = json::parse(text, nullptr, false);
      set_other(key, parsed.is_discarded() ? json(text) : parsed, "command line");
    }
  }

  LoadedConfig finish() {
    derive();
    check();
    return std::move(config_);
  }

 private:
  const Option* find(const std::string& key) const {
    for (const Option& o : table_)
      if (o.key == key) return &o;
    return nullptr;
  }

  void walk(const ParsedFile& parsed, const std::string& name, const std::string& prefix, const json& object) {
    for (const auto& [last, value] : object.items()) {
      const std::string key = prefix.empty() ? last : prefix + "." + last;
      const auto line = parsed.line.find(key);
      const std::string where = line == parsed.line.end() ? name : str(name, ":", line->second);
      if (const Option* o = find(key))
        set(*o, value, where, value_text(value));
      else if (value.is_object() && !value.empty())
        walk(parsed, name, key, value);
      else
        set_other(key, value, where);
    }
  }

  void set(const Option& o, const json& value, const std::string& where, const std::string& typed) {
    if (!std::visit(Assign{value, o.allowed}, o.field))
      throw UsageError(where + ": " + o.key + " = " + typed + ": expected " + expected(o));
    config_.origin[o.key] = where;
  }

  // Not an option: a published key without effect, a section, or a mistake.
  void set_other(const std::string& key, const json& value, const std::string& where) {
    for (const KeyWithoutEffect& k : keys_without_effect()) {
      const bool section = k.key.ends_with(".*") && key.starts_with(k.key.substr(0, k.key.size() - 1));
      if (k.key != key && !section) continue;
      const std::string text = value_text(value);
      if (!k.harmless.empty() && std::find(k.harmless.begin(), k.harmless.end(), text) == k.harmless.end())
        config_.warnings.push_back(where + ": " + key + " = " + text + " has no effect: " + k.why);
      return;
    }
    for (const Option& o : table_)
      if (o.key.starts_with(key + ".")) {
        if (value.is_object()) return;  // an empty section
        throw UsageError(where + ": " + key + " is a section; expected { \"" + o.key.substr(key.size() + 1) +
                         "\": … }");
      }
    const std::string near = nearest_key(key, table_);
    throw UsageError(where + ": unknown key " + key + (near.empty() ? "" : "; did you mean " + near + "?"));
  }

  // Defaults that depend on another key.
  void derive() {
    TrainConfig& c = config_.values;
    if (c.loss.type != "focal") return;
    const auto derived = [&](const char* key, double& field, double value) {
      if (config_.origin[key] == "default") field = value, config_.origin[key] = "default of loss.type = focal";
    };
    derived("loss.alpha", c.loss.alpha, 0.25);
    derived("loss.gamma", c.loss.gamma, 2);
  }

  // What no single row of the table can say.
  void check() const {
    const TrainConfig& c = config_.values;
    const auto at_most = [&](const std::string& low, double a, const std::string& high, double b) {
      if (a > b) refuse(low, str("(", a, ") is larger than ", high, " (", b, ")"));
    };
    at_most("crop.train_margin_min", c.crop.train_margin_min, "crop.train_margin_max", c.crop.train_margin_max);
    at_most("augment.jpeg_quality_min", double(c.augment.jpeg_quality_min), "augment.jpeg_quality_max",
            double(c.augment.jpeg_quality_max));
    at_most("scheduler.min_lr", c.scheduler.min_lr, "scheduler.max_lr", c.scheduler.max_lr);
    for (const auto& [key, list] : {std::pair("model.depths", &c.model.depths), std::pair("model.dims", &c.model.dims)})
      if (!list->empty() && list->size() != 4)
        refuse(key, str("has ", list->size(), " entries; expected four, or none"));
    if (!c.paths.train_csv.empty() && !c.paths.train_manifest.empty())
      refuse("paths.train_manifest", "and paths.train_csv are both set; expected one training list");
    if (!c.paths.val_protocol.empty() && !c.paths.val_manifest.empty())
      refuse("paths.val_manifest", "and paths.val_protocol are both set; expected one validation list");
    if (!c.paths.val_bbox_csv.empty() && c.paths.val_protocol.empty())
      refuse("paths.val_bbox_csv", "is set without paths.val_protocol (a manifest has its own boxes)");
    if (c.simulate.enabled && c.simulate.species.empty())
      refuse("simulate.species", "is empty, but simulate.enabled is true");
    std::set<Label> species;
    for (const SpeciesWeight& s : c.simulate.species) {
      const auto label = Label::parse(s.species);
      if (!label || label->genuine()) refuse("simulate.species", "names '" + s.species + "', which is no attack");
      if (!species.insert(*label).second) refuse("simulate.species", "names '" + s.species + "' twice");
    }
  }
  [[noreturn]] void refuse(const std::string& key, const std::string& why) const {
    throw UsageError(config_.origin.at(key) + ": " + key + " " + why);
  }

  LoadedConfig config_;
  std::vector<Option> table_;  // points into config_
};

}  // namespace

LoadedConfig load_config(const std::vector<std::string>& files, const std::vector<std::string>& overrides) {
  Loader loader;
  for (const std::string& path : files) {
    std::string text;
    try {
      text = read_file(path);
    } catch (const Error& e) {
      throw UsageError(std::string("configuration: ") + e.what());
    }
    loader.file(text, path);
  }
  for (const std::string& o : overrides) loader.command_line(o);
  return loader.finish();
}

LoadedConfig load_config_text(const std::string& text, const std::string& name,
                              const std::vector<std::string>& overrides) {
  Loader loader;
  loader.file(text, name);
  for (const std::string& o : overrides) loader.command_line(o);
  return loader.finish();
}

std::string print_config(const LoadedConfig& config) {
  TrainConfig values = config.values;
  std::size_t widest = 0;
  const std::vector<Option> table = option_table(values);
  std::vector<std::string> settings;
  for (const Option& o : table) {
    settings.push_back(o.key + " = " + value_text(to_json(o)));
    if (settings.back().size() <= 60) widest = std::max(widest, settings.back().size());
  }
  std::string text;
  for (std::size_t i = 0; i < table.size(); ++i) {
    const std::string& s = settings[i];
    text += s + std::string(s.size() < widest ? widest - s.size() : 0, ' ') + "  # " + config.origin.at(table[i].key) +
            "\n";
  }
  return text;
}

std::string config_json(const TrainConfig& config) {
  TrainConfig values = config;
  json root = json::object();
  for (const Option& o : option_table(values)) {
    json* at = &root;
    for (const std::string& part : split(o.key, '.')) at = &(*at)[part];
    *at = to_json(o);
  }
  return root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string config_origin_json(const LoadedConfig& config) {
  TrainConfig values;
  json root = json::object();
  for (const Option& o : option_table(values)) root[o.key] = config.origin.at(o.key);
  return root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

std::string option_help() {
  constexpr std::size_t kIndent = 8, kWidth = 100;
  TrainConfig defaults;
  std::string text;
  for (const Option& o : option_table(defaults)) {
    text += "  " + o.key + " = " + value_text(to_json(o)) + "\n";
    std::string line(kIndent, ' ');
    for (const std::string& word : split(o.help + " (" + expected(o) + ")", ' ')) {
      if (line.size() + word.size() >= kWidth) text += line + "\n", line.assign(kIndent, ' ');
      line += (line.size() > kIndent ? " " : "") + word;
    }
    text += line + "\n";
  }
  return text;
}

std::vector<std::string> changed_values(const TrainConfig& from, const TrainConfig& to) {
  TrainConfig a = from, b = to;
  const std::vector<Option> before = option_table(a), after = option_table(b);
  std::vector<std::string> changes;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const std::string x = value_text(to_json(before[i])), y = value_text(to_json(after[i]));
    if (x != y) changes.push_back(before[i].key + ": " + x + " -> " + y);
  }
  return changes;
}

}  // namespace bonafide
