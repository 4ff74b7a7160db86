// data/embedding_rows.cpp — see embedding_rows.h.
#include "data/embedding_rows.h"

#include <cstring>
#include <unordered_map>

#include "data/npy.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

constexpr const char *kNotInFile = "no embedding", *kNoNpy = "no embedding (no .npy of this name)",
                     *kShared = "ambiguous: another photograph has the same .npy";

// "data/Data-train/00001.png" -> "data/Data-train/00001"; as text, so that no byte of a name is lost.
std::string without_ending(const fs::path& path) { return (path.parent_path() / path.stem()).generic_string(); }

// Paths of all .npy below a folder, by what they are called below it, without the ending.
std::unordered_map<std::string, fs::path> npy_files(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw Error(folder.string() + ": is no folder");
  std::unordered_map<std::string, fs::path> files;
  for (const fs::directory_entry& e : fs::recursive_directory_iterator(folder))
    if (e.path().extension() == ".npy" && e.is_regular_file())
      files.emplace(without_ending(e.path().lexically_relative(folder)), e.path());
  if (files.empty()) throw Error(folder.string() + ": no .npy files below it");
  return files;
}

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
  const auto files = npy_files(folder);
  EmbeddingRows rows{.owner = {}, .bytes = {}, .dimension = 0, .row = {}, .reason = {}, .origin = folder.string()};

  // The file of each record: the longest tail of its path that there is.
  std::vector<const fs::path*> found;
  std::unordered_map<const fs::path*, std::int64_t> wanted_by;
  for (const Record& r : list.records) {
    const std::string whole = without_ending((data_dir / r.filename).lexically_normal());
    const fs::path* file = nullptr;
    for (std::size_t at = 0; !file; ++at) {
      if (const auto it = files.find(whole.substr(at)); it != files.end()) file = &it->second;
      at = whole.find('/', at);
      if (at == whole.npos) break;
    }
    found.push_back(file);
    if (file) ++wanted_by[file];
  }

  const auto values = std::make_shared<std::vector<float>>();
  for (const fs::path* file : found) {
    const bool shared = file && wanted_by[file] > 1;
    rows.reason.push_back(!file ? kNoNpy : shared ? kShared : "");
    rows.row.push_back(-1);
    if (!file || shared) continue;
    NpyArray a = read_npy(*file);
    const bool vector = a.shape.size() == 1 || (a.shape.size() == 2 && a.shape[0] == 1);
    if (!vector || a.values.empty())
      throw Error(str(file->string(), ": has shape ", shape_text(a.shape), ", expected one vector"));
    if (!rows.dimension) {
      rows.dimension = std::int64_t(a.values.size());
      values->reserve(list.records.size() * a.values.size());
    }
    if (std::int64_t(a.values.size()) != rows.dimension)
      throw Error(str(file->string(), ": a vector of ", a.values.size(), " values, the others have ", rows.dimension));
    make_unit(a.values, file->string() + ": the embedding");
    rows.row.back() = std::int64_t(values->size()) / rows.dimension;
    values->insert(values->end(), a.values.begin(), a.values.end());
  }
  rows.bytes = std::as_bytes(std::span<const float>(*values));
  rows.owner = values;
  return rows;
}

}  // namespace bonafide
