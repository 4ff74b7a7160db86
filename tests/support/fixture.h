// tests/support/fixture.h — reads the reference numbers that tests/reference/*.py wrote into tests/fixtures/.
#pragma once
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/support.h"

namespace bonafide::test {

inline nlohmann::json fixture(const std::string& name) {
  const std::string path = std::string(BF_SOURCE_DIR) + "/tests/fixtures/" + name;
  std::ifstream in(path);
  BF_CHECK(in, "cannot open ", path, " (tests/reference/README.md says how to make it)");
  return nlohmann::json::parse(in);
}

inline std::vector<double> numbers(const nlohmann::json& j) { return j.get<std::vector<double>>(); }

}  // namespace bonafide::test
