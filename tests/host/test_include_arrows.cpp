// tests/host/test_include_arrows.cpp — reads every #include line and enforces the table of docs/contributing.md: arrows
// point one way, each file has one purpose in its first line, packages stay where they belong.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>

#include "tests/support/support.h"

using namespace bonafide;
namespace fs = std::filesystem;

namespace {

struct Source {
  std::string path, first_line;
  std::vector<std::string> includes;
  std::string code;  // without comments
};

std::vector<Source> sources() {
  std::vector<Source> all;
  const fs::path root = BF_SOURCE_DIR;
  for (const char* top : {"engine", "kernels", "layers", "data", "apps", "tests", "bench"})
    for (const auto& e : fs::recursive_directory_iterator(root / top)) {
      const auto ext = e.path().extension();
      if (ext != ".h" && ext != ".cpp" && ext != ".cu" && ext != ".cuh") continue;
      Source s{fs::relative(e.path(), root).generic_string(), {}, {}, {}};
      std::ifstream in(e.path());
      for (std::string line; std::getline(in, line);) {
        if (s.first_line.empty()) s.first_line = line;
        if (line.rfind("#include ", 0) == 0) s.includes.push_back(line.substr(10, line.find_first_of("\">", 10) - 10));
        s.code += line.substr(0, line.find("//")) + "\n";
      }
      all.push_back(std::move(s));
    }
  return all;
}

bool starts(const std::string& s, const std::string& part) { return s.rfind(part, 0) == 0; }

// The room a file lives in, and the rooms it may look into.
std::string room(const std::string& path) {
  for (const char* r : {"data/images/", "data/faces/"})
    if (starts(path, r)) return r;
  return path.substr(0, path.find('/') + 1);
}
const std::map<std::string, std::vector<std::string>> kMay = {
    {"engine/", {"engine/"}},
    {"kernels/", {"kernels/"}},  // and the foundations below
    {"layers/", {"layers/", "kernels/", "engine/"}},
    {"data/", {"data/", "layers/", "kernels/", "engine/"}},
    {"data/images/", {"data/images/", "data/", "layers/", "kernels/", "engine/"}},
    {"data/faces/", {"data/faces/", "data/images/", "data/", "layers/", "kernels/", "engine/"}},
    {"apps/", {"apps/", "data/images/", "data/faces/", "data/", "layers/", "kernels/", "engine/"}},
    {"bench/", {"bench/", "data/", "layers/", "kernels/", "engine/"}},
};
const std::vector<std::string> kFoundations = {"engine/base.h", "engine/bf16.h", "engine/cuda_check.h", "engine/cuda_runtime.h", "engine/device.h", "engine/parallel.h", "engine/philox.h"};

// Why this include is not allowed in this file; empty if it is.
std::string objection(const std::string& path, const std::string& include) {
  const std::string from = room(path), to = room(include);
  const bool header = path.ends_with(".h");
  if (from == "tests/" || from == "bench/") return "";
  if (starts(include, "opencv") || include == "turbojpeg.h")
    return from == "data/images/" || from == "data/faces/" ? "" : "OpenCV and TurboJPEG live in data/images and data/faces";
  if (starts(include, "oneapi/")) return starts(path, "kernels/") || from == "bench/" || path == "apps/common/build_info.cpp" ? "" : "oneDNN lives in kernels/";
  if (starts(include, "nlohmann/")) return header && include != "nlohmann/json_fwd.hpp" ? "json stays out of headers" : "";
  if (starts(include, "boost/")) return starts(path, "kernels/emulator/") ? "" : "Boost lives in kernels/emulator";
  if (starts(include, "CLI/")) return from == "apps/" ? "" : "CLI11 lives in apps/";
  if (!kMay.count(to)) return "";  // the standard library and system packages
  const auto& may = kMay.at(from);
  if (std::find(may.begin(), may.end(), to) != may.end()) return "";
  if (from == "kernels/" && std::find(kFoundations.begin(), kFoundations.end(), include) != kFoundations.end()) return "";
  return from + " may not include " + to;
}

}  // namespace

TEST_CASE("structure: #include arrows point one way") {
  std::string wrong;
  std::size_t seen = 0;
  for (const Source& s : sources())
    for (const auto& i : s.includes) {
      ++seen;
      if (const auto why = objection(s.path, i); !why.empty()) wrong += "\n  " + s.path + " includes " + i + ": " + why;
    }
  CHECK(seen > 100);
  CHECK_MESSAGE(wrong.empty(), wrong);
  // The rule itself must bite.
  CHECK(!objection("kernels/gelu/cpu.cpp", "engine/tensor.h").empty());
  CHECK(!objection("engine/tensor.cpp", "layers/weights.h").empty());
  CHECK(!objection("data/loader.cpp", "opencv2/core.hpp").empty());
  CHECK(!objection("layers/weights.h", "nlohmann/json.hpp").empty());
  CHECK(objection("kernels/gelu/cpu.cpp", "engine/bf16.h").empty());
}

TEST_CASE("structure: every file begins with its path") {
  std::string wrong;
  for (const Source& s : sources())
    if (!starts(s.first_line, "// " + s.path)) wrong += "\n  " + s.path + ": " + s.first_line;
  CHECK_MESSAGE(wrong.empty(), wrong);
}

// What bypasses the block, the emulator does not see.
TEST_CASE("structure: bodies of CUDA kernels touch memory only through their block") {
  const auto bypasses = [](const std::string& code) { return std::regex_search(code, std::regex(R"([.]ptr\b|\ba[.]\w+\[)")); };
  std::string wrong;
  std::size_t seen = 0;
  for (const Source& s : sources()) {
    if (!s.path.ends_with(".simt.h")) continue;
    ++seen;
    if (bypasses(s.code)) wrong += "\n  " + s.path + " reaches past its block";
    const std::string operation = fs::path(s.path).parent_path().filename().string(), test = "tests/kernels/test_" + operation + ".cpp";
    if (!fs::exists(fs::path(BF_SOURCE_DIR) / test)) wrong += "\n  " + s.path + " has no " + test;
  }
  CHECK(seen >= 2);
  CHECK_MESSAGE(wrong.empty(), wrong);
  CHECK(bypasses("a.x[i]"));
  CHECK(bypasses("*a.x.ptr"));
  CHECK(!bypasses("block.load(a.x, i)"));
}

TEST_CASE("structure: kernels and layers keep to their side of the pointer") {
  std::string wrong;
  for (const Source& s : sources()) {
    if (starts(s.path, "kernels/") && s.code.find("Tensor") != std::string::npos) wrong += "\n  " + s.path + " speaks of Tensor";
    if (starts(s.path, "layers/") && s.code.find("kernels::cpu::") != std::string::npos)
      wrong += "\n  " + s.path + " computes on the CPU wherever its tensors are";
    if (s.path != "kernels/simt/cuda_launch.cuh" && !starts(s.path, "tests/") && s.code.find("<<<") != std::string::npos)
      wrong += "\n  " + s.path + " launches a kernel";
  }
  CHECK_MESSAGE(wrong.empty(), wrong);
}
