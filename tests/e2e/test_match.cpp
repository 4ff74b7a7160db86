// tests/e2e/test_match.cpp — `bonafide match` on lists that take a while: killed in the middle it goes on to the same files; what an
// earlier start found is used for what it is good for; memory follows the rows, not the comparisons.
#include <algorithm>
#include <map>

#include "data/csv.h"
#include "data/embeddings.h"
#include "engine/philox.h"
#include "tests/e2e/program.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

std::map<std::string, std::string> tree(const fs::path& folder) {
  std::map<std::string, std::string> all;
  for (const auto& e : fs::recursive_directory_iterator(folder))
    if (e.is_regular_file()) all[e.path().lexically_relative(folder).string()] = read_file(e.path());
  return all;
}

// Genuine faces and twice as many prints and replays, near them or not. Rows of `salt` 0 are the same in every set.
struct Faces {
  fs::path list, embeddings;
  Faces(const TempFolder& dir, const std::string& name, int genuine, int attacks, int dimension, std::uint64_t salt = 0)
      : list(dir / (name + ".csv")), embeddings(dir / (name + ".safetensors")) {
    CsvWriter csv(list, {"path", "label_original"});
    EmbeddingsWriter w(embeddings, {"toy", "", dimension, {}});
    Random random(7 + salt, "faces");
    std::vector<float> v(static_cast<std::size_t>(dimension));
    for (int i = 0; i < genuine + attacks; ++i) {
      for (float& x : v) x = float(random.normal());
      const std::string file = str(i < genuine ? "live/" : "attack/", i, ".png");
      csv.row({file, i < genuine ? "0_0_0" : i % 2 ? "1_0_0" : "1_0_1"});
      w.append({file, ""}, v);
    }
    csv.commit(), w.commit();
  }
};

Result match(const Faces& f, const fs::path& dst, std::vector<std::string> more = {}, const Interrupt& interrupt = {}) {
  fs::create_directories(dst);
  std::vector<std::string> words{"match", "--clean-df-path", f.list.string(), "--embeddings", f.embeddings.string(),
                                 "--output-csv", (dst / "out.csv").string()};
  if (std::find(more.begin(), more.end(), "--sim-thr") == more.end()) more.insert(more.end(), {"--sim-thr", "0.1"});
  words.insert(words.end(), more.begin(), more.end());
  return bonafide_program(words, interrupt);
}

}  // namespace

TEST_CASE("match: killed in the middle and started again, with 1 and with 2 threads: the same files, byte for byte") {
  const TempFolder dir;
  const Faces f(dir, "faces", 4000, 8000, 256);
  for (const std::vector<std::string>& mode : std::vector<std::vector<std::string>>{{}, {"--mode", "mutual"}, {"--mode", "top-k", "--top-k", "3"}}) {
    auto words = mode;
    words.insert(words.end(), {"--batch-size", "40"});
    CAPTURE(mode.size());
    const fs::path whole = dir / "whole", cut = dir / "cut", journal = cut / "out_report" / "match.journal";
    expect(match(f, whole, words), 0, "paired list");
    const auto want = tree(whole);
    CHECK(want.size() == (mode.size() == 4 ? 9 : 8));  // no journal stays behind
    std::uintmax_t size = 1500;
    for (const int signal : {SIGKILL, SIGTERM}) {
      fs::create_directories(journal.parent_path());  // as a kill while the report is written leaves it
      write_file_atomically(journal.parent_path() / str(".attacks.csv.", signal, "-0.tmp"), "half", Durable::eventually);
      const Result r = match(f, cut, words, {.file = journal, .bytes = size, .signal = signal});
      CAPTURE(r.text);
      REQUIRE(fs::exists(journal));  // it was not finished
      size = fs::file_size(journal) + 1500;
      CHECK(r.code == (signal == SIGKILL ? 128 + SIGKILL : 130));
      CHECK_FALSE(fs::exists(cut / "out.csv"));
      if (signal == SIGTERM) CHECK(r.text.find("the same command goes on") != std::string::npos);
    }
    auto two = words;
    two.insert(two.end(), {"--workers", "2"});
    expect(match(f, cut, two), 0, "going on: ");
    auto got = tree(cut);
    CHECK(got == want);
    fs::remove_all(whole), fs::remove_all(cut);
  }
}

TEST_CASE("match: what was compared is used at another threshold, and not for other vectors, another mode or a damaged journal") {
  const TempFolder dir;
  const Faces f(dir, "faces", 300, 600, 64), other(dir, "other", 300, 600, 64, 1);
  const fs::path dst = dir / "out", journal = dst / "out_report" / "match.journal", fresh = dir / "fresh";
  const std::vector<std::string> batch{"--batch-size", "16"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), batch.begin(), batch.end());
    return more;
  };
  const auto same_as_fresh = [&](const Faces& faces, const std::vector<std::string>& words) {
    expect(match(faces, fresh, words), 0, "paired list");
    CHECK(tree(dst) == tree(fresh));
    fs::remove_all(fresh);
  };
  // A species is lost: the list is not written, and the comparisons stay for the next threshold.
  expect(match(f, dst, with({"--sim-thr", "0.99"})), 3, "the comparisons are kept");
  REQUIRE(fs::exists(journal));
  const std::string kept = read_file(journal);
  const Result again = match(f, dst, with({"--sim-thr", "0.3"}));
  expect(again, 0, "going on: 38 of 38 blocks of comparisons are done");
  CHECK(again.text.find("are not used") == std::string::npos);
  CHECK_FALSE(fs::exists(journal));
  same_as_fresh(f, with({"--sim-thr", "0.3"}));

  const auto not_used = [&](const Faces& faces, const std::vector<std::string>& words) {
    fs::remove_all(dst);
    fs::create_directories(journal.parent_path());
    write_file_atomically(journal, kept);
    const Result r = match(faces, dst, words);
    expect(r, 0, "match.journal: is of other vectors or of another --mode or --batch-size: its results are not used");
    CHECK(r.text.find("going on") == std::string::npos);
    CHECK_FALSE(fs::exists(journal));
    same_as_fresh(faces, words);
  };
  not_used(other, batch);
  not_used(f, with({"--mode", "mutual"}));
  not_used(f, with({"--mode", "top-k", "--top-k", "1"}));
  not_used(f, {"--batch-size", "17"});
  std::string damaged = kept;
  damaged[kept.size() / 2] ^= 1;
  fs::remove_all(dst);
  fs::create_directories(journal.parent_path());
  write_file_atomically(journal, damaged);
  expect(match(f, dst, batch), 0, "going on: 1");
  same_as_fresh(f, batch);
  write_file_atomically(journal, "my own notes\n");
  expect(match(f, dst, batch), 1, "is no journal of bonafide; it is not overwritten");
  CHECK(read_file(journal) == "my own notes\n");
}

TEST_CASE("match: resident memory is that of the rows, not of the comparisons") {
  const TempFolder dir;
  long peak[2];
  for (const int n : {3000, 12000}) {
    const Faces f(dir, str(n), 2000, n, 16);
    const Result r = match(f, dir / str("out ", n), {"--workers", "2"});
    expect(r, 0, "paired list");
    peak[n == 12000] = r.peak_kb;
  }
  MESSAGE("peak of 3,000 attacks: ", peak[0], " kB, of 12,000: ", peak[1], " kB; the similarities of 9,000 more take ", 9000 * 2000 * 4 / 1024, " kB");
  CHECK(peak[0] > 10'000);
  CHECK(peak[1] - peak[0] < 24'000);  // rows of the lists and their neighbours
}
