// tests/e2e/test_several_processes.cpp — `bonafide train` with several processes, as a user starts and interrupts it.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "engine/comm/socket.h"
#include "engine/files.h"
#include "tests/e2e/program.h"
#include "tests/e2e/toy_run.h"
#include "tests/support/ranks.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kTwo{"--device", "cpu", "--procs", "2"};
std::vector<std::string> words_of(const ToyData& data, const std::string& name, std::vector<std::string> more = {}) {
  more.insert(more.end(), kTwo.begin(), kTwo.end());
  return train_words(data, name, std::move(more));
}
std::int64_t count(const std::string& text, const std::string& part) {
  std::int64_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++n;
  return n;
}
// "loss" of every row of metrics.csv.
std::vector<double> losses(const fs::path& run) {
  std::vector<double> v;
  std::istringstream in(read_file(run / "metrics.csv"));
  std::string line, cell;
  for (std::getline(in, line); std::getline(in, line);) {
    std::istringstream row(line);
    for (int i = 0; i < 3; ++i) std::getline(row, cell, ',');
    v.push_back(std::stod(cell));
  }
  return v;
}

}  // namespace

TEST_CASE("several processes: two train as one does; rank 0 alone writes to the terminal") {
  const ToyData data;
  const auto two = bonafide_program(words_of(data, "two", {"--threads", "1"}));
  expect(two, 0, "rank 0 of 2 processes");
  CHECK(count(two.text, "steps an epoch") == 1);
  CHECK(count(two.text, "[V] ep 10 ") == 1);
  CHECK(two.text.find("rank 1 of 2") == two.text.npos);
  const fs::path run = run_of(data, "two");
  const std::string log = read_file(run / "logs/rank1.log");
  CHECK(count(log, "rank 1 of 2 processes") == 1);
  CHECK(count(log, "[V] ep 10 ") == 1);
  CHECK(lines(run / "metrics.csv") == 41);
  expect(bonafide_program(words_of(data, "again")), 0, "run ");
  CHECK(final_weights(run) == final_weights(run_of(data, "again")));

  expect(bonafide_program(train_words(data, "one", {"--device", "cpu"})), 0, "run ");
  const auto a = losses(run), b = losses(run_of(data, "one"));
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < 5; ++i) CHECK(std::abs(a[i] - b[i]) <= 1e-5 * std::abs(b[i]));  // later the toy's high rate lets rounding grow
}

