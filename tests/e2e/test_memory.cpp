// tests/e2e/test_memory.cpp — 5,000 photographs take no more resident memory than 250: embed, pack and check. (crop, which
// detects faces, is measured in test_crop.cpp, match in test_match.cpp.)
#include "data/csv.h"
#include "data/images/encode.h"
#include "engine/philox.h"
#include "tests/e2e/program.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

constexpr int kFew = 250, kMany = 5000;

// Small photographs of noise, each another one, and a list of some of them with boxes.
struct Photographs {
  TempFolder dir;
  fs::path root = dir / "photos";
  Photographs() {
    fs::create_directories(root);
    Random random(3, "noise");
    Image image(kSide, kSide);
    for (int i = 0; i < kMany; ++i) {
      for (std::uint8_t& v : image.pixels) v = std::uint8_t(random.u32());
      write_png((root / name(i)).string(), image);
    }
    for (const int n : {kFew, kMany}) {
      CsvWriter csv(list(n), {"path", "label_original", "x1", "y1", "x2", "y2"});
      for (int i = 0; i < n; ++i) csv.row({name(i), i % 2 ? "1_0_0" : "0_0_0", "8", "8", "40", "40"});
      csv.commit();
    }
  }
  static std::string name(int i) { return str(i, ".png"); }
  fs::path list(int n) const { return dir / str("list ", n, ".csv"); }
  static const Photographs& get() {
    static const Photographs p;
    return p;
  }
  static constexpr int kSide = 48;
};

// What they take decoded, if all were kept.
constexpr long kDecodedKb = long(kMany - kFew) * Photographs::kSide * Photographs::kSide * 3 / 1024;

// Runs the command on the short and on the long list: the peak may grow by the rows of the lists, not by the photographs.
void expect_steady(const std::string& command, std::vector<std::string> more, const std::string& says) {
  const Photographs& p = Photographs::get();
  long peak[2];
  for (const int n : {kFew, kMany}) {
    std::vector<std::string> words{command, "--manifest", p.list(n).string(), "--root", p.root.string(), "--workers", "2"};
    const fs::path out = p.dir / str(command, " ", n);
    fs::create_directories(out);
    if (command == "check") words.insert(words.end(), {"--json", (out / "data.json").string()});
    else words.insert(words.end(), {"--dst", out.string()});
    words.insert(words.end(), more.begin(), more.end());
    const Result r = bonafide_program(words);
    expect(r, 0, str(n, says));
    peak[n == kMany] = r.peak_kb;
  }
  MESSAGE(command, ": peak of ", kFew, " photographs ", peak[0], " kB, of ", kMany, " ", peak[1], " kB; their pixels are ", kDecodedKb, " kB more");
  CHECK(peak[0] > 10'000);
  CHECK(peak[1] - peak[0] < kDecodedKb / 2);
}

}  // namespace

TEST_CASE("memory: embed does not grow with the number of photographs") {
  expect_steady("embed", {"--embedder", "pixels"}, " inputs: ");
}

TEST_CASE("memory: pack does not grow with the number of photographs") { expect_steady("pack", {}, " inputs: "); }

TEST_CASE("memory: check does not grow with the number of photographs") {
  expect_steady("check", {"--fail-on", "never"}, " photographs decoded, 0 unreadable");
}
