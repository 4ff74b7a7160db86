// tests/slow/test_killed_processes.cpp — several processes, killed at random moments or cut off from each other, lose nothing.
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "engine/files.h"
#include "tests/e2e/program.h"
#include "tests/e2e/toy_run.h"
#include "tests/support/ranks.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

bool saving(const fs::path& run) {  // a checkpoint under construction is a hidden folder
  std::error_code e;
  for (fs::directory_iterator i(run / "checkpoints", e), end; !e && i != end; i.increment(e))
    if (i->path().filename().string().front() == '.') return true;
  return false;
}

// Two network namespaces, joined by a cable that can be pulled. They go away with the object.
class TwoHosts {
 public:
  TwoHosts() {
    for (int i = 0; i < 2; ++i) ok_ = ok_ && command("netns add " + name(i));
    ok_ = ok_ && command("link add " + end(0) + " netns " + name(0) + " type veth peer name " + end(1) + " netns " + name(1));
    for (int i = 0; i < 2; ++i)
      ok_ = ok_ && command("-n " + name(i) + " addr add " + address(i) + "/24 dev " + end(i)) && command("-n " + name(i) + " link set lo up") && cable(i, true);
  }
  ~TwoHosts() {
    for (int i = 0; i < 2; ++i) command("netns del " + name(i));
  }
  TwoHosts(const TwoHosts&) = delete;
  TwoHosts& operator=(const TwoHosts&) = delete;
  explicit operator bool() const { return ok_; }
  std::string name(int i) const { return str("bonafide-", ::getpid(), "-", i); }
  // Of two processes Gloo has the one with the smaller address listen. These are larger than 127.x: where rank 0 gives such a
  // one, rank 1 must go there.
  std::string address(int i) const { return str("172.29.13.", i + 1); }
  bool cable(int i, bool plugged) const { return command("-n " + name(i) + " link set " + end(i) + (plugged ? " up" : " down")); }

 private:
  std::string end(int i) const { return str("bf", ::getpid() % 100000, "e", i); }
  static bool command(const std::string& words) { return std::system(("ip " + words + " >/dev/null 2>&1").c_str()) == 0; }
  bool ok_ = true;
};
const bool kNoNamespaces = !TwoHosts();

}  // namespace

TEST_CASE("killed processes: 20 random moments, any worker or the launcher, while saving too: no bit is lost") {
  const ToyData data;
  const std::vector<std::string> recipe{"--device", "cpu", "--procs", "3", "trainer.epochs=10", "trainer.checkpoint_every=3", "trainer.ema=0.9", "model.drop_path=0.2"};
  const auto whole = bonafide_program(train_words(data, "whole", recipe));
  expect(whole, 0, "run ");
  const auto want = final_weights(run_of(data, "whole"));
  const auto bytes = fs::file_size(run_of(data, "whole") / "metrics.csv");
  std::mt19937 random(seed() * 977u);
  int while_saving = 0, ended = 0;
  for (int round = 0; round < 20; ++round) {
    const std::string name = str("round", round);
    const fs::path run = run_of(data, name);
    const unsigned victim = random() % 4;  // 3: the launcher
    const bool wait_for_saving = random() % 2;
    const auto moment = std::chrono::microseconds(random() % 40'000);
    CAPTURE(round);
    CAPTURE(victim);
    std::vector<pid_t> workers;
    const Interrupt kill{.file = run / "metrics.csv", .bytes = random() % bytes, .act = [&](pid_t launcher) {
                           workers = children_of(launcher);
                           const auto end = Clock::now() + std::chrono::seconds(2);
                           while (wait_for_saving && !saving(run) && Clock::now() < end && alive(launcher)) std::this_thread::sleep_for(std::chrono::microseconds(50));
                           while_saving += saving(run);
                           if (!wait_for_saving) std::this_thread::sleep_for(moment);
                           ::kill(victim < workers.size() ? workers[victim] : launcher, SIGKILL);
                         }};
    const auto start = Clock::now();
    const auto killed = bonafide_program(train_words(data, name, recipe), kill);
    if (killed.code == 0) ++ended;  // the moment was after the last step
    else CHECK(killed.code == 137);
    CHECK(Clock::now() - start < std::chrono::seconds(60));
    for (const auto end = Clock::now() + std::chrono::seconds(10); Clock::now() < end && std::any_of(workers.begin(), workers.end(), alive);)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));  // the kernel takes them with the launcher
    for (const pid_t w : workers) CHECK(!alive(w));
    if (fs::exists(run / "checkpoints/last")) {
      expect(bonafide_program({"train", "--resume", run.string(), "--device", "cpu", "--procs", "3"}), 0, "resumed after step");
      CHECK(final_weights(run) == want);
      CHECK(lines(run / "metrics.csv") == 41);
    }
  }
  MESSAGE(while_saving, " of 20 while a checkpoint was being written, ", ended, " after the end");
  CHECK(while_saving > 0);
  CHECK(ended < 10);
}

