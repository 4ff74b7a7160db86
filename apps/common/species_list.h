// apps/common/species_list.h — "print,replay,1_0_2" from a command line.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "apps/common/exit_codes.h"
#include "data/images/simulate.h"

namespace bonafide {

// Species that the simulator renders, each once, in the order given. Throws a UsageError that lists them.
inline std::vector<Label> parse_species(const std::vector<std::string>& words, bool allow_control = false) {
  std::vector<Label> all = PhotoSimulator::species(), found;
  if (allow_control) all.push_back(kRecoded);
  for (const std::string& word : words) {
    const auto label = Label::parse(word);
    if (!label || std::find(all.begin(), all.end(), *label) == all.end()) {
      std::string known;
      for (const Label& l : all) known += str(known.empty() ? "" : ", ", l.name());
      throw UsageError(str("'", word, "' is no species that can be simulated (", known, ")"));
    }
    if (std::find(found.begin(), found.end(), *label) == found.end()) found.push_back(*label);
  }
  return found;
}

}  // namespace bonafide
