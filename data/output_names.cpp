// data/output_names.cpp — see output_names.h.
#include "data/output_names.h"

#include <unordered_set>

#include "engine/base.h"

namespace bonafide {
namespace fs = std::filesystem;

fs::path path_inside(const fs::path& path) {
  fs::path kept;
  for (const fs::path& part : path.relative_path())
    if (!part.empty() && part != "." && part != "..") kept /= part;
  return kept.empty() ? fs::path("unnamed") : kept;
}

std::vector<std::string> output_names(const std::vector<std::string>& inputs, const std::string& extension) {
  std::vector<fs::path> own;
  std::unordered_set<std::string> taken;  // names, and the folders they lie in
  for (const std::string& input : inputs) {
    own.push_back(path_inside(input));
    for (fs::path folder = own.back().parent_path(); !folder.empty() && taken.insert(folder.string()).second;)
      folder = folder.parent_path();
  }
  std::vector<std::string> names(inputs.size());
  for (std::size_t i = 0; i < own.size(); ++i)  // who has the extension keeps the name
    if (own[i].extension() == extension && taken.insert(own[i].string()).second) names[i] = own[i].string();
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (!names[i].empty()) continue;
    const auto take = [&](const std::string& name) { return taken.insert(name).second ? names[i] = name, true : false; };
    if (take(fs::path(own[i]).replace_extension(extension).string()) || take(own[i].string() + extension)) continue;
    for (int k = 2; !take(str(own[i].string(), "~", k, extension));) ++k;
  }
  return names;
}

}  // namespace bonafide