TEST_CASE("killed processes: one that stands still is named, with the operation, and does not stay") {
  const ToyData data;
  const fs::path run = run_of(data, "still");
  std::vector<pid_t> workers;
  const auto r = bonafide_program(train_words(data, "still", {"--device", "cpu", "--procs", "3", "trainer.epochs=1000", "distributed.timeout_seconds=1"}),
                                  {.file = run / "metrics.csv", .bytes = 300, .act = [&](pid_t launcher) {
                                     workers = children_of(launcher);
                                     if (workers.size() == 3) ::kill(workers[1], SIGSTOP);
                                   }});
  expect(r, 1, ": rank 1 hangs or is gone");
  // The first to lose patience breaks its connections, and the other one's operation with them.
  CHECK_MESSAGE((r.text.find("did not end within 1") != r.text.npos || r.text.find("failed after") != r.text.npos), r.text);
  CHECK_MESSAGE(r.text.find("of 3: all_") != r.text.npos, r.text);
  REQUIRE(workers.size() == 3);
  for (const pid_t w : workers) CHECK(!alive(w));
}

TEST_CASE("killed processes: two hosts, a cable that is pulled: an error in time, and nothing lost" * doctest::skip(kNoNamespaces)) {
  const ToyData data;
  const TwoHosts hosts;
  REQUIRE(hosts);
  const auto on_both = [&](const std::vector<std::string>& words, const Interrupt& first = {}, const std::string& own_name_of_0 = "") {
    std::vector<Result> results(2);
    in_threads(2, [&](int rank) {
      Interrupt i = rank == 0 ? first : Interrupt{};
      i.prefix = {"ip", "netns", "exec", hosts.name(rank)};
      i.variables = {str("RANK=", rank), "WORLD_SIZE=2", "LOCAL_RANK=0", "LOCAL_WORLD_SIZE=1", "MASTER_ADDR=" + (rank == 0 && !own_name_of_0.empty() ? own_name_of_0 : hosts.address(0)), "MASTER_PORT=29511"};
      results[std::size_t(rank)] = bonafide_program(words, i);
    });
    return results;
  };
  const std::vector<std::string> recipe{"--device", "cpu", "trainer.epochs=20", "trainer.checkpoint_every=3", "distributed.timeout_seconds=2"};
  // To Debian the name of the own machine is 127.0.1.1.
  for (const Result& r : on_both(train_words(data, "whole", recipe), {}, "127.0.1.1")) CHECK_MESSAGE(r.code == 0, r.text);
  const fs::path run = run_of(data, "cut");
  Clock::time_point when;
  const auto cut = on_both(train_words(data, "cut", recipe), {.file = run / "checkpoints/last/model.safetensors", .act = [&](pid_t) {
                                                                when = Clock::now();
                                                                hosts.cable(1, false);
                                                              }});
  CHECK(Clock::now() - when < std::chrono::seconds(2 + 15));
  expect(cut[0], 1, "rank 1 hangs or is gone");
  expect(cut[1], 1, "rank 0 is gone");
  for (const Result& r : cut) CHECK_MESSAGE(r.text.find("did not end within 2") != r.text.npos, r.text);
  REQUIRE(hosts.cable(1, true));
  const auto resumed = on_both({"train", "--resume", run.string(), "--device", "cpu", "distributed.timeout_seconds=60"});
  for (const Result& r : resumed) CHECK_MESSAGE(r.code == 0, r.text);
  CHECK(resumed[0].text.find("resumed after step") != std::string::npos);
  CHECK(final_weights(run) == final_weights(run_of(data, "whole")));
}
