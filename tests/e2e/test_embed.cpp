// tests/e2e/test_embed.cpp — `bonafide embed` as a user meets it: folders and lists, kills in the middle, workers, the published
// layout, what is refused. The network's weights are the formula's: vectors of nobody, the same every time.
#include <map>

#include "data/csv.h"
#include "data/embedding_rows.h"
#include "data/embeddings.h"
#include "data/faces/face_embedder.h"
#include "data/images/decode.h"
#include "data/images/encode.h"
#include "data/manifest.h"
#include "data/npy.h"
#include "engine/files.h"
#include "tests/e2e/program.h"
#include "tests/images/portrait.h"
#include "tests/support/formula_faces.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

Result embed(std::vector<std::string> words, const Interrupt& interrupt = {}) {
  words.insert(words.begin(), "embed");
  return bonafide_program(words, interrupt);
}

// Every file below a folder, with its bytes.
std::map<std::string, std::string> tree(const fs::path& folder) {
  std::map<std::string, std::string> all;
  for (const auto& e : fs::recursive_directory_iterator(folder))
    if (e.is_regular_file()) all[e.path().lexically_relative(folder).string()] = read_file(e.path());
  return all;
}

std::map<std::string, std::string> rejects(const fs::path& file) {
  CsvReader csv(file);
  std::map<std::string, std::string> all;
  while (csv.next()) CHECK(all.emplace(csv.row()[0], csv.row()[1]).second);
  return all;
}

// Photographs, a list of them with boxes, weights: made once.
struct Setting {
  TempFolder dir;
  fs::path photos = dir / "photos", list = dir / "list.csv", weights = dir / "inception.safetensors";
  Setting() {
    write_formula_inception(weights);
    Manifest m;
    m.extra_columns = {"camera"};
    for (int k = 0; k < 19; ++k) {
      Record r;
      r.filename = str("person ", k % 3, "/", k, ".png"), r.subject = str("person ", k % 3), r.label = Label{}, r.split = "train";
      r.extra = {str("camera ", k)};
      fs::create_directories((photos / r.filename).parent_path());
      write_png((photos / r.filename).string(), portrait(std::uint64_t(k) + 1, 120 + k));
      r.box = portrait_box(120 + k);
      if (k == 4) r.box = {500, 500, 600, 600};        // outside
      if (k == 7) r.filename = "person 1/gone.png";    // not there
      if (k == 11) r.reject_reason = "too blurred";
      m.records.push_back(r);
    }
    write_manifest(list, m);
  }
  // Batches of one: between two of them there is time for a signal.
  std::vector<std::string> words(const std::string& dst, const std::string& workers, std::vector<std::string> more = {}) const {
    std::vector<std::string> w{"--manifest", list.string(), "--root", photos.string(), "--dst", (dir / dst).string(), "--embedder",
                               "inception:" + weights.string(), "--workers", workers, "--batch-size", "1"};
    w.insert(w.end(), more.begin(), more.end());
    return w;
  }
  static const Setting& get() {
    static const Setting s;
    return s;
  }
};

}  // namespace

TEST_CASE("embed: a list with boxes: every row is a vector or a reject, and the vectors are those of its faces") {
  const Setting& s = Setting::get();
  const fs::path abandoned = s.dir / "list" / "person 0" / ".0.npy.7-0.tmp";  // by an earlier start, killed while it wrote
  fs::create_directories(abandoned.parent_path());
  write_file_atomically(abandoned, "half", Durable::eventually);
  const Result r = embed(s.words("list", "2", {"--npy"}));
  CHECK_FALSE(fs::exists(abandoned));
  expect(r, 0, "19 inputs: 16 outputs, 3 rejected\n");
  CHECK(r.text.find("detector   none: boxes of the list") != std::string::npos);
  CHECK(r.text.find("[embed] 18/18 100%") != std::string::npos);
  const fs::path dst = s.dir / "list";
  const auto why = rejects(dst / "rejects.csv");
  CHECK(why.size() == 3);
  CHECK(why.at("person 1/4.png").starts_with("nothing of the box (500, 500) to (600, 600) lies in the photograph"));
  CHECK(why.at("person 1/gone.png") == "cannot read: No such file or directory");
  CHECK(why.at("person 2/11.png") == "too blurred");

  const EmbeddingsFile file(dst / "embeddings.safetensors");
  CHECK(file.info().embedder == "inception inception.safetensors");
  CHECK(file.info().embedder_digest.starts_with("xxh3-128:"));
  CHECK(file.info().notes.at("detector") == "none: boxes of the list");
  CHECK(file.dimension() == 512);
  REQUIRE(file.rows() == 16);
  const Manifest m = read_manifest(dst / "manifest.csv", {.keep_rejected = true});
  REQUIRE(m.records.size() == 19);
  CHECK(m.extra_columns.front() == "camera");
  const auto embedder = make_face_embedder("inception:" + s.weights.string());
  std::int64_t row = 0;
  std::vector<float> first(512);
  for (const Record& rec : m.records) {
    CAPTURE(rec.filename);
    CHECK(rec.subject.starts_with("person "));
    if (!rec.reject_reason.empty()) {
      CHECK(rec.embedding_row == -1);
      continue;
    }
    REQUIRE(rec.embedding_row == row);
    CHECK(file.faces()[std::size_t(row)].filename == rec.filename);
    CHECK(file.faces()[std::size_t(row)].subject == rec.subject);
    std::vector<float> v(512);
    file.read(row, v);
    if (row == 0) first = v;
    const fs::path npy = (dst / rec.filename).replace_extension(".npy");
    CHECK(read_npy(npy).values == v);
    if (row % 5 == 0) {
      const Image cut = embedder->prepare(decode_image((s.photos / rec.filename).string()), {rec.box, 0, {}});
      expect_close("vector", v, to_double(embedder->embed(std::vector<Image>{cut})), 1e-6, 1e-6);
    }
    ++row;
  }
  CHECK(row == 16);
  std::vector<float> last(512);
  file.read(15, last);
  CHECK(first != last);
  // match's two ways to the same vectors.
  const auto packed = find_embeddings(std::make_shared<const EmbeddingsFile>(dst / "embeddings.safetensors"), m);
  const auto loose = find_npy_embeddings(dst, s.photos, m);
  CHECK(packed.vector(packed.row[0]) == loose.vector(loose.row[0]));
}

