// tests/e2e/test_run_folder.cpp — a run's folder is never overwritten, describes the run, and is cut back on resume.
#include "apps/common/run_folder.h"

#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "apps/common/metrics_log.h"
#include "engine/files.h"
#include "tests/support/full_disk.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

TEST_CASE("run folder: numbered, never overwritten, and found again from inside") {
  TempFolder dir;
  const fs::path root = dir / "runs/deep";
  const RunFolder a = RunFolder::create(root, "x"), b = RunFolder::create(root, "x"), c = RunFolder::create(root, "x");
  CHECK(a.path() == root / "x");
  CHECK(b.path() == root / "x-2");
  CHECK(c.path() == root / "x-3");
  dir.file("occupied", "");
  expect_throw("occupied: cannot create the folder", [&] { RunFolder::create(dir / "occupied", "x"); });

  fs::path path;
  {
    const RunFolder d = RunFolder::create(root, "d");
    const char* const words[] = {"bonafide", "train", "it's a.json", "seed=3", ""};
    d.describe(load_config({}, {"seed=3"}), 5, words);
    path = d.path();
    fs::create_directories(d.checkpoints() / "step-7");
    CHECK(d.eval("val") == path / "eval" / "val");
    CHECK(fs::is_directory(path / "eval" / "val"));
  }
  for (const fs::path& inside : {path, path / "checkpoints", path / "checkpoints" / "step-7"})
    CHECK(RunFolder::open(inside).path() == fs::canonical(path));
  expect_throw("cannot resume: not a run folder", [&] { RunFolder::open(root); });
  expect_throw("nowhere: cannot resume: No such file", [&] { RunFolder::open(root / "nowhere"); });
}

TEST_CASE("run folder: says what was asked, where it ran, and what happened") {
  TempFolder dir;
  const RunFolder run = RunFolder::create(dir.path(), "x");
  const LoadedConfig config = load_config({}, {"seed=3"});
  const char* const words[] = {"bonafide", "train", "it's a.json", "seed=3", ""};
  run.describe(config, 5, words);
  run.describe(config, 2, words);
  CHECK(read_file(run.path() / "command.txt") == "bonafide train 'it'\\''s a.json' seed=3 ''\nbonafide train\n");
  CHECK(changed_values(config.values, load_config_text(run.config_text(), "config.json").values).empty());
  CHECK(nlohmann::json::parse(read_file(run.path() / "config.origin.json")).at("seed") == "command line");
  const auto env = nlohmann::json::parse(read_file(run.path() / "env.json"));
  CHECK_FALSE(env.at("build").at("git").get<std::string>().empty());
  CHECK_FALSE(env.at("machine").at("host").get<std::string>().empty());
  run.log("one");
  run.log("two");
  const std::string log = read_file(run.path() / "train.log");
  CHECK(log.substr(19, 5) == " one\n");  // after "2026-11-21 21:04:00"
  CHECK(log.ends_with(" two\n"));
  CHECK(log.size() == 2 * 24);
  TrainConfig named;
  named.model_input_size = 96;
  CHECK(run_name(named).size() == std::string("20261121-2104-convnextv2_tiny-96").size());
  CHECK(run_name(named).ends_with("-convnextv2_tiny-96"));
}

TEST_CASE("run folder: a second process is kept out while the first one writes") {
  TempFolder dir;
  const RunFolder run = RunFolder::create(dir.path(), "x");
  run.describe(load_config({}, {}), 0, nullptr);
  expect_throw("another process is training in this folder", [&] { RunFolder::open(run.path()); });
}

TEST_CASE("metrics: fixed columns, the same rows in both files, cut back to a checkpoint") {
  TempFolder dir;
  const std::vector<std::string> columns = {"epoch", "step", "loss", "val_eer"};
  MetricsLog log(dir.path(), columns);
  log.append({{"epoch", 1}, {"step", 10}, {"loss", 0.1}});
  log.append({{"epoch", 1}, {"step", 20}, {"loss", std::nan("")}, {"val_eer", 1.0 / 3}});
  log.append({{"epoch", 2}, {"step", 100}, {"loss", 6.8e-7}});
  const std::string header = "epoch,step,loss,val_eer\n", first = "1,10,0.1,\n",
                    second = "1,20,nan,0.3333333333333333\n";
  CHECK(read_file(dir / "metrics.csv") == header + first + second + "2,100,6.8e-07,\n");
  const std::string first_json = "{\"epoch\":1,\"step\":10,\"loss\":0.1}\n",
                    second_json = "{\"epoch\":1,\"step\":20,\"loss\":null,\"val_eer\":0.3333333333333333}\n";
  CHECK(read_file(dir / "metrics.jsonl") == first_json + second_json + "{\"epoch\":2,\"step\":100,\"loss\":6.8e-07}\n");
  expect_throw("metric typo has no column", [&] { log.append({{"step", 5}, {"typo", 1}}); });
  expect_throw("without its step", [&] { log.append({{"loss", 5}}); });

  // A crash in the middle of a row; then training goes on from step 20, which is kept.
  write_file_atomically(dir / "metrics.csv", read_file(dir / "metrics.csv") + "2,11");
  write_file_atomically(dir / "metrics.jsonl", read_file(dir / "metrics.jsonl") + "{\"epoch\":2,\"st");
  MetricsLog again(dir.path(), columns);
  again.cut_back(20);
  CHECK(read_file(dir / "metrics.csv") == header + first + second);
  CHECK(read_file(dir / "metrics.jsonl") == first_json + second_json);
  again.append({{"epoch", 2}, {"step", 30}, {"loss", 2}});
  CHECK(read_file(dir / "metrics.csv") == header + first + second + "2,30,2,\n");
  again.cut_back(0);
  CHECK(read_file(dir / "metrics.csv") == header);
  CHECK(read_file(dir / "metrics.jsonl").empty());

  expect_throw("metrics.csv:1: columns are epoch,step,loss,val_eer, expected step,loss", [&] {
    MetricsLog(dir.path(), {"step", "loss"});
  });
  write_file_atomically(dir / "metrics.csv", header + "1,ten,0,\n");
  expect_throw("metrics.csv:2: no step in column 2", [&] { again.cut_back(5); });
}

TEST_CASE("metrics: a full disk is said, naming the file") {
  TempFolder dir;
  MetricsLog log(dir.path(), {"step", "loss"});
  const FullDisk full(12);
  expect_throw("metrics.csv: cannot write", [&] { log.append({{"step", 1}, {"loss", 0.123456789}}); });
}
