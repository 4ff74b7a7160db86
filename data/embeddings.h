// data/embeddings.h — the embeddings of many faces in one file, apart from the photographs: unit vectors and an index.
//
// The file is safetensors (docs/data.md): `embeddings` [n, d] f32, every row of length 1; `index`, the bytes of a CSV
// `filename,subject` whose k-th line belongs to row k; metadata bonafide.embeddings = 1 (the version of this format),
// embedder, embedder_digest (of its weights), dimension, and whatever else was noted. It is mapped into memory and read
// row by row, so that a million rows need not be resident.
//
// Embeddings are personal data: `bonafide purge` erases a person from them.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/files.h"
#include "engine/safetensors.h"

namespace bonafide {

struct EmbeddingsInfo {
  std::string embedder;         // "inception_resnet_v1 vggface2"
  std::string embedder_digest;  // of the file with its weights
  std::int64_t dimension = 0;
  Metadata notes;  // carried through: detector, alignment, version, …
};

struct EmbeddedFace {
  std::string filename;  // as in the manifest; unique
  std::string subject;   // the person; empty: unknown
};

class EmbeddingsFile {
 public:
  // Throws an Error that names the file: no embeddings file, another version, shapes or an index that do not fit, a
  // filename listed twice. The vectors themselves are looked at when they are read.
  explicit EmbeddingsFile(const std::filesystem::path& path) : EmbeddingsFile(SafetensorsFile(path)) {}
  explicit EmbeddingsFile(SafetensorsFile file);
  EmbeddingsFile(EmbeddingsFile&&) = default;

  std::string name() const { return file_.path().string(); }
  const EmbeddingsInfo& info() const { return info_; }
  std::int64_t dimension() const { return info_.dimension; }
  std::int64_t rows() const { return std::int64_t(faces_.size()); }
  const std::vector<EmbeddedFace>& faces() const { return faces_; }
  std::int64_t find(const std::string& filename) const;  // its row, or -1
  std::string where(std::int64_t row) const;             // "FILE: row 17 (anna/1.jpg)", rows counted from 0

  // Row `row` into out [dimension]. Throws, naming the row, where it is no unit vector (a NaN, an infinity, length 0).
  void read(std::int64_t row, Span<float> out) const;

  // All rows [rows, dimension] as they lie in the mapped file: f32, not necessarily aligned, not checked.
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  SafetensorsFile file_;
  EmbeddingsInfo info_;
  std::vector<EmbeddedFace> faces_;
  std::unordered_map<std::string_view, std::int64_t> row_of_;  // keys are those of faces_
  std::span<const std::byte> bytes_;
};

// Writes the file row by row; it appears with commit(), whole. Holds the index in memory, not the vectors.
//
// Under a resumable journal (data/work_list.h) the vector of a face is its result, as bytes; the file is then written from
// WorkList::for_each(), in input order: the same bytes for any number of workers and after any interruption.
class EmbeddingsWriter {
 public:
  EmbeddingsWriter(const std::filesystem::path& path, EmbeddingsInfo info);

  // The next row. A vector that is not of unit length is brought to it; one that is stays as it is, bit for bit. Throws,
  // naming the face, where a value is not finite or all are 0; and where a name holds a control character or came before.
  void append(const EmbeddedFace& face, Span<const float> vector);
  std::int64_t rows() const { return rows_; }
  void commit();

 private:
  std::string header(std::int64_t rows, std::int64_t index_bytes) const;  // always kept at header_bytes_
  EmbeddingsInfo info_;
  std::size_t header_bytes_ = 0;
  AtomicFile file_;
  std::string index_;
  std::unordered_map<std::string, std::int64_t> row_of_;
  std::int64_t rows_ = 0;
  std::vector<float> unit_;
};

// The journal of `bonafide embed` in the folder of its outputs. While it is there it holds vectors.
inline constexpr const char* kEmbedJournal = "embed.journal";

// v / |v|, computed in f64; v itself where |v| is 1 already. Throws `what`: "is no direction (…)" where |v| is 0 or no number.
void make_unit(Span<float> v, const std::string& what);

}  // namespace bonafide
