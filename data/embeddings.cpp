// data/embeddings.cpp — see embeddings.h.
#include "data/embeddings.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "data/csv.h"

namespace bonafide {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char *kVersionKey = "bonafide.embeddings", *kVersion = "1", *kEmbedder = "embedder",
                     *kDigest = "embedder_digest", *kDimension = "dimension";
const std::vector<std::string> kIndexHeader = {"filename", "subject"};
constexpr std::int64_t kLargestDimension = 1 << 20;

double squared_length(Span<const float> v) {
  double sum = 0;
  for (const float x : v) sum += double(x) * double(x);
  return sum;
}

std::string not_unit(double squared) {
  if (std::isfinite(squared) && squared > 0) return str("has length ", std::sqrt(squared), ", expected 1");
  return squared == 0 ? "is 0 everywhere" : "holds a value that is not finite";
}

}  // namespace

void make_unit(Span<float> v, const std::string& what) {
  const double squared = squared_length(v);
  // A row that was rounded to f32 is within 2^-24 of its length: what is nearly of length 1 stays, so that copying a file
  // changes no bit.
  if (std::abs(squared - 1) <= 0x1p-20) return;
  if (!std::isfinite(squared) || squared == 0) throw Error(str(what, " is no direction: it ", not_unit(squared)));
  const double scale = 1 / std::sqrt(squared);
  for (float& x : v) x = float(double(x) * scale);
}

EmbeddingsFile::EmbeddingsFile(SafetensorsFile file) : file_(std::move(file)) {
  const auto fail = [&](const auto&... what) { throw Error(clipped(str(name(), ": ", what...))); };
  const std::string version = file_.metadata(kVersionKey, "");
  if (version.empty()) fail("is no embeddings file (its metadata has no ", kVersionKey, ")");
  if (version != kVersion) fail("embeddings of version ", version, ", expected ", kVersion);
  const StoredArray &vectors = file_.at("embeddings"), &index = file_.at("index");
  if (vectors.type != StoredType::f32 || vectors.shape.size() != 2 || vectors.shape[1] < 1 ||
      vectors.shape[1] > kLargestDimension)
    fail("tensor 'embeddings' is ", name_of(vectors.type), " ", shape_text(vectors.shape), ", expected F32 [faces, dimension]");
  if (index.type != StoredType::u8) fail("tensor 'index' is ", name_of(index.type), ", expected U8: the text of a CSV");
  bytes_ = vectors.bytes;
  info_.dimension = vectors.shape[1];
  for (const auto& [key, value] : file_.metadata()) {
    if (key == kEmbedder) info_.embedder = value;
    else if (key == kDigest) info_.embedder_digest = value;
    else if (key == kDimension && value != str(info_.dimension))
      fail("its metadata says dimension ", value, ", its vectors have ", info_.dimension);
    else if (key != kDimension && key != kVersionKey) info_.notes.emplace(key, value);
  }

  CsvReader csv(std::string(reinterpret_cast<const char*>(index.bytes.data()), index.bytes.size()), name() + " (index)");
  const int filename = csv.column("filename"), subject = csv.column("subject");
  while (csv.next()) {
    EmbeddedFace face{csv.row()[std::size_t(filename)], csv.row()[std::size_t(subject)]};
    if (face.filename.empty()) csv.fail("column 'filename' is empty");
    if (!printable_path(face.filename) || !printable_path(face.subject)) csv.fail("a name holds a control character");
    faces_.push_back(std::move(face));
    if (rows() > vectors.shape[0]) break;
  }
  if (rows() != vectors.shape[0])
    fail("its index has ", rows() > vectors.shape[0] ? "more" : "fewer", " lines than the ", vectors.shape[0], " rows of its vectors");
  for (std::int64_t i = 0; i < rows(); ++i)
    if (const auto [it, fresh] = row_of_.emplace(faces_[std::size_t(i)].filename, i); !fresh)
      fail(it->first, " is listed twice, in rows ", it->second, " and ", i);
}

