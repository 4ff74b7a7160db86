// tests/host/test_embeddings.cpp — the packed embeddings file and the published tree of .npy files: what is written is read
// back bit for bit, and every bad file is refused with its row or its name.
#include "data/embeddings.h"

#include <cmath>
#include <filesystem>

#include "data/embedding_rows.h"
#include "data/npy.h"
#include "data/work_list.h"
#include "tests/support/full_disk.h"
#include "tests/support/lists.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

const EmbeddingsInfo kInfo{"toy embedder, \"quoted\"", "xxh3-128:0123", 3, {{"detector", "haar"}}};
const std::vector<EmbeddedFace> kFaces = {
    {"a.jpg", "anna"}, {"b, \"c\".jpg", ""}, {"Zoë/ 你好.png", "Zoë, 2nd"}, {" blank ", "anna"}};
const std::vector<std::vector<float>> kVectors = {{1, 0, 0}, {0, 3, 4}, {-1e-20f, 0, 1e-20f}, {0.6f, 0, -0.8f}};

void write_toy(const fs::path& path) {
  EmbeddingsWriter w(path, kInfo);
  for (std::size_t i = 0; i < kFaces.size(); ++i) w.append(kFaces[i], kVectors[i]);
  CHECK(w.rows() == 4);
  CHECK(!fs::exists(path));  // not before it is whole
  w.commit();
}

std::vector<float> row_of(const EmbeddingsFile& f, std::int64_t row) {
  std::vector<float> v(std::size_t(f.dimension()));
  f.read(row, v);
  return v;
}

// An embeddings file of one's own making.
struct Raw {
  std::vector<float> vectors = {1, 0, 0, 1};
  std::vector<std::int64_t> shape = {2, 2};
  std::string index = "filename,subject\na,\nb,\n";
  Metadata metadata = {{"bonafide.embeddings", "1"}, {"dimension", "2"}};
  std::string write(const TempFolder& dir) const {
    const std::vector<std::uint8_t> text(index.begin(), index.end());
    const std::vector<StoredArray> arrays = {
        stored_array<float>("embeddings", shape, Span<const float>(vectors)),
        stored_array<std::uint8_t>("index", {std::int64_t(text.size())}, Span<const std::uint8_t>(text))};
    write_safetensors(dir / "raw.safetensors", arrays, metadata);
    return (dir / "raw.safetensors").string();
  }
};

}  // namespace

TEST_CASE("embeddings: rows come back as unit vectors, with their names and what was noted") {
  TempFolder dir;
  write_toy(dir / "e.safetensors");
  const EmbeddingsFile f(dir / "e.safetensors");
  CHECK(f.info().embedder == kInfo.embedder);
  CHECK(f.info().embedder_digest == kInfo.embedder_digest);
  CHECK(f.info().notes == kInfo.notes);
  CHECK(f.dimension() == 3);
  REQUIRE(f.rows() == 4);
  for (std::size_t i = 0; i < kFaces.size(); ++i) {
    CHECK(f.faces()[i].filename == kFaces[i].filename);
    CHECK(f.faces()[i].subject == kFaces[i].subject);
    CHECK(f.find(kFaces[i].filename) == std::int64_t(i));
  }
  CHECK(f.find("none") == -1);
  CHECK(row_of(f, 0) == std::vector<float>{1, 0, 0});
  CHECK(row_of(f, 1) == std::vector<float>{0, 0.6f, 0.8f});
  CHECK(row_of(f, 2)[0] == doctest::Approx(-std::sqrt(0.5)));
  CHECK(row_of(f, 3) == std::vector<float>{0.6f, 0, -0.8f});
  CHECK(f.where(1) == f.name() + ": row 1 (b, \"c\".jpg)");
  CHECK(f.bytes().size() == 4 * 3 * 4);
  // It is a safetensors file like any other.
  const SafetensorsFile plain(dir / "e.safetensors");
  CHECK(plain.at("embeddings").shape == std::vector<std::int64_t>{4, 3});
  CHECK(plain.at("index").type == StoredType::u8);
}

