// data/embedding_rows.h — which vector belongs to which row of a list: out of one embeddings file, or of a tree of .npy files.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/embeddings.h"
#include "data/manifest.h"

namespace bonafide {

struct EmbeddingRows {
  std::shared_ptr<const void> owner;  // of `bytes`
  std::span<const std::byte> bytes;   // vectors of unit length, f32, `dimension` values each; not necessarily aligned
  std::int64_t dimension = 0;
  std::vector<std::int64_t> row;    // of each record: its vector, or -1
  std::vector<std::string> reason;  // of each record without a vector: why
  std::string origin;               // the file or the folder

  std::vector<float> vector(std::int64_t at) const;  // one of `bytes`
};

// Records that wait for nothing (rejected, unlabelled) are looked up like all others. Every vector that is found is checked.

// By embedding_row where the record has one (the file's name in that row must be the record's: an error otherwise), else by
// filename. Nothing is copied: the file stays mapped.
EmbeddingRows find_embeddings(std::shared_ptr<const EmbeddingsFile> file, const Manifest& list);

// The published layout: a folder of .npy files that mirrors the tree of photographs, or a flat one. The .npy of a photograph
// is the one whose path below `folder`, without its ending, is the longest tail of the photograph's path (data_dir/filename,
// without its ending): for data/Data-train/00001.png that is Data-train/00001.npy before 00001.npy. Two photographs that end
// up at one .npy, and names that differ in nothing but their ending, get none: reason "ambiguous: …". Throws where a file is
// no vector or its length is not that of the others. All vectors are held in memory.
EmbeddingRows find_npy_embeddings(const std::filesystem::path& folder, const std::filesystem::path& data_dir, const Manifest& list);

}  // namespace bonafide
