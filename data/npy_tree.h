// data/npy_tree.h — the published layout of embeddings: a folder of .npy files, a mirror of the photographs' tree or flat.
//
// The .npy of a photograph is told by name: with the longest tail of its path for which there is one,
//   data/Data-train/00001.png  ->  data/Data-train/00001.npy, Data-train/00001.npy, 00001.npy
// and where two photographs have one stem, `bonafide embed --npy` calls the second's by the whole name: 00001.png.npy (and
// what is called so already, 00001.png~2.npy). Paths are looked up in the list of files below the folder and nowhere else:
// no spelling of a path (`..`, absolute, through links) leads out of it. Linked folders are not entered.
#pragma once
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace bonafide {

class NpyTree {
 public:
  struct File {
    std::filesystem::path path;
    bool link = false;  // to a file
  };

  // Throws where it is no folder.
  explicit NpyTree(const std::filesystem::path& folder);
  std::int64_t size() const { return std::int64_t(files_.size()); }
  const std::filesystem::path& folder() const { return folder_; }

  // By the stem alone, as match does: null where there is none. `photograph`: its path with the folder that lists are relative to.
  const File* find(const std::filesystem::path& photograph) const;

  // What of the tree is of some photographs.
  struct Share {
    std::vector<const File*> files;  // in the order of their paths
    std::int64_t missing = 0;        // photographs without a file here
    std::int64_t shared = 0;         // files that could be another photograph's as well: names cannot tell
  };
  // `wanted`: the photographs; `others`: all others that are known; both as lists have them, below `data_dir`. A file that other
  // photographs have a claim to is left out only where that is certain: where all of `wanted` that claim it have a file of their own.
  Share files_of(const std::set<std::string>& wanted, const std::unordered_set<std::string>& others,
                 const std::filesystem::path& data_dir) const;

 private:
  std::vector<const File*> candidates(const std::filesystem::path& photograph) const;
  std::filesystem::path folder_;
  std::unordered_map<std::string, File> files_;  // by path below the folder, without .npy
};

}  // namespace bonafide