TEST_CASE("several processes: Ctrl-C, SIGUSR1, and going on, with another number of them too") {
  const ToyData data;
  expect(bonafide_program(words_of(data, "whole", {"trainer.epochs=20"})), 0, "run ");
  const fs::path run = run_of(data, "cut");
  const auto cut = bonafide_program(words_of(data, "cut", {"trainer.epochs=20"}), {.file = run / "checkpoints/last/model.safetensors", .signal = SIGINT});
  expect(cut, 130, "go on with: bonafide train --resume");
  CHECK(lines(run / "metrics.csv") < 81);
  fs::copy(run, run_of(data, "copy"), fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  expect(bonafide_program({"train", "--resume", run.string(), "--device", "cpu", "--procs", "2"}), 0, "resumed after step");
  CHECK(lines(run / "metrics.csv") == 81);
  CHECK(final_weights(run) == final_weights(run_of(data, "whole")));
  const fs::path copy = run_of(data, "copy");
  expect(bonafide_program({"train", "--resume", copy.string(), "--device", "cpu", "--procs", "3"}), 0, "rank 0 of 3 processes");
  CHECK(lines(copy / "metrics.csv") == 81);

  // SIGUSR1 to the launcher: every process saves after the same step, and goes on.
  const fs::path saved = run_of(data, "saved");
  expect(bonafide_program(words_of(data, "saved", {"trainer.epochs=20", "trainer.checkpoint_every=1000", "trainer.eval_every=1000", "trainer.keep=0"}),
                          {.file = saved / "metrics.csv", .bytes = 600, .signal = SIGUSR1}), 0, "run ");
  std::int64_t checkpoints = 0;
  for (const auto& e : fs::directory_iterator(saved / "checkpoints")) checkpoints += e.path().filename().string().rfind("step-", 0) == 0;
  CHECK(checkpoints == 2);  // that one, and the last
}

TEST_CASE("several processes: one that is killed ends the run with its name; a restart goes on by itself") {
  const ToyData data;
  expect(bonafide_program(words_of(data, "whole", {"trainer.epochs=20"})), 0, "run ");
  for (const std::size_t rank : {0, 1}) {
    CAPTURE(rank);
    const std::string name = str("killed", rank);
    const fs::path run = run_of(data, name);
    std::vector<pid_t> workers;
    std::chrono::steady_clock::time_point when;
    const Interrupt kill{.file = run / "checkpoints/last/model.safetensors", .act = [&](pid_t launcher) {
                           workers = children_of(launcher);
                           when = std::chrono::steady_clock::now();
                           if (workers.size() == 2) ::kill(workers[rank], SIGKILL);
                         }};
    const auto killed = bonafide_program(words_of(data, name, {"trainer.epochs=20"}), kill);
    expect(killed, 137, str("rank ", rank, " was killed by signal 9"));
    CHECK(std::chrono::steady_clock::now() - when < std::chrono::seconds(10));
    REQUIRE(workers.size() == 2);
    for (const pid_t w : workers) CHECK(!alive(w));
    expect(bonafide_program({"train", "--resume", run.string(), "--device", "cpu", "--procs", "2"}), 0, "resumed after step");
    CHECK(final_weights(run) == final_weights(run_of(data, "whole")));
  }
  const fs::path run = run_of(data, "restarted");
  const auto restarted = bonafide_program(words_of(data, "restarted", {"trainer.epochs=20", "--restart-on-failure", "1"}),
                                          {.file = run / "checkpoints/last/model.safetensors", .act = [](pid_t launcher) {
                                             if (const auto w = children_of(launcher); w.size() == 2) ::kill(w[1], SIGKILL);
                                           }});
  expect(restarted, 0, "starting again (1 of 1)");
  CHECK(restarted.text.find("resumed after step") != std::string::npos);
  CHECK(final_weights(run) == final_weights(run_of(data, "whole")));
}

TEST_CASE("several processes: the error of one is what is said, and the exit code") {
  const ToyData data;
  // A photograph that one of them reads and that is none.
  write_file_atomically(data.root / "train/3_1_0_0.png", "no picture");
  const auto r = bonafide_program(words_of(data, "broken"));
  expect(r, 1, "3_1_0_0.png");
  CHECK(r.text.find("failed (exit code 1)") != std::string::npos);
  expect(bonafide_program(words_of(data, "usage", {"trainer.epochs=0"})), 2, "trainer.epochs");
  expect(bonafide_program(train_words(data, "gpus", {"--device", "cpu", "--gpus", "0,1"})), 2, "exclude each other");
}

TEST_CASE("several processes: started by others, by the variables of torchrun, or meeting in a folder") {
  const ToyData data;
  const auto free_port = [] { return Socket::listen(0).port(); };
  expect(bonafide_program(words_of(data, "own")), 0, "run ");
  for (const bool folder : {false, true}) {
    const std::string name = folder ? "folder" : "tcp";
    const int port = free_port();
    std::vector<Result> results(2);
    in_threads(2, [&](int rank) {
      std::vector<std::string> words = train_words(data, name, {"--device", "cpu"});
      if (folder) words.insert(words.end(), {"--rendezvous", "file://" + (data.root / "meeting").string()});
      results[std::size_t(rank)] = bonafide_program(words, {.variables = {str("RANK=", rank), "WORLD_SIZE=2", str("LOCAL_RANK=", rank), "LOCAL_WORLD_SIZE=2",
                                                                          "MASTER_ADDR=127.0.0.1", str("MASTER_PORT=", port), "TORCHELASTIC_RUN_ID=x"}});
    });
    expect(results[0], 0, "rank 0 of 2 processes");
    expect(results[1], 0, "");
    CHECK(results[1].text == "");
    CHECK(final_weights(run_of(data, name)) == final_weights(run_of(data, "own")));
  }
  // Rank 1 of a run that never comes.
  expect(bonafide_program(train_words(data, "lonely", {"--device", "cpu", "distributed.timeout_seconds=0.5"}),
                          {.variables = {"RANK=1", "WORLD_SIZE=2", "LOCAL_RANK=1", "LOCAL_WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", str("MASTER_PORT=", free_port())}}),
         1, "nobody answered at tcp://127.0.0.1");
  expect(bonafide_program(train_words(data, "torn", {"--device", "cpu"}), {.variables = {"RANK=1"}}), 1, "WORLD_SIZE");
}
