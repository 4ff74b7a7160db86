// tests/e2e/test_several_processes.cpp — `bonafide train` with several processes, as a user starts and interrupts it.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
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
int free_port() { return Socket::listen(0).port(); }
// What torchrun tells one of two processes.
std::vector<std::string> as_rank(int rank, int port) {
  return {str("RANK=", rank), "WORLD_SIZE=2", str("LOCAL_RANK=", rank), "LOCAL_WORLD_SIZE=2", "MASTER_ADDR=127.0.0.1", str("MASTER_PORT=", port), "TORCHELASTIC_RUN_ID=x"};
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

  // SIGUSR1 to the launcher: every process saves after the same step, once, and goes on.
  const fs::path saved = run_of(data, "saved");
  const auto steps_saved = [&] {
    std::error_code none;
    std::int64_t n = 0;
    for (fs::directory_iterator i(saved / "checkpoints", none), end; !none && i != end; i.increment(none)) n += i->path().filename().string().starts_with("step-");
    return n;
  };
  std::int64_t rows = 0;
  // So many steps that none is the last: that one is saved in any case.
  const Interrupt save_and_stop{.file = saved / "metrics.csv", .bytes = 600, .act = [&](pid_t launcher) {
                                  ::kill(launcher, SIGUSR1);
                                  while (steps_saved() == 0 && alive(launcher)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                  rows = lines(saved / "metrics.csv");
                                  while (lines(saved / "metrics.csv") < rows + 5 && alive(launcher)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                  ::kill(launcher, SIGINT);
                                }};
  expect(bonafide_program(words_of(data, "saved", {"trainer.epochs=100000", "trainer.checkpoint_every=1000000", "trainer.eval_every=1000000", "trainer.keep=0"}), save_and_stop), 130, "run ");
  CHECK(rows > 0);
  CHECK(lines(saved / "metrics.csv") >= rows + 5);  // it went on
  CHECK(steps_saved() == 2);                        // that one, and where it stopped
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
  expect(bonafide_program(words_of(data, "own")), 0, "run ");
  for (const bool folder : {false, true}) {
    const std::string name = folder ? "folder" : "tcp";
    const int port = free_port();
    std::vector<Result> results(2);
    in_threads(2, [&](int rank) {
      std::vector<std::string> words = train_words(data, name, {"--device", "cpu"});
      if (folder) words.insert(words.end(), {"--rendezvous", "file://" + (data.root / "meeting").string()});
      results[std::size_t(rank)] = bonafide_program(words, {.variables = as_rank(rank, port)});
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

TEST_CASE("several processes: Ctrl-C while rank 0 is still preparing ends all of them, and none by an error") {
  const ToyData data;
  const fs::path run = run_of(data, "early"), pipe = data.root / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  std::promise<pid_t> preparing;
  auto rank0 = preparing.get_future();
  const int port = free_port();
  std::vector<Result> results(2);
  in_threads(2, [&](int rank) {
    Interrupt i{.variables = as_rank(rank, port)};
    if (rank == 0) {
      i.variables.push_back(str("BONAFIDE_RUN_FILE=", pipe.string()));  // it waits for a reader there, after data.json
      i.file = run / "data.json";
      i.act = [&](pid_t p) { preparing.set_value(p); };
    } else {
      i.file = run / "logs/rank1.log";  // it has all it needs
      i.act = [&](pid_t rank1) {
        BF_CHECK(rank0.wait_for(std::chrono::seconds(60)) == std::future_status::ready, "rank 0 has not begun");
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(700);
        while (!has_signal(rank1, "SigCgt", SIGINT) && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        for (const pid_t p : {rank0.get(), rank1}) ::kill(p, SIGINT);
      };
    }
    results[std::size_t(rank)] = bonafide_program(train_words(data, "early", {"--device", "cpu"}), i);
  });
  for (const Result& r : results) {
    CAPTURE(r.text);
    CHECK(r.code == 128 + SIGINT);
    CHECK(r.text.find("gone") == r.text.npos);
  }
}

TEST_CASE("several processes: SIGUSR1 at any time saves or does nothing") {
  const ToyData data;
  const auto nudged = bonafide_program(words_of(data, "nudged", {"trainer.epochs=2"}), {.file = data.train, .act = [](pid_t launcher) {
                                         const auto deaf = [&] { return has_signal(launcher, "SigIgn", SIGUSR1) || has_signal(launcher, "SigBlk", SIGUSR1); };
                                         while (!deaf() && alive(launcher)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                         for (; alive(launcher); std::this_thread::sleep_for(std::chrono::milliseconds(1))) ::kill(launcher, SIGUSR1);
                                       }});
  expect(nudged, 0, "run ");
  CHECK(lines(run_of(data, "nudged") / "metrics.csv") == 9);
}

TEST_CASE("several processes: those that were not started alike say so") {
  const ToyData data;
  const fs::path other = data.root / "other.csv";
  std::string list = read_file(data.train);
  write_file_atomically(other, list.substr(0, list.rfind('\n', list.size() - 2) + 1));
  for (const auto& [word, said] : {std::pair<std::string, std::string>{"trainer.epochs=11", "not the settings of rank 0: rank 1)"},
                                   {"paths.train_manifest=" + other.string(), "not the lists of rank 0: rank 1)"}}) {
    const int port = free_port();
    std::vector<Result> results(2);
    in_threads(2, [&](int rank) {
      std::vector<std::string> more{"--device", "cpu"};
      if (rank == 1) more.push_back(word);
      results[std::size_t(rank)] = bonafide_program(train_words(data, "apart", more), {.variables = as_rank(rank, port)});
    });
    for (const Result& r : results) expect(r, 1, said);
  }
  CHECK(!fs::exists(run_of(data, "apart")));
}