TEST_CASE("embeddings: the same rows give the same bytes; copying a file changes no bit") {
  TempFolder dir;
  EmbeddingsInfo info{"x", "", 64, {}};
  const Buffer<> values = Buffer<>::random(200 * 64, 3);
  {
    EmbeddingsWriter w(dir / "a", info);
    for (std::int64_t i = 0; i < 200; ++i) w.append({str("f", i), ""}, values.cspan().slice(i * 64, 64));
    w.commit();
  }
  const EmbeddingsFile a(dir / "a");
  {
    EmbeddingsWriter w(dir / "b", a.info());
    for (std::int64_t i = 0; i < 200; ++i) w.append(a.faces()[std::size_t(i)], row_of(a, i));
    w.commit();
  }
  CHECK(read_file(dir / "a") == read_file(dir / "b"));
  for (std::int64_t i = 0; i < 200; ++i) {
    double squared = 0;
    for (const float x : row_of(a, i)) squared += double(x) * double(x);
    CHECK(std::abs(squared - 1) < 1e-6);
  }
}

TEST_CASE("embeddings: what another program made a unit vector of in f32 is kept bit for bit") {
  TempFolder dir;
  const std::vector<float> row{0.6f, 0, -0.8000003f};  // longer than 1 by some ulps
  EmbeddingsWriter w(dir / "e", kInfo);
  w.append(kFaces[0], row);
  w.commit();
  CHECK(row_of(EmbeddingsFile(dir / "e"), 0) == row);
}

