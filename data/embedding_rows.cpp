// data/embedding_rows.cpp — see embedding_rows.h.
#include "data/embedding_rows.h"

#include <cstring>
#include <unordered_map>

#include "data/npy.h"
#include "data/npy_tree.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

constexpr const char *kNotInFile = "no embedding", *kNoNpy = "no embedding (no .npy of this name)",
                     *kShared = "ambiguous: another photograph has the same .npy";

}  // namespace

std::vector<float> EmbeddingRows::vector(std::int64_t at) const {
  BF_CHECK(at >= 0 && (at + 1) * dimension * 4 <= std::int64_t(bytes.size()), "row ", at, " of ", origin);
  std::vector<float> v(static_cast<std::size_t>(dimension));
  std::memcpy(v.data(), bytes.data() + std::size_t(at * dimension) * 4, v.size() * 4);
  return v;
}

EmbeddingRows find_embeddings(std::shared_ptr<const EmbeddingsFile> file, const Manifest& list) {
  EmbeddingRows rows{.owner = file, .bytes = file->bytes(), .dimension = file->dimension(), .row = {}, .reason = {}, .origin = file->name()};
  std::vector<float> v(static_cast<std::size_t>(rows.dimension));
  for (const Record& r : list.records) {
    std::int64_t row = r.embedding_row;
    if (row < 0) {
      row = file->find(r.filename);
    } else if (row >= file->rows()) {
      throw Error(str(list.where(r), ": embedding_row ", row, ", but ", file->name(), " has ", file->rows(), " rows"));
    } else if (const EmbeddedFace& face = file->faces()[std::size_t(row)]; face.filename != r.filename) {
      throw Error(str(list.where(r), ": embedding_row ", row, " of ", file->name(), " is of ", face.filename, ", not of ",
                      r.filename, ": this list and these embeddings do not belong together"));
    }
    if (row >= 0) file->read(row, v);  // throws where it is no unit vector
    rows.row.push_back(row);
    rows.reason.push_back(row < 0 ? kNotInFile : "");
  }
  return rows;
}

EmbeddingRows find_npy_embeddings(const fs::path& folder, const fs::path& data_dir, const Manifest& list) {
  const NpyTree tree(folder);
  if (!tree.size()) throw Error(folder.string() + ": no .npy files below it");
  EmbeddingRows rows{.owner = {}, .bytes = {}, .dimension = 0, .row = {}, .reason = {}, .origin = folder.string()};
  std::vector<const NpyTree::File*> found;
  std::unordered_map<const NpyTree::File*, std::int64_t> wanted_by;
  for (const Record& r : list.records)
    if (found.push_back(tree.find(data_dir / r.filename)); found.back()) ++wanted_by[found.back()];

  const auto values = std::make_shared<std::vector<float>>();
  for (const NpyTree::File* file : found) {
    const bool shared = file && wanted_by[file] > 1;
    rows.reason.push_back(!file ? kNoNpy : shared ? kShared : "");
    rows.row.push_back(-1);
    if (!file || shared) continue;
    NpyArray a = read_npy(file->path);
    const bool vector = a.shape.size() == 1 || (a.shape.size() == 2 && a.shape[0] == 1);
    if (!vector || a.values.empty())
      throw Error(str(file->path.string(), ": has shape ", shape_text(a.shape), ", expected one vector"));
    if (!rows.dimension) {
      rows.dimension = std::int64_t(a.values.size());
      values->reserve(list.records.size() * a.values.size());
    }
    if (std::int64_t(a.values.size()) != rows.dimension)
      throw Error(str(file->path.string(), ": a vector of ", a.values.size(), " values, the others have ", rows.dimension));
    make_unit(a.values, file->path.string() + ": the embedding");
    rows.row.back() = std::int64_t(values->size()) / rows.dimension;
    values->insert(values->end(), a.values.begin(), a.values.end());
  }
  rows.bytes = std::as_bytes(std::span<const float>(*values));
  rows.owner = values;
  return rows;
}

}  // namespace bonafide
