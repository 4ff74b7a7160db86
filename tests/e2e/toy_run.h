// tests/e2e/toy_run.h — `bonafide train` on the toy data, and what a run leaves behind.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "tests/e2e/toy_data.h"

namespace bonafide::test {

// The toy configuration as a file, and the words that train with it into `folder`/runs/<name>.
std::vector<std::string> train_words(const ToyData& data, const std::string& name, std::vector<std::string> more = {});
std::filesystem::path run_of(const ToyData& data, const std::string& name);
std::vector<float> final_weights(const std::filesystem::path& run);
std::int64_t lines(const std::filesystem::path& file);

}  // namespace bonafide::test
