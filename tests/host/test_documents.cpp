// tests/host/test_documents.cpp — the documents point at what is there: every relative link of README.md and docs/*.md
// leads to a file or folder (and to a heading, where it names one), and every document can be reached from the README.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "tests/support/support.h"

using namespace bonafide;
namespace fs = std::filesystem;

namespace {

const fs::path kRoot = BF_SOURCE_DIR;

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

// Markdown without its fenced blocks: code is not looked at, neither for links nor for headings.
std::string without_code(const std::string& text) {
  std::istringstream in(text);
  std::string kept;
  bool code = false;
  for (std::string line; std::getline(in, line);) {
    const bool fence = line.rfind("```", 0) == 0;
    if (fence) code = !code;
    if (!fence && !code) kept += line + "\n";
  }
  return kept;
}

// Targets of [text](target), without web addresses.
std::vector<std::string> links(const std::string& text) {
  std::vector<std::string> found;
  for (std::size_t at = text.find("]("); at != std::string::npos; at = text.find("](", at + 1)) {
    const std::string target = text.substr(at + 2, text.find(')', at) - at - 2);
    if (target.find("://") == std::string::npos && target.rfind("mailto:", 0) != 0) found.push_back(target);
  }
  return found;
}

// Headings as web pages of repositories spell them in addresses: small letters, no punctuation, blanks become hyphens.
std::set<std::string> anchors(const std::string& text) {
  std::set<std::string> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("#", 0) != 0) continue;
    std::string anchor;
    for (const char c : line.substr(std::min(line.size(), line.find_first_not_of("# ")))) {
      const auto u = static_cast<unsigned char>(c);
      if (std::isalnum(u) || c == '-' || c == '_' || u >= 0x80) anchor += char(std::tolower(u));
      if (c == ' ') anchor += '-';
    }
    all.insert(anchor);
  }
  return all;
}

// What is wrong with a link of `document` (a path below the root); empty if nothing is.
std::string objection(const fs::path& document, const std::string& link) {
  const std::string file = link.substr(0, link.find('#'));
  if (file.starts_with("/")) return "is absolute";
  const fs::path target = file.empty() ? document : (document.parent_path() / file).lexically_normal();
  if (target.begin()->string() == "..") return "leaves the repository";
  if (!fs::exists(kRoot / target)) return "leads nowhere";
  if (const auto hash = link.find('#'); hash != std::string::npos && target.extension() == ".md")
    if (!anchors(without_code(text_of(kRoot / target))).count(link.substr(hash + 1))) return "names no heading";
  return "";
}

std::vector<fs::path> documents() {
  std::vector<fs::path> all{"README.md"};
  for (const auto& e : fs::directory_iterator(kRoot / "docs"))
    if (e.path().extension() == ".md") all.push_back(fs::relative(e.path(), kRoot));
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

TEST_CASE("documents: every link leads somewhere") {
  std::string wrong;
  std::size_t seen = 0;
  for (const fs::path& d : documents())
    for (const std::string& link : links(without_code(text_of(kRoot / d)))) {
      ++seen;
      if (const auto why = objection(d, link); !why.empty()) wrong += "\n  " + d.string() + ": " + link + " " + why;
    }
  CHECK(seen > 40);
  CHECK_MESSAGE(wrong.empty(), wrong);
  // The rule itself must bite.
  CHECK(links("[a](b.md), [c](https://d.e) and ![f](g.png#h)") == std::vector<std::string>{"b.md", "g.png#h"});
  CHECK(links(without_code("```\n[a](b)\n```\n[c](d)\n")) == std::vector<std::string>{"d"});
  CHECK(anchors("## Error rates\ntext\n# A `b` (c)\n") == std::set<std::string>{"error-rates", "a-b-c"});
  CHECK(objection("docs/data.md", "../engine/tensor.h").empty());
  CHECK(objection("docs/data.md", "engine/tensor.h") == "leads nowhere");
  CHECK(objection("docs/data.md", "../../engine/tensor.h") == "leaves the repository");
  CHECK(objection("README.md", "/etc/hosts") == "is absolute");
  CHECK(objection("README.md", "docs/data.md#error-rates").empty());
  CHECK(objection("README.md", "docs/data.md#no-such-heading") == "names no heading");
}

TEST_CASE("documents: each can be reached from the README") {
  std::set<fs::path> reached{"README.md"};
  for (std::vector<fs::path> todo{"README.md"}; !todo.empty();) {
    const fs::path d = todo.back();
    todo.pop_back();
    for (const std::string& link : links(without_code(text_of(kRoot / d)))) {
      const fs::path to = (d.parent_path() / link.substr(0, link.find('#'))).lexically_normal();
      if (to.extension() == ".md" && fs::exists(kRoot / to) && reached.insert(to).second) todo.push_back(to);
    }
  }
  for (const fs::path& d : documents()) CHECK_MESSAGE(reached.count(d), d.string());
}
