// tests/host/test_formula.cpp — the formula of weights and inputs is the same here and in tests/reference/formula.py.
#include "tests/support/fixture.h"
#include "tests/support/formula.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("formula: bits, numbers, parameters, samples and sketches equal Python's, exactly") {
  const auto want = fixture("formula.json");
  for (const auto& [name, bits] : want["bits"].items()) {
    const std::int64_t at[] = {0, 1, 2, 500, 1000};
    for (std::size_t k = 0; k < 5; ++k) CHECK(formula_bits(name, at[k]) == bits[k].get<std::uint32_t>());
  }
  const auto exact = [](const std::vector<float>& got, const nlohmann::json& w) {
    CHECK(std::vector<double>(got.begin(), got.end()) == numbers(w));
  };
  exact(formula("y", 9, 0.3f, 300), want["numbers"]);
  for (const auto& [name, p] : want["parameters"].items()) {
    const auto v = formula_parameter(name, p["shape"].get<std::vector<std::int64_t>>());
    exact({v.end() - 5, v.end()}, p["last"]);
  }
  for (std::size_t j = 0; j < 9; ++j)
    CHECK(formula_sample("cls.weight", std::int64_t(j), 320) == want["samples"][j].get<std::int64_t>());
  std::vector<double> v(1000);
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = formula_value("sketched", std::int64_t(i));
  expect_close("sketch", formula_sketch("sketched", v, 7), numbers(want["sketch"]), 1e-14, 1e-14);
}

TEST_CASE("formula: images equal Python's, byte for byte") {
  const auto want = fixture("formula.json")["images"];
  for (int label : {0, 1}) {
    const auto image = formula_image("img", label, 70, 65);
    const auto& w = want[std::to_string(label)];
    CHECK(std::vector<int>(image.begin(), image.begin() + 15) == w["first"].get<std::vector<int>>());
    std::int64_t sum = 0, weighted = 0;
    for (std::size_t i = 0; i < image.size(); ++i)
      sum += image[i], weighted += std::int64_t(image[i]) * std::int64_t(i % 97);
    CHECK(sum == w["sum"].get<std::int64_t>());
    CHECK(weighted == w["weighted"].get<std::int64_t>());
  }
}
