// tests/e2e/test_prepare.cpp — match, join and purge as a user meets them: the published options, exit codes, files, messages.
#include <filesystem>

#include "data/csv.h"
#include "data/embeddings.h"
#include "data/manifest.h"
#include "data/npy.h"
#include "tests/e2e/program.h"
#include "tests/support/lists.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

// Three people; a mirrored tree of embeddings; one face that was not found; a print that resembles nobody much.
struct Faces {
  TempFolder dir;
  fs::path root = dir.path(), list = root / "clean.csv", npy = root / "emb", packed = root / "e.safetensors", manifest = root / "m.csv";
  Faces() {
    const std::vector<std::pair<std::string, std::vector<float>>> faces = {
        {"Data-train/1.png", {1, 0, 0}}, {"Data-train/2, \"é\".png", {0, 1, 0}}, {"Data-train/3.png", {}},
        {"Data-train/4.png", {0.8f, 0.6f, 0}}, {"Data-train/5.png", {0.1f, 0.995f, 0}}, {"Data-train/6.png", {0.5f, 0.5f, 0.7f}}};
    const Label labels[] = {{}, {}, {}, kFaceSwap, kFaceSwap, kPrint};
    const char* people[] = {"anna", "ben", "carl", "anna", "ben", "carl"};
    std::string text = "path,label_original,note\n";
    ListBuilder b;
    EmbeddingsWriter w(packed, {"toy", "", 3, {}});
    for (std::size_t i = 0; i < faces.size(); ++i) {
      const auto& [name, v] = faces[i];
      text += csv_line({name, labels[i].code(), str("n", i)});
      b.add(name, labels[i], {}, people[i]).split = "train";
      if (v.empty()) continue;
      const fs::path file = (npy / name).replace_extension(".npy");
      fs::create_directories(file.parent_path());
      write_npy(file, {3}, v);
      w.append({name, people[i]}, v);
    }
    w.commit();
    write_file_atomically(list, text);
    write_manifest(manifest, b.manifest);
  }
  std::vector<std::string> published(const std::string& threshold, std::vector<std::string> more = {}) const {
    std::vector<std::string> words{"match", "--data-dir", root.string(), "--embeddings-dir", npy.string(), "--clean-df-path", list.string(),
                                   "--sim-thr", threshold, "--output-csv", (root / "out.csv").string(), "--progress-desc", "pairs"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<std::string> ours(std::vector<std::string> more = {}) const {
    std::vector<std::string> words{"match", "--manifest", manifest.string(), "--embeddings", packed.string(), "--output-manifest", (root / "out_m.csv").string()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

}  // namespace

TEST_CASE("prepare: match takes the published options, writes the published list, and refuses to lose a species") {
  const Faces f;
  const Result lost = bonafide_program(f.published("0.75"));
  expect(lost, 3, "no sample of print is left. No list was written");
  CHECK(!fs::exists(f.root / "out.csv"));
  CHECK(fs::exists(f.root / "out_report" / "match.json"));
  expect(lost, 3, "6 records = 2 genuine + 2 pairs + 0 class pairs + 2 rejected");
  CHECK(read_file(f.root / "out_report" / "rejects.csv") ==
        "filename,reason\nData-train/3.png,match: no embedding (no .npy of this name)\nData-train/6.png,match: the nearest genuine face is below the threshold 0.75\n");

  const Result r = bonafide_program(f.published("0.75", {"--allow-lost-species"}));
  expect(r, 0, "warning: no sample of print is left");
  expect(r, 0, "paired list");
  const std::string text = read_file(f.root / "out.csv");
  CHECK(text.starts_with("path,label_original,note,label,max_live_sim,paired_live_path\nData-train/1.png,0_0_0,n0,0,,\n"
                         "\"Data-train/2, \"\"é\"\".png\",0_0_0,n1,0,,\nData-train/4.png,2_0_1,n3,1,0."));
  const Manifest m = read_published_csv(f.root / "out.csv");
  REQUIRE(m.records.size() == 4);
  CHECK(m.records[2].pair_filename == "Data-train/1.png");
  CHECK(m.records[2].pair_similarity == doctest::Approx(0.8));
  CHECK(m.records[3].pair_filename == "Data-train/2, \"é\".png");

  // A lower threshold for one species; a stranger for the rest.
  expect(bonafide_program(f.published("0.9", {"--sim-thr-species", "print=0.5,2_0_1=0.75"})), 0, "3 pairs + 0 class pairs + 1 rejected");
  expect(bonafide_program(f.published("0.9", {"--unmatched", "class-partner"})), 0, "1 pairs + 2 class pairs + 1 rejected");
  CHECK(read_published_csv(f.root / "out.csv").records.size() == 5);
}

TEST_CASE("prepare: match with the packed file gives the same pairs, whatever the threads; the manifest keeps every row") {
  const Faces f;
  expect(bonafide_program(f.published("0.5")), 0, "out.csv (2 genuine, 3 pairs)");
  expect(bonafide_program(f.ours({"--sim-thr", "0.5", "--workers", "1"})), 0, "out_m.csv (6 rows)");
  const std::string one = read_file(f.root / "out_m.csv");
  expect(bonafide_program(f.ours({"--sim-thr", "0.5", "--workers", "8"})), 0, "out_m.csv (6 rows)");
  CHECK(read_file(f.root / "out_m.csv") == one);
  const Manifest m = read_manifest(f.root / "out_m.csv", {.keep_rejected = true}), p = read_published_csv(f.root / "out.csv");
  REQUIRE(m.records.size() == 6);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(m.records[3 + i].pair_filename == p.records[2 + i].pair_filename);
    CHECK(m.records[3 + i].pair_similarity == p.records[2 + i].pair_similarity);
    CHECK(m.records[3 + i].embedding_row == std::int64_t(2 + i));
  }
  CHECK(m.records[2].reject_reason == "match: no embedding");
  // Its own output is a list to match again.
  expect(bonafide_program({"match", "--manifest", (f.root / "out_m.csv").string(), "--embeddings", f.packed.string(), "--output-manifest",
                         (f.root / "again.csv").string(), "--sim-thr", "0.5"}), 0, "again.csv (6 rows)");
  CHECK(read_file(f.root / "again.csv") == one);
  expect(bonafide_program(f.ours({"--same-subject", "--sim-thr", "0.5", "--allow-lost-species"})), 0, "2 pairs");
  expect(bonafide_program(f.ours({"--mode", "mutual", "--sim-thr", "0.5"})), 0, "3 pairs");
  expect(bonafide_program(f.ours({"--mode", "top-k", "--top-k", "2", "--sim-thr", "0.5", "--report-dir", (f.root / "r").string()})), 0, "3 pairs");
  CHECK(fs::exists(f.root / "r" / "neighbours.csv"));
}

TEST_CASE("prepare: match says what is wrong with its options and files") {
  const Faces f;
  expect(bonafide_program({"match", "--manifest", f.manifest.string()}), 2, "--embeddings");
  expect(bonafide_program(f.ours({"--sim-thr", "1.5"})), 2, "1.5");
  expect(bonafide_program(f.ours({"--sim-thr-species", "print"})), 2, "--sim-thr-species print: expected species=similarity such as print=0.7");
  expect(bonafide_program(f.ours({"--sim-thr-species", "genuine=0.5"})), 2, "expected species=similarity");
  expect(bonafide_program(f.ours({"--sim-thr-species", "print=2"})), 2, "expected species=similarity");
  expect(bonafide_program(f.ours({"--sim-thr-species", "print=0.7,1_0_0=0.8"})), 2, "print twice");
  expect(bonafide_program(f.ours({"--split", "val"})), 1, "no rows of split 'val'");
  expect(bonafide_program(f.ours({"--device", "cuda"})), 2, "");
  const std::string whole = read_file(f.packed);
  write_file_atomically(f.packed, whole.substr(0, whole.size() - 3));
  expect(bonafide_program(f.ours()), 1, "truncated file?");
  std::string nan = whole;
  nan.replace(whole.find("filename,subject") - 4, 4, "\xff\xff\xff\x7f");  // the last value of the last row
  write_file_atomically(f.packed, nan);
  expect(bonafide_program(f.ours()), 1, "e.safetensors: row 4 (Data-train/6.png): the embedding holds a value that is not finite");
  CHECK(!fs::exists(f.root / "out_m.csv"));
  // Two photographs, one .npy: neither gets it.
  fs::rename(f.npy / "Data-train" / "4.npy", f.npy / "4.npy");
  write_file_atomically(f.list, read_file(f.list) + "Data-val/4.png,2_0_1,x\n");
  expect(bonafide_program(f.published("0.5", {"--allow-lost-species"})), 0, "rejected: 2 (match: ambiguous: another photograph has the same .npy)");
}

TEST_CASE("prepare: join takes the published options; every row is accounted for") {
  TempFolder dir;
  const auto path = [&](const char* name) { return (dir / name).string(); };
  dir.file("train.csv", "path,label_original\nData-train/1.png,0_0_0\n\"Data-train/2, é.png\",1_0_0\n");
  dir.file("train_b.csv", "path,x1,y1,x2,y2\n\"2, é.png\",1,2,3,4\n9.png,1,2,3,4\n");
  dir.file("val.txt", "Data-val/1.png 1_0_1\n");
  dir.file("val_b.csv", "path,x1,y1,x2,y2\n1.png,-1,-1,-1,-1\n");
  dir.file("test.txt", "Data-test/1.png\n");
  dir.file("test_b.csv", "path,x1,y1,x2,y2\n1.png,5,6,7,8\n");
  const Result r = bonafide_program({"join", "--train-df", path("train.csv"), "--val-df", path("val.txt"), "--test-df", path("test.txt"),
                                   "--train-bboxes", path("train_b.csv"), "--val-bboxes", path("val_b.csv"), "--test-bboxes", path("test_b.csv"),
                                   "--output-train-csv", path("train_out.csv"), "--output-val-csv", path("val_out.csv"), "--output-test-csv", path("test_out.csv")});
  expect(r, 0, "2 rows = 1 with a box + 0 without a face + 1 not in the box file");
  CHECK(read_file(dir / "train_out.csv") == "path,label_original,x1,y1,x2,y2\nData-train/1.png,0_0_0,,,,\n\"Data-train/2, é.png\",1_0_0,1,2,3,4\n");
  CHECK(read_file(dir / "rejects.csv") ==
        "filename,reason\nData-train/1.png,not in the box file\nData-train/9.png,a box without a row in the list\n"
        "Data-val/1.png,no face found (a corner of the box is negative)\n");
  CHECK(read_box_csv(dir / "test_out.csv").boxes.at("Data-test/1.png").box.x1 == 5);
  CHECK(!read_box_csv(dir / "val_out.csv").boxes.at("Data-val/1.png").box.valid());

  expect(bonafide_program({"join", "--train-df", path("train.csv"), "--train-bboxes", path("train_b.csv")}), 2, "nothing to write");
  expect(bonafide_program({"join", "--train-df", path("train.csv"), "--output-train-csv", path("x.csv")}), 2, "--output-train-csv needs --train-df and --train-bboxes");
  expect(bonafide_program({"join", "--train-df", path("train.csv"), "--train-bboxes", path("none.csv"), "--output-train-csv", path("x.csv")}), 1, "none.csv: cannot read");
}

TEST_CASE("prepare: purge erases a person from a published tree as well") {
  const Faces f;
  const std::vector<std::string> words{"purge", "--subject", "anna", "--subject", "carl", "--manifest", f.manifest.string(),
                                       "--embeddings-dir", f.npy.string(), "--data-dir", f.root.string()};
  auto dry = words;
  dry.emplace_back("--dry-run");
  const Result would = bonafide_program(dry);
  expect(would, 0, "emb: 3 of 5 .npy files would go, 1 of the photographs have none there\n");
  expect(would, 0, (f.npy / "Data-train/4.npy").string());
  CHECK(fs::exists(f.npy / "Data-train/4.npy"));
  const Result r = bonafide_program(words);
  expect(r, 0, "emb: 3 of 5 .npy files erased");
  CHECK(r.text.find("warning") == std::string::npos);
  for (const char* gone : {"1", "4", "6"}) CHECK(!fs::exists(f.npy / "Data-train" / (gone + std::string(".npy"))));
  CHECK(fs::exists(f.npy / "Data-train/2, \"é\".npy"));
  expect(bonafide_program({"match", "--data-dir", f.root.string(), "--embeddings-dir", f.npy.string(), "--clean-df-path", f.manifest.string(),
                           "--sim-thr", "0.5", "--output-manifest", (f.root / "left.csv").string()}), 0, "left.csv (2 rows)");
}

TEST_CASE("prepare: purge erases a person, and what is left can be matched") {
  const Faces f;
  const auto words = [&](std::vector<std::string> more) {
    std::vector<std::string> w{"purge", "--embeddings", f.packed.string(), "--manifest", f.manifest.string()};
    w.insert(w.end(), more.begin(), more.end());
    return w;
  };
  const std::string before = read_file(f.packed);
  expect(bonafide_program(words({"--subject", "ben", "--dry-run"})), 0, "2 of 6 rows would go");
  CHECK(read_file(f.packed) == before);
  const Result r = bonafide_program(words({"--subject", "ben"}));
  expect(r, 0, "e.safetensors: 2 of 5 rows erased");
  expect(r, 0, "2 photographs; the files themselves are untouched:\n  Data-train/2, \"é\".png\n  Data-train/5.png\n");
  for (const fs::path& file : {f.packed, f.manifest}) CHECK(read_file(file).find("ben") == std::string::npos);
  expect(bonafide_program(f.ours({"--sim-thr", "0.5"})), 0, "out_m.csv (4 rows)");
  expect(bonafide_program(words({"--subject", "ben"})), 1, "no row of subject 'ben'");
  expect(bonafide_program({"purge", "--subject", "ben"}), 2, "nothing to erase from");
  expect(bonafide_program({"purge", "--subject", "ben", "--embeddings-dir", f.npy.string()}), 2, "or to know the person by");
  expect(bonafide_program({"purge", "--embeddings", f.packed.string()}), 2, "--subject");
}