TEST_CASE("embeddings: notes stand in the file as UTF-8, as in every safetensors file; a broken letter loses no embedding") {
  TempFolder dir;
  EmbeddingsInfo info = kInfo;
  info.notes = {{"detector", "Zoë's 你好"}, {"folder", "caf\xe9"}};  // a path in Latin-1
  EmbeddingsWriter w(dir / "e", info);
  w.append(kFaces[0], kVectors[0]);
  w.commit();
  CHECK(read_file(dir / "e").find(R"("detector":"Zoë's 你好")") != std::string::npos);
  CHECK(EmbeddingsFile(dir / "e").info().notes == Metadata{{"detector", "Zoë's 你好"}, {"folder", "caf\xef\xbf\xbd"}});
}

TEST_CASE("embeddings: no rows at all are a file too") {
  TempFolder dir;
  EmbeddingsWriter(dir / "e", kInfo).commit();
  CHECK(EmbeddingsFile(dir / "e").rows() == 0);
}

TEST_CASE("embeddings: what no embedding can be is refused when it is written, naming the face") {
  TempFolder dir;
  const fs::path path = dir / "e";
  const auto append = [&](const EmbeddedFace& face, std::vector<float> v) {
    EmbeddingsWriter w(path, kInfo);
    w.append({"first", ""}, kVectors[0]);
    w.append(face, v);
  };
  expect_throw("the embedding of x (row 1) is no direction: it holds a value that is not finite", [&] { append({"x", ""}, {0, NAN, 1}); });
  expect_throw("holds a value that is not finite", [&] { append({"x", ""}, {0, INFINITY, 1}); });
  expect_throw("the embedding of x (row 1) is no direction: it is 0 everywhere", [&] { append({"x", ""}, {0, 0, 0}); });
  expect_throw("first: has an embedding already, in row 0", [&] { append({"first", ""}, {1, 0, 0}); });
  expect_throw("a name is empty or holds a control character", [&] { append({"", ""}, {1, 0, 0}); });
  expect_throw("a name is empty or holds a control character", [&] { append({"a\nb", ""}, {1, 0, 0}); });
  expect_throw("a name is empty or holds a control character", [&] { append({"a", "x\x1b"}, {1, 0, 0}); });
  expect_throw("2 values, expected 3", [&] { append({"x", ""}, {1, 0}); });
  CHECK(fs::is_empty(dir.path()));  // nothing temporary stays behind
}

TEST_CASE("embeddings: a full disk leaves the old file") {
  TempFolder dir;
  write_toy(dir / "e");
  const std::string before = read_file(dir / "e");
  const std::vector<float> wide(1 << 14, 1.0f);
  {
    const FullDisk full(1 << 16);
    expect_throw("cannot write", [&] {
      EmbeddingsWriter w(dir / "e", {"x", "", 1 << 14, {}});
      for (int i = 0; i < 4; ++i) w.append({str(i), ""}, wide);
      w.commit();
    });
  }
  CHECK(read_file(dir / "e") == before);
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
}

TEST_CASE("embeddings: a file cut short anywhere is refused") {
  TempFolder dir;
  write_toy(dir / "e");
  const std::string whole = read_file(dir / "e");
  for (std::size_t n = 0; n < whole.size(); n += n + 64 < whole.size() ? 31 : 1)
    expect_throw("cut", [&] { EmbeddingsFile(dir.file("cut", whole.substr(0, n))); });
  expect_throw("belong to nothing", [&] { EmbeddingsFile(dir.file("cut", whole + "x")); });
}

TEST_CASE("embeddings: bad rows are named when they are read") {
  TempFolder dir;
  Raw raw;
  raw.vectors = {1, 0, NAN, 1};
  expect_throw("raw.safetensors: row 1 (b): the embedding holds a value that is not finite", [&] { row_of(EmbeddingsFile(raw.write(dir)), 1); });
  CHECK(row_of(EmbeddingsFile(raw.write(dir)), 0) == std::vector<float>{1, 0});
  raw.vectors = {1, 0, 0, -INFINITY};
  expect_throw("row 1 (b): the embedding holds a value that is not finite", [&] { row_of(EmbeddingsFile(raw.write(dir)), 1); });
  raw.vectors = {0, 0, 0, 1};
  expect_throw("row 0 (a): the embedding is 0 everywhere", [&] { row_of(EmbeddingsFile(raw.write(dir)), 0); });
  raw.vectors = {1, 0, 3, 4};
  expect_throw("row 1 (b): the embedding has length 5, expected 1", [&] { row_of(EmbeddingsFile(raw.write(dir)), 1); });
  expect_throw("row 2 of 2", [&] { row_of(EmbeddingsFile(raw.write(dir)), 2); });
}

TEST_CASE("embeddings: files that are something else") {
  TempFolder dir;
  const auto refused = [&](const std::string& why, const std::function<void(Raw&)>& change) {
    Raw raw;
    change(raw);
    const std::string path = raw.write(dir);
    expect_throw(why, [&] { EmbeddingsFile f{fs::path(path)}; });
  };
  EmbeddingsFile(fs::path(Raw().write(dir)));
  refused("is no embeddings file", [](Raw& r) { r.metadata.erase("bonafide.embeddings"); });
  refused("embeddings of version 2, expected 1", [](Raw& r) { r.metadata["bonafide.embeddings"] = "2"; });
  refused("its metadata says dimension 3, its vectors have 2", [](Raw& r) { r.metadata["dimension"] = "3"; });
  refused("expected F32 [faces, dimension]", [](Raw& r) { r.shape = {4}; });
  refused("expected F32 [faces, dimension]", [](Raw& r) { r.shape = {2, 0}, r.vectors.clear(); });
  refused("its index has fewer lines than the 2 rows", [](Raw& r) { r.index = "filename,subject\na,\n"; });
  refused("its index has more lines than the 2 rows", [](Raw& r) { r.index += "c,\nd,\n"; });
  refused("a is listed twice, in rows 0 and 1", [](Raw& r) { r.index = "filename,subject\na,\na,x\n"; });
  refused("(index):1: no column 'subject'", [](Raw& r) { r.index = "filename\na\nb\n"; });
  refused("(index):3: column 'filename' is empty", [](Raw& r) { r.index = "filename,subject\na,\n,x\n"; });
  refused("(index):2: a name holds a control character", [](Raw& r) { r.index = "filename,subject\n\"a\nb\",\nc,\n"; });
  refused("(index):2: a name holds a control character", [](Raw& r) { r.index = "filename,subject\na,\x7f\nc,\n"; });
  refused("(index): is empty", [](Raw& r) { r.index = ""; });
  expect_throw("no tensor 'index'", [&] {
    const std::vector<float> v{1};
    const std::vector<StoredArray> one = {stored_array<float>("embeddings", {1, 1}, Span<const float>(v))};
    write_safetensors(dir / "n", one, {{"bonafide.embeddings", "1"}});
    EmbeddingsFile f(dir / "n");
  });
}

TEST_CASE("embeddings: rows of a list, by number and by name") {
  TempFolder dir;
  write_toy(dir / "e");
  const auto file = std::make_shared<const EmbeddingsFile>(dir / "e");
  ListBuilder list;
  list.add("a.jpg", Label{});
  list.add("unknown.jpg", kPrint);
  list.add(" blank ", kPrint).embedding_row = 3;
  list.add("Zoë/ 你好.png", std::nullopt);
  const EmbeddingRows rows = find_embeddings(file, list.manifest);
  CHECK(rows.row == std::vector<std::int64_t>{0, -1, 3, 2});
  CHECK(rows.reason[1] == "no embedding");
  CHECK(rows.reason[0].empty());
  CHECK(rows.dimension == 3);
  CHECK(rows.vector(3) == kVectors[3]);
  expect_throw("row 4", [&] { rows.vector(4); });

  list.manifest.records[0].embedding_row = 4;
  expect_throw("list.csv:2: embedding_row 4, but ", [&] { find_embeddings(file, list.manifest); });
  list.manifest.records[0].embedding_row = 1;
  expect_throw("is of b, \"c\".jpg, not of a.jpg: this list and these embeddings do not belong together",
               [&] { find_embeddings(file, list.manifest); });
  Raw raw;
  raw.vectors = {1, 0, NAN, 1};
  const auto bad = std::make_shared<const EmbeddingsFile>(fs::path(raw.write(dir)));
  ListBuilder two;
  two.add("a", Label{});
  find_embeddings(bad, two.manifest);  // the bad row is nobody's
  two.add("b", kPrint);
  expect_throw("row 1 (b): the embedding holds a value that is not finite", [&] { find_embeddings(bad, two.manifest); });
}

TEST_CASE("embeddings: a tree of .npy files mirrors the photographs, or is flat") {
  TempFolder dir;
  const auto npy = [&](const std::string& name, std::vector<float> v, std::vector<std::int64_t> shape = {}) {
    fs::create_directories((dir / name).parent_path());
    write_npy(dir / name, shape.empty() ? std::vector<std::int64_t>{std::int64_t(v.size())} : shape, v);
  };
  npy("t/Data-train/00000.npy", {3, 4});
  npy("t/00000.npy", {0, 1});
  npy("t/00001.npy", {1, 0}, {1, 2});
  npy("t/00002.npy", {1, 0});
  npy("t/deep/a.b, c.npy", {0, -2});
  npy("t/00003.npy", {1, 0});
  ListBuilder list;
  list.add("Data-train/00000.png", Label{});  // its mirror, not the flat one
  list.add("Data-train/00001.png", kPrint);   // flat
  list.add("Data-val/00002.png", kPrint);     // one .npy for two photographs
  list.add("Data-test/00002.jpg", kPrint);
  list.add("other/00000.png", kPrint);       // the flat one: the mirror is another photograph's
  list.add("deep/a.b, c.jpeg", kPrint);
  list.add("a.b, c.jpeg", kPrint);            // not below deep/
  list.add("00003.png", kPrint);              // two endings
  list.add("00003.jpg", kPrint);
  EmbeddingRows rows = find_npy_embeddings(dir / "t", "data", list.manifest);
  CHECK(rows.row == std::vector<std::int64_t>{0, 1, -1, -1, 2, 3, -1, -1, -1});
  CHECK(rows.vector(0) == std::vector<float>{0.6f, 0.8f});
  CHECK(rows.vector(1) == std::vector<float>{1, 0});
  CHECK(rows.vector(2) == std::vector<float>{0, 1});
  CHECK(rows.vector(3) == std::vector<float>{0, -1});
  for (const std::size_t i : {2, 3, 7, 8}) CHECK(rows.reason[i] == "ambiguous: another photograph has the same .npy");
  CHECK(rows.reason[6] == "no embedding (no .npy of this name)");
  CHECK(rows.reason[0].empty());
  CHECK(rows.dimension == 2);

  // The folder of the photographs is part of where they are.
  ListBuilder inner;
  inner.add("00000.png", Label{});
  CHECK(find_npy_embeddings(dir / "t", "root/Data-train", inner.manifest).vector(0) == std::vector<float>{0.6f, 0.8f});
  CHECK(find_npy_embeddings(dir / "t", "", inner.manifest).vector(0) == std::vector<float>{0, 1});

  npy("t/00001.npy", {1, 0, 0});
  expect_throw("00001.npy: a vector of 3 values, the others have 2", [&] { find_npy_embeddings(dir / "t", "", list.manifest); });
  npy("t/00001.npy", {1, 0, 0, 1}, {2, 2});
  expect_throw("00001.npy: has shape [2, 2], expected one vector", [&] { find_npy_embeddings(dir / "t", "", list.manifest); });
  npy("t/00001.npy", {}, {0});
  expect_throw("00001.npy: has shape [0], expected one vector", [&] { find_npy_embeddings(dir / "t", "", list.manifest); });
  npy("t/00001.npy", {NAN, 1});
  expect_throw("00001.npy: the embedding is no direction: it holds a value that is not finite",
               [&] { find_npy_embeddings(dir / "t", "", list.manifest); });
  npy("t/00001.npy", {0, 0});
  expect_throw("00001.npy: the embedding is no direction: it is 0 everywhere", [&] { find_npy_embeddings(dir / "t", "", list.manifest); });
  npy("t/00001.npy", {1, 0});
  const std::string whole = read_file(dir / "t/00001.npy");
  dir.file("t/00001.npy", whole.substr(0, whole.size() - 1));
  expect_throw("00001.npy: is cut short", [&] { find_npy_embeddings(dir / "t", "", list.manifest); });
  fs::create_directory(dir / "none");
  expect_throw("no .npy files below it", [&] { find_npy_embeddings(dir / "none", "", list.manifest); });
  expect_throw("is no folder", [&] { find_npy_embeddings(dir / "nowhere", "", list.manifest); });
}

namespace {

// Embeddings as `bonafide embed` makes them: a work list whose results are vectors, and the file from what the journal has.
struct Embedding {
  static constexpr std::int64_t kFaces = 30, kDimension = 5;
  const TempFolder& dir;
  WorkPlan plan{.journal = dir / "embed.journal", .command = "embed", .inputs = kFaces, .fingerprint = 1, .group = 4};
  fs::path file = dir / "e.safetensors";

  // Every seventh has no face. Values hold all bytes there are, line breaks and zeros too.
  static std::string vector_of(std::int64_t i) {
    if (i % 7 == 3) throw Rejected("no face found");
    std::mt19937 g(unsigned(i) + 1);
    std::vector<float> v;
    while (std::int64_t(v.size()) < kDimension) v.push_back(float(g()) / 1e9f - 2);
    std::memcpy(v.data(), "\n\\", 2);
    return {reinterpret_cast<const char*>(v.data()), v.size() * 4};
  }
  // As many groups as are wanted.
  void work(int workers, std::int64_t groups = kFaces) const {
    WorkList list(plan);
    list.run({.workers = workers, .stop = [&] { return groups <= 0; }, .report = [&](std::int64_t, std::int64_t) { --groups; }}, vector_of);
  }
  void write(const std::function<std::string(std::int64_t)>& name = [](std::int64_t i) { return str("face ", i, ".jpg"); }) const {
    const WorkList list(plan);
    REQUIRE(list.complete());
    EmbeddingsWriter w(file, {"toy", "digest", kDimension, {}});
    list.for_each([&](std::int64_t i, const WorkResult& r) {
      if (r.rejected) return;
      std::vector<float> v(kDimension);
      REQUIRE(r.text.size() == v.size() * 4);
      std::memcpy(v.data(), r.text.data(), r.text.size());
      w.append({name(i), ""}, v);
    });
    w.commit();
  }
};

}  // namespace

TEST_CASE("embeddings: from a journal, stopped, cut and damaged anywhere, with any number of workers: the same file, in input order") {
  const TempFolder one;
  const Embedding whole{one};
  whole.work(1), whole.write();
  const std::string want = read_file(whole.file), journal = read_file(whole.plan.journal);
  const EmbeddingsFile f(whole.file);
  REQUIRE(f.rows() == 26);
  std::int64_t row = 0;
  for (std::int64_t i = 0; i < Embedding::kFaces; ++i) {
    CHECK(f.find(str("face ", i, ".jpg")) == (i % 7 == 3 ? -1 : row));
    if (i % 7 == 3) continue;
    std::vector<float> v(Embedding::kDimension);
    const std::string bytes = Embedding::vector_of(i);
    std::memcpy(v.data(), bytes.data(), bytes.size());
    make_unit(v, "");
    CHECK(row_of(f, row) == v);
    ++row;
  }

  const TempFolder other;
  const Embedding again{other};
  std::vector<std::size_t> cuts;
  for (std::size_t at = 0; at < journal.size(); at += 131) cuts.push_back(at);
  for (const std::size_t cut : cuts) {
    std::string left = journal.substr(0, cut);
    if (cut % 2 && cut > 700) left[cut - 300] ^= 1;  // and a flipped bit before it
    write_file_atomically(again.plan.journal, left, Durable::eventually);
    again.work(cut % 3 == 0 ? 8 : 1, 2);  // interrupted once more
    again.work(3), again.write();
    CHECK(read_file(again.file) == want);
    fs::remove(again.file);
  }
}

TEST_CASE("embeddings: a name that comes twice in the work leaves no file, and the journal for another try") {
  const TempFolder dir;
  const Embedding e{dir};
  e.work(2);
  const std::string journal = read_file(e.plan.journal);
  expect_throw("face 5.jpg: has an embedding already, in row 4", [&] { e.write([](std::int64_t i) { return str("face ", i == 20 ? 5 : i, ".jpg"); }); });
  CHECK_FALSE(fs::exists(e.file));
  CHECK(std::distance(fs::directory_iterator(dir.path()), {}) == 1);  // the journal; nothing half written
  CHECK(read_file(e.plan.journal) == journal);
  e.write();
  CHECK(EmbeddingsFile(e.file).rows() == 26);
}
