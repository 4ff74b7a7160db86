// tests/host/test_dev.cpp — ./dev is spoken of correctly: what the documents, the Dockerfile and CI type exists, and what
// exists is in its help.
#include <filesystem>
#include <regex>
#include <set>

#include "engine/files.h"
#include "tests/support/support.h"

using namespace bonafide;
namespace fs = std::filesystem;

namespace {

const fs::path kRoot = BF_SOURCE_DIR;

std::set<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex r(pattern);
  std::set<std::string> all;
  for (std::sregex_iterator i(text.begin(), text.end(), r), end; i != end; ++i) all.insert((*i)[1]);
  return all;
}

// The functions that the dispatcher at the end of ./dev calls by name.
std::set<std::string> commands(const std::string& dev) {
  const std::size_t last = dev.rfind("\ncase $command in\n");
  REQUIRE(last != std::string::npos);
  const std::string line = dev.substr(last + 18, dev.find(')', last) - last - 18);
  return matches(line, "([a-z]+)");
}

}  // namespace

TEST_CASE("dev: every command is a function and has a line of help") {
  const std::string dev = read_file(kRoot / "dev");
  const std::size_t help = dev.find("<<'HELP'"), end = dev.find("\nHELP\n");
  REQUIRE(help < end);
  auto all = commands(dev);
  CHECK(all.size() > 8);
  CHECK(matches(dev, "\ncmd_([a-z]+)\\(\\)") == all);
  all.erase("help");
  CHECK(matches(dev.substr(help, end - help), "\n  ([a-z]+)(?= )") == all);
}

TEST_CASE("dev: what the documents, the Dockerfile and CI type exists") {
  const auto known = commands(read_file(kRoot / "dev"));
  std::string wrong;
  std::size_t seen = 0;
  for (const char* file : {"README.md", "docs/contributing.md", "docs/tour.md", "docs/data.md", "docs/evaluation.md", "docker/Dockerfile", ".ci/run"})
    for (const std::string& name : matches(read_file(kRoot / file), "[.]/dev ([a-z]+)")) {
      ++seen;
      if (!known.count(name)) wrong += str("\n  ", file, ": ./dev ", name);
    }
  CHECK(seen > 6);
  CHECK_MESSAGE(wrong.empty(), wrong);
  // The image is made of nothing else.
  CHECK(matches(read_file(kRoot / "docker/Dockerfile"), "\nRUN ([^\n]*)") == std::set<std::string>{"./dev setup", "./dev build"});
}
