// tests/e2e/toy_run.cpp
#include "tests/e2e/toy_run.h"

#include <algorithm>

#include "engine/files.h"
#include "engine/safetensors.h"

namespace bonafide::test {
namespace fs = std::filesystem;

std::vector<std::string> train_words(const ToyData& data, const std::string& name, std::vector<std::string> more) {
  write_file_atomically(data.root / "toy.json", config_json(toy_config(data)));
  std::vector<std::string> words{"train", "--config", (data.root / "toy.json").string(), "--name", name,
                                 "trainer.weights_save_folder=" + (data.root / "runs").string()};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}
fs::path run_of(const ToyData& data, const std::string& name) { return data.root / "runs" / name; }

std::vector<float> final_weights(const fs::path& run) {
  const SafetensorsFile f(run / "checkpoints/last/model.safetensors");
  std::vector<float> all;
  for (const auto& a : f.arrays())
    for (float v : f.read<float>(a.name)) all.push_back(v);
  return all;
}

std::int64_t lines(const fs::path& file) {
  const std::string s = read_file(file);
  return std::count(s.begin(), s.end(), '\n');
}

}  // namespace bonafide::test
