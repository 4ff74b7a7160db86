// apps/common/options_table.h — one row for each setting: key, field, meaning, what is allowed. Only options.cpp reads
// it.
#pragma once
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "apps/common/options.h"

namespace bonafide {

struct Allowed {
  std::vector<std::string> choices;  // of a text; upper and lower case are the same
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool low_excluded = false;
  bool or_bool = false;  // a text that may also be written as true or false
};

struct Option {
  using Field = std::variant<bool*, std::int64_t*, double*, std::string*, std::vector<std::int64_t>*, Normalization*,
                             std::vector<SpeciesWeight>*>;
  std::string key;
  Field field;  // of the TrainConfig that the table was made for
  std::string help;
  Allowed allowed = {};
};
std::vector<Option> option_table(TrainConfig&);

// A key of the published configuration that does nothing here. Setting it to anything but `harmless` (JSON values; none
// listed: any value is) is answered with a warning.
struct KeyWithoutEffect {
  std::string key;  // "wandb.*" is a whole section
  std::vector<std::string> harmless;
  std::string why;
};
const std::vector<KeyWithoutEffect>& keys_without_effect();

}  // namespace bonafide
