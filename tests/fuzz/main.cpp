// tests/fuzz/main.cpp — hands libFuzzer's inputs to the one target of the program; `--seeds FOLDER` writes its seeds and ends.
#include <cstring>
#include <filesystem>
#include <fstream>

#include "tests/fuzz/target.h"

using bonafide::fuzz::targets;

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  if (*argc != 3 || std::strcmp((*argv)[1], "--seeds") != 0) return 0;
  const std::filesystem::path folder = (*argv)[2];
  std::filesystem::create_directories(folder);
  const auto& seeds = targets().at(0).seeds;
  for (std::size_t i = 0; i < seeds.size(); ++i) std::ofstream(folder / ("seed-" + std::to_string(i)), std::ios::binary) << seeds[i];
  std::exit(0);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  targets().at(0).run({reinterpret_cast<const char*>(data), size});
  return 0;
}