TEST_CASE("embed: killed in the middle and started again, with 1 and with 8 workers: the same files, byte for byte") {
  const Setting& s = Setting::get();
  expect(embed(s.words("whole", "1")), 0, "19 inputs: ");
  const auto whole = tree(s.dir / "whole");
  CHECK(whole.size() == 3);  // no journal stays behind
  expect(embed(s.words("eight", "8")), 0, "19 inputs: ");
  CHECK(tree(s.dir / "eight") == whole);

  const fs::path journal = s.dir / "cut" / "embed.journal";
  std::uintmax_t size = 1000;
  for (const int signal : {SIGKILL, SIGTERM}) {
    const Result r = embed(s.words("cut", "2"), {.file = journal, .bytes = size, .signal = signal});
    REQUIRE(fs::exists(journal));  // it was not finished
    size = fs::file_size(journal) + 200;
    CHECK(r.code == (signal == SIGKILL ? 128 + SIGKILL : 130));
    CHECK_FALSE(fs::exists(s.dir / "cut" / "embeddings.safetensors"));
  }
  // Another batch size is another run: its vectors could differ in the last bit.
  auto other = s.words("cut", "2");
  other.back() = "8";
  expect(embed(other), 2, "is of another command line");
  expect(embed(s.words("cut", "8")), 0, "going on: ");
  CHECK(tree(s.dir / "cut") == whole);
}

TEST_CASE("embed: a folder: faces are detected, photographs without one are rejects") {
  const Setting& s = Setting::get();
  const TempFolder folder;
  const fs::path src = folder / "photos", dst = folder / "out";
  fs::create_directories(src);
  Image none(64, 64);
  std::fill(none.pixels.begin(), none.pixels.end(), 127);
  write_png((src / "none.png").string(), none);
  int faces = 0;
  const auto haar = make_face_detector("haar");
  for (std::uint64_t person = 1; faces < 3; ++person)
    if (const Image p = portrait(person); haar->detect(p).size() == 1) write_png((src / str("p ", person, ".png")).string(), p), ++faces;
  write_file_atomically(src / "cut.jpg", "no picture");
  const std::vector<std::string> words{"--src", src.string(), "--dst", dst.string(), "--embedder", "inception:" + s.weights.string(),
                                       "--detector", "haar", "--ext", "png", "jpg"};
  expect(embed(words), 0, "5 inputs: 3 outputs, 2 rejected\n");
  const auto why = rejects(dst / "rejects.csv");
  CHECK(why.at("none.png") == "no face found");
  CHECK(why.at("cut.jpg").starts_with("is "));
  for (const Record& r : read_manifest(dst / "manifest.csv").records) {
    const Image photo = decode_image((src / r.filename).string());
    const auto found = haar->detect(photo);
    CHECK(r.box.x1 == std::floor(found[0].box.x1));
    CHECK(r.embedding_row >= 0);
  }
  CHECK_FALSE(fs::exists(dst / "p 1.npy"));
  // Nothing to show for it.
  for (const auto& e : fs::directory_iterator(src))
    if (e.path().filename() != "none.png") fs::remove(e.path());
  expect(embed(words), 3, "none of the photographs has an embedding");
}

TEST_CASE("embed: wrong usage is exit 2") {
  const Setting& s = Setting::get();
  const std::string src = s.photos.string(), d = (s.dir / "no").string(), e = "inception:" + s.weights.string();
  expect(embed({"--src", src, "--dst", d}), 2, "--embedder is required");
  expect(embed({"--src", src, "--dst", d, "--embedder", "facenet"}), 2, "--embedder: there is no face embedder 'facenet'; there are: inception:FILE, sface:FILE or pixels");
  expect(embed({"--src", src, "--dst", d, "--embedder", "inception:" + s.list.string()}), 2, "list.csv: ");
  expect(embed({"--src", src, "--dst", d, "--embedder", e, "--detector", "mtcnn:" + d}), 2, "--detector: ");
  expect(embed({"--src", src, "--dst", d, "--embedder", e, "--batch-size", "0"}), 2, "--batch-size");
  expect(embed({"--src", src, "--dst", src, "--embedder", e, "--detector", "haar"}), 2, "outputs would lie among them");
  expect(embed({"--src", src, "--dst", d, "--embedder", e, "--workers", "0"}), 2, "--workers 0");
  CHECK_FALSE(fs::exists(d));
  expect(embed({"--help"}), 0, "--batch-size");
}
