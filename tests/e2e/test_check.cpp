// tests/e2e/test_check.cpp — `bonafide check` as a user meets it: exit codes, what it prints, data.json, interruption.
#include <nlohmann/json.hpp>

#include "data/embeddings.h"
#include "data/images/encode.h"
#include "data/manifest.h"
#include "engine/philox.h"
#include "tests/e2e/program.h"
#include "tests/e2e/toy_data.h"
#include "tests/fuzz/images.h"
#include "tests/support/lists.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

Result run(std::vector<std::string> words, const Interrupt& interrupt = {}, const std::string& program = "bin/bonafide") {
  words.insert(words.begin(), "check");
  return bonafide_program(words, interrupt, program);
}

Image noise(int height, int width, std::uint64_t seed) {
  Random random(seed, "noise");
  Image image(height, width);
  for (int y = 0; y < height; y += 4)  // coarse: JPEG and resizing leave it
    for (int x = 0; x < width; x += 4) {
      const auto v = std::uint8_t(random.u32());
      for (int b = 0; b < 4 && y + b < height; ++b)
        for (int a = 0; a < 4 && x + a < width; ++a) std::fill_n(image.at(y + b, x + a), 3, v);
    }
  return image;
}

std::string jpeg(const Image& image, int quality = 95) {
  const std::vector<std::uint8_t> bytes = encode_jpeg(image, quality);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("check: photographs and lists of every fault, each named with its row, exit code 3 and data.json") {
  const TempFolder folder;
  const auto put = [&](const std::string& name, const std::string& bytes) {
    fs::create_directories((folder / name).parent_path());
    write_file_atomically(folder / name, bytes);
  };
  put("a b, \"c\" é.jpg", jpeg(noise(64, 64, 1)));
  put("one.jpg", jpeg(noise(64, 64, 2)));
  put("one.png", jpeg(noise(64, 64, 3)));
  put("turned.jpg", fuzz::with_exif(jpeg(noise(40, 60, 4))));
  put("again.jpg", jpeg(noise(64, 64, 2)));           // one.jpg, in the other split
  put("nearly.jpg", jpeg(noise(64, 64, 3), 60));      // one.png, compressed once more
  put("cut.jpg", jpeg(noise(64, 64, 5)).substr(0, 700));
  put("attack.jpg", jpeg(noise(64, 64, 6)));
  ListBuilder b;
  b.add("a b, \"c\" é.jpg", Label{}, {}, "anna").box = {60, 60, 90, 90};
  b.add("one.jpg", Label{});
  b.add("one.png", kPrint, "nobody.jpg");
  b.add("turned.jpg", Label{}, {}, "ben");
  b.add("again.jpg", Label{}, {}, "anna").split = "val";
  b.add("nearly.jpg", kPrint).split = "val";
  b.add("cut.jpg", Label{});
  b.add("gone.jpg", Label{});
  b.add("attack.jpg", kReplay);
  for (Record& r : b.manifest.records) r.split = r.split.empty() ? "train" : r.split;
  const std::string list = (folder / "list.csv").string(), json = (folder / "out" / "data.json").string();
  write_manifest(list, b.manifest);

  const Result r = run({"--manifest", list, "--json", json});
  CAPTURE(r.text);
  for (const char* part : {"[paths] photographs are not there (1)", "list.csv:9: gone.jpg: missing", "list.csv:8: cut.jpg: damaged JPEG",
                           "list.csv:4: one.png: its partner nobody.jpg is not in the list", "subject anna: 1 in train (", "list.csv:2: a b, \"c\" é.jpg), 1 in val (",
                           "list.csv:6: again.jpg: split val, and train as ", "list.csv:3: one.jpg", "[near-duplicates]", "list.csv:7: nearly.jpg: split val",
                           "list.csv:5: turned.jpg: EXIF orientation 6", "more than 25 % of a box", "none of the 1 replay in train has a partner",
                           "split train has 1 replay, fewer than 10", "9 rows, 0 of them rejected; 9 photographs decoded, 2 unreadable"})
    CHECK_MESSAGE(r.text.find(part) != std::string::npos, part);
  CHECK(r.code == 3);
  CHECK(!fs::exists(json + ".journal"));
  const auto j = nlohmann::json::parse(read_file(json));
  CHECK(j["rows"] == 9);
  CHECK(j["errors"].get<int>() >= 7);
  CHECK(j["counts"]["val"]["print"]["images"] == 1);

  // The same with 1 and 8 workers; headers alone find no near-duplicates; other severities.
  for (const char* workers : {"1", "8"}) {
    expect(run({"--manifest", list, "--json", (folder / "w.json").string(), "--workers", workers}), 3, "errors");
    CHECK(read_file(folder / "w.json") == read_file(json));
  }
  const Result headers = run({"--manifest", list, "--json", json, "--decode", "header"});
  expect(headers, 3, "looked at (headers only), 1 unreadable");
  CHECK(headers.text.find("[near-duplicates]") == std::string::npos);
  CHECK(headers.text.find("EXIF orientation 6") != std::string::npos);
  expect(run({"--manifest", list, "--json", json, "--decode", "none"}), 3, "9 rows, 0 of them rejected\n");
  expect(run({"--manifest", list, "--json", json, "--fail-on", "never"}), 0, "errors");
  expect(run({"--manifest", list, "--json", json, "--decode", "none", "--severity", "pairs=note,lost-species=note,subjects=warning"}), 0, "warning [subjects]");
  expect(run({"--manifest", list, "--json", json, "--decode", "none", "--severity", "pairs=note,lost-species=note,subjects=warning", "--fail-on", "warning"}), 3, "");
}

TEST_CASE("check: good data pass, from files and from the packed file, also without OpenCV") {
  const ToyData data(12);
  const std::string json = (data.root / "data.json").string();
  const std::vector<std::string> relaxed{"--severity", "near-duplicates=note"};  // drawn pictures are alike
  const auto with = [&](std::vector<std::string> words) {
    words.insert(words.end(), relaxed.begin(), relaxed.end());
    return words;
  };
  expect(run(with({"--manifest", data.train.string(), "--manifest", data.val.string(), "--json", json})), 0, "0 errors, 0 warnings");
  const fs::path dst = data.root / "packed";
  expect(bonafide_program({"pack", "--manifest", data.train.string(), "--manifest", data.val.string(), "--dst", dst.string()}), 0, "72 outputs");
  const std::vector<std::string> packed = with({"--manifest", (dst / "train.csv").string(), "--manifest", (dst / "val.csv").string(), "--root",
                                                (dst / "images.pack").string(), "--json", (data.root / "p.json").string()});
  expect(run(packed), 0, "0 errors, 0 warnings");
  expect(run(packed, {}, "tests/bonafide_without_images"), 0, "72 photographs decoded, 0 unreadable");
  const auto a = nlohmann::json::parse(read_file(json)), b = nlohmann::json::parse(read_file(data.root / "p.json"));
  CHECK(a["counts"] == b["counts"]);
  // The hashes are those of the same crops: only the lists have other names.
  std::string found = a["findings"].dump(), again = b["findings"].dump();
  for (const std::string& folder : {dst.string() + "/", data.root.string() + "/"})
    for (std::string* s : {&found, &again})
      for (std::size_t at; (at = s->find(folder)) != s->npos;) s->erase(at, folder.size());
  CHECK(found == again);
  expect(run(with({"--manifest", data.train.string(), "--json", json}), {}, "tests/bonafide_without_images"), 2, "this build has no image decoder");
  expect(run(with({"--manifest", data.train.string(), "--json", json, "--decode", "none"}), {}, "tests/bonafide_without_images"), 0, "0 errors");
}

TEST_CASE("check: embeddings, whole, with a NaN and cut short; wrong words") {
  const ToyData data(12);
  const Manifest list = read_manifest(data.train);
  const std::string json = (data.root / "data.json").string(), embeddings = (data.root / "e.safetensors").string();
  {
    EmbeddingsWriter w(embeddings, {"toy", "", 16, {}});
    Random random(1, "e");
    for (const Record& r : list.records) {
      std::vector<float> v(16);
      for (float& x : v) x = random.uniform(-1, 1);
      w.append({r.filename, r.subject}, v);
    }
    w.commit();
  }
  const std::vector<std::string> words{"--manifest", data.train.string(), "--json", json, "--decode", "none", "--embeddings", embeddings};
  expect(run(words), 0, "36 embeddings");
  const std::string whole = read_file(embeddings);
  std::string nan = whole;
  nan.replace(whole.find("filename,subject") - 4, 4, "\xff\xff\xff\x7f");
  write_file_atomically(embeddings, nan);
  const Result bad = run(words);
  expect(bad, 3, "error [embeddings] embeddings are no unit vectors (1)");
  expect(bad, 3, list.records.back().filename);
  write_file_atomically(embeddings, whole.substr(0, whole.size() - 3));
  expect(run(words), 3, "error [embeddings] the embeddings cannot be read (1)");
  // A list that cannot be read is a finding; one that is not there is a typing error.
  const std::string broken = data.folder.file("broken.csv", "path,label_original\na.png,9_x\n");
  expect(run({"--manifest", broken, "--json", json, "--decode", "none"}), 3, "broken.csv:2: column 'label_original': '9_x' is no label");
  expect(run({"--manifest", (data.root / "none.csv").string(), "--json", json}), 1, "none.csv: cannot read");
  expect(run({"--manifest", data.train.string(), "--embeddings", (data.root / "none").string(), "--json", json, "--decode", "none"}), 1, "there is no such file");
  expect(run({}), 2, "--manifest");
  expect(run({"--manifest", broken, "--severity", "nonsense=error"}), 2, "no check has this name");
  expect(run({"--manifest", broken, "--severity", "pairs=bad"}), 2, "expected check=note");
  expect(run({"--manifest", broken, "--workers", "0"}), 2, "--workers 0");
  expect(run({"--manifest", broken, "--hash-distance", "17"}), 2, "--hash-distance");
}

TEST_CASE("check: killed in the middle it goes on and says the same") {
  const TempFolder folder;
  ListBuilder b;
  for (int i = 0; i < 240; ++i) {
    write_png((folder / str(i, ".png")).string(), noise(256, 256, std::uint64_t(i)));
    b.add(str(i, ".png"), Label{});
  }
  write_manifest(folder / "list.csv", b.manifest);
  const std::vector<std::string> words{"--manifest", (folder / "list.csv").string(), "--json", (folder / "a.json").string()};
  std::vector<std::string> slowly = words;
  slowly.insert(slowly.end(), {"--workers", "1"});
  const Result killed = run(slowly, {.file = folder / "a.json.journal", .bytes = 600, .signal = SIGKILL});
  CHECK(killed.code == 128 + SIGKILL);
  CHECK(!fs::exists(folder / "a.json"));
  expect(run(words), 0, "240 photographs decoded, 0 unreadable");
  expect(run({"--manifest", (folder / "list.csv").string(), "--json", (folder / "b.json").string()}), 0, "");
  CHECK(read_file(folder / "a.json") == read_file(folder / "b.json"));
}