std::int64_t EmbeddingsFile::find(const std::string& filename) const {
  const auto it = row_of_.find(filename);
  return it == row_of_.end() ? -1 : it->second;
}

std::string EmbeddingsFile::where(std::int64_t row) const {
  return str(name(), ": row ", row, " (", faces_[std::size_t(row)].filename, ")");
}

void EmbeddingsFile::read(std::int64_t row, Span<float> out) const {
  BF_CHECK(row >= 0 && row < rows() && out.len == dimension(), "row ", row, " of ", rows(), " into ", out.len, " of ",
           dimension(), " values");
  const std::size_t n = std::size_t(dimension()) * 4;
  std::memcpy(out.ptr, bytes_.data() + std::size_t(row) * n, n);
  const double squared = squared_length(out);
  if (!(std::abs(squared - 1) <= 2e-3)) throw Error(str(where(row), ": the embedding ", not_unit(squared)));
}

EmbeddingsWriter::EmbeddingsWriter(const std::filesystem::path& path, EmbeddingsInfo info)
    : info_(std::move(info)), file_(path), index_(csv_line(kIndexHeader)) {
  BF_CHECK(info_.dimension >= 1 && info_.dimension <= kLargestDimension, "dimension ", info_.dimension);
  for (const char* key : {kVersionKey, kEmbedder, kDigest, kDimension})
    BF_CHECK(!info_.notes.count(key), "a note may not be called ", key);
  // Room for the longest numbers there can be: the header is written again when they are known.
  header_bytes_ = ceil_div<std::size_t>(header(INT64_MAX / 4 / (4 * info_.dimension), INT64_MAX / 4).size(), 64) * 64;
  const std::uint64_t length = header_bytes_ - 8;
  file_.write(&length, 8);
  file_.write(std::string(header_bytes_ - 8, ' '));
}

// With the eight bytes of its length in front.
std::string EmbeddingsWriter::header(std::int64_t rows, std::int64_t index_bytes) const {
  Metadata metadata = info_.notes;
  metadata[kVersionKey] = kVersion, metadata[kEmbedder] = info_.embedder, metadata[kDigest] = info_.embedder_digest;
  metadata[kDimension] = str(info_.dimension);
  const std::int64_t end = rows * info_.dimension * 4;
  Json j;
  j["__metadata__"] = metadata;
  j["embeddings"] = {{"dtype", "F32"}, {"shape", Json::array({rows, info_.dimension})}, {"data_offsets", Json::array({0, end})}};
  j["index"] = {{"dtype", "U8"}, {"shape", Json::array({index_bytes})}, {"data_offsets", Json::array({end, end + index_bytes})}};
  return std::string(8, '\0') + j.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void EmbeddingsWriter::append(const EmbeddedFace& face, Span<const float> vector) {
  BF_CHECK(vector.len == info_.dimension, face.filename, ": ", vector.len, " values, expected ", info_.dimension);
  if (face.filename.empty() || !printable_path(face.filename) || !printable_path(face.subject))
    throw Error(str("row ", rows_, ": '", face.filename, "' of '", face.subject, "': a name is empty or holds a control character"));
  if (const auto [it, fresh] = row_of_.emplace(face.filename, rows_); !fresh)
    throw Error(str(face.filename, ": has an embedding already, in row ", it->second));
  unit_.assign(vector.begin(), vector.end());
  make_unit(unit_, str("the embedding of ", face.filename, " (row ", rows_, ")"));
  file_.write(unit_.data(), unit_.size() * 4);
  index_ += csv_line({face.filename, face.subject});
  ++rows_;
}

void EmbeddingsWriter::commit() {
  std::string text = header(rows_, std::int64_t(index_.size()));
  BF_CHECK(text.size() <= header_bytes_, "a header of ", text.size(), " bytes in ", header_bytes_);
  text.resize(header_bytes_, ' ');
  file_.write(index_);
  file_.rewrite(8, std::string_view(text).substr(8));
  file_.commit();
}

}  // namespace bonafide
