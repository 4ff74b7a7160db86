// data/npy_tree.cpp — see npy_tree.h.
#include "data/npy_tree.h"

#include <algorithm>

#include "data/output_names.h"
#include "engine/base.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

// "data/Data-train/00001.png" -> "data/Data-train/00001"; as text, so that no byte of a name is lost.
std::string without_ending(const fs::path& path) { return (path.parent_path() / path.stem()).generic_string(); }

// Calls use(tail) for the path and all tails of it that begin behind a slash, the longest first, until it answers true.
template <class Use>
void for_each_tail(const std::string& path, Use&& use) {
  for (std::size_t at = 0; !use(path.substr(at)); ++at)
    if ((at = path.find('/', at)) == path.npos) return;
}

}  // namespace

NpyTree::NpyTree(const fs::path& folder) : folder_(folder) {
  if (!fs::is_directory(folder)) throw Error(folder.string() + ": is no folder");
  for (const fs::directory_entry& e : fs::recursive_directory_iterator(folder))
    if (e.path().extension() == ".npy" && e.is_regular_file())
      files_.emplace(without_ending(e.path().lexically_relative(folder)), File{e.path(), e.is_symlink()});
}

const NpyTree::File* NpyTree::find(const fs::path& photograph) const {
  const File* found = nullptr;
  for_each_tail(without_ending(photograph.lexically_normal()), [&](const std::string& tail) {
    const auto it = files_.find(tail);
    if (it != files_.end()) found = &it->second;
    return found != nullptr;
  });
  return found;
}

// All that may be the photograph's, of the longest tail under which there are any. embed leaves `..` out where match resolves it.
std::vector<const NpyTree::File*> NpyTree::candidates(const fs::path& photograph) const {
  std::vector<const File*> found;
  const auto take = [&](const std::string& name) {
    const auto it = files_.find(name);
    if (it == files_.end()) return false;
    if (std::find(found.begin(), found.end(), &it->second) == found.end()) found.push_back(&it->second);
    return true;
  };
  for (const fs::path& spelled : {photograph.lexically_normal(), path_inside(photograph)}) {
    const std::size_t before = found.size();
    for_each_tail(spelled.generic_string(), [&](const std::string& tail) {
      take(without_ending(tail));
      take(tail);
      for (int k = 2; take(str(tail, "~", k));) ++k;
      return found.size() > before;
    });
  }
  return found;
}

NpyTree::Share NpyTree::files_of(const std::set<std::string>& wanted, const std::unordered_set<std::string>& others,
                                 const fs::path& data_dir) const {
  struct Claims {
    std::int64_t all = 0, wanted = 0;
  };
  std::unordered_map<const File*, Claims> claims;
  Share share;
  for (const std::string& name : wanted) {
    const auto own = candidates(data_dir / name);
    for (const File* f : own) ++claims[f].all, ++claims[f].wanted;
    share.missing += own.empty();
  }
  for (const std::string& name : others)
    if (!wanted.count(name))
      for (const File* f : candidates(data_dir / name)) ++claims[f].all;
  // A photograph has one file: who has one that nobody else claims has no part in the others.
  const auto only_file = [&](const std::string& name) -> const File* {
    for (const File* f : candidates(data_dir / name))
      if (claims[f].all == 1) return f;
    return nullptr;
  };
  std::unordered_map<const File*, Claims> open;  // without the claims of those
  const auto count = [&](const std::string& name, bool is_wanted) {
    const auto all = candidates(data_dir / name);
    if (all.empty() || only_file(name)) return;
    for (const File* f : all) ++open[f].all, open[f].wanted += is_wanted;
  };
  for (const std::string& name : wanted) {
    count(name, true);
    if (const File* f = only_file(name)) open[f] = {1, 1};
  }
  for (const std::string& name : others)
    if (!wanted.count(name)) count(name, false);
  for (const auto& [file, c] : open) {
    if (!c.wanted) continue;
    share.files.push_back(file);
    share.shared += c.all > c.wanted;
  }
  std::sort(share.files.begin(), share.files.end(), [](const File* a, const File* b) { return a->path < b->path; });
  return share;
}

}  // namespace bonafide
