// tests/e2e/test_launcher.cpp — workers that are shell scripts: what they find, how they end, what is said of them, who
// gets which signal how often, and that nothing stays behind. Each launch runs in a process of its own, as in the
// program.
#include "apps/common/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "engine/comm/process_place.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

// Every script begins with this. `hold` says that the worker is there and waits as long as the file of that name is.
constexpr const char* kPrologue = R"(D=$1; shift
hold() { echo $$ > "$D/ready.$RANK.new"; mv "$D/ready.$RANK.new" "$D/ready.$RANK"; while [ -e "$D/hold" ]; do sleep 0.02; done; }
wait_for() { while [ ! -e "$D/$1" ] && [ -d "$D" ]; do sleep 0.02; done; }
)";

std::string contents(const fs::path& file) { return fs::exists(file) ? read_file(file) : ""; }

void wait_until(const char* what, const std::function<bool()>& condition) {
  for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30); !condition();) {
    BF_CHECK(std::chrono::steady_clock::now() < end, "waited half a minute for ", what);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// 'Z' for one that is dead and not yet reaped, 0 for one that is no more.
char state(pid_t pid) {
  std::ifstream in(str("/proc/", pid, "/stat"));
  std::string line;
  std::getline(in, line);
  const auto name_end = line.rfind(')');
  return name_end == line.npos ? '\0' : line.at(name_end + 2);
}
bool alive(pid_t pid) { return state(pid) != '\0' && state(pid) != 'Z'; }

std::set<std::string> open_files() {
  std::set<std::string> all;
  for (const auto& e : fs::directory_iterator("/proc/self/fd")) all.insert(e.path().filename());
  return all;
}

struct Outcome {
  int code = -1;  // -1: launch() threw
  std::string said, left_behind;
};

class Launch {
 public:
  explicit Launch(std::string script) {
    plan.argv = {"sh", folder.file("worker.sh", kPrologue + std::move(script)), folder.path().string()};
    plan.grace_s = 50;  // a launch that gets by without killing ends sooner
    folder.file("hold", "");
    fs::create_directory(folder / "tmp");
  }
  ~Launch() {
    fs::remove(folder / "hold");
    if (pid_ > 0) ::kill(pid_, SIGKILL), ::waitpid(pid_, nullptr, 0);
  }

  void start() {
    std::fflush(stdout);  // what doctest has not written yet is not for the launcher to write
    pid_ = ::fork();
    BF_CHECK(pid_ >= 0, "fork");
    if (pid_ == 0) {
      try {
        in_process();
      } catch (...) {
      }
      ::_exit(0);
    }
  }
  Outcome end() {
    wait_until("the launcher to end", [&] { return ::waitpid(pid_, nullptr, WNOHANG) == pid_; });
    pid_ = 0;
    std::istringstream in(contents(folder / "result"));
    Outcome o;
    in >> o.code >> o.left_behind;
    o.said = contents(folder / "said");
    return o;
  }
  Outcome run() {
    start();
    return end();
  }

  pid_t pid() const { return pid_; }
  void signal(int number) { ::kill(pid_, number); }
  void release() { fs::remove(folder / "hold"); }
  std::string file(const std::string& name) const { return contents(folder / name); }
  // Of a worker that holds.
  pid_t worker(int rank) {
    wait_until("a worker", [&] { return fs::exists(folder / str("ready.", rank)); });
    return std::stoi(file(str("ready.", rank)));
  }

  TempFolder folder;
  LaunchPlan plan;
  std::function<void()> before = [] {};  // in the launcher's process

 private:
  void in_process() {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setpgid(0, 0);
    ::setenv("TMPDIR", (folder / "tmp").c_str(), 1);
    const int terminal = ::open((folder / "terminal").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(terminal, 0), ::dup2(terminal, 1), ::dup2(terminal, 2), ::close(terminal);
    plan.say = [&](std::string_view text) { std::ofstream(folder / "said", std::ios::app) << text; };
    before();
    const auto files = open_files();
    sigset_t mask, mask_after;
    struct sigaction child, child_after;
    ::sigprocmask(SIG_SETMASK, nullptr, &mask), ::sigaction(SIGCHLD, nullptr, &child);
    int code = -1;
    try {
      code = launch(plan);
    } catch (const Error& e) {
      plan.say(e.what());
    }
    ::sigprocmask(SIG_SETMASK, nullptr, &mask_after), ::sigaction(SIGCHLD, nullptr, &child_after);
    std::string left;
    if (open_files() != files) left += "open-files,";
    if (::waitpid(-1, nullptr, WNOHANG) != -1) left += "children,";
    for (const int s : {SIGCHLD, SIGINT, SIGTERM, SIGUSR1})
      if (::sigismember(&mask, s) != ::sigismember(&mask_after, s)) left += "blocked-signals,";
    if (child.sa_handler != child_after.sa_handler) left += "disposition,";
    if (!fs::is_empty(folder / "tmp")) left += "temporary-files,";
    std::ofstream(folder / "result") << code << " " << (left.empty() ? "nothing" : left);
  }

  pid_t pid_ = 0;
};

void expect(const Outcome& o, int code, const std::string& said) {
  CAPTURE(o.said);
  CHECK(o.code == code);
  CHECK(o.said == said);
  CHECK(o.left_behind == "nothing");
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> all;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

}  // namespace

TEST_CASE("launcher: every worker finds its place; the terminal is rank 0's") {
  Launch l(R"(env > "$D/env.$RANK"; readlink /proc/$$/fd/0 > "$D/stdin.$RANK"
printf '%s|' "$@" > "$D/words.$RANK"; echo "out $RANK"; echo "err $RANK" >&2)");
  l.plan.world = 3;
  l.plan.argv.insert(l.plan.argv.end(), {"two words", "", "it's"});
  l.plan.environment = [](int rank) {
    return std::vector<std::string>{str("EXTRA=rank=", rank), "INHERITED=replaced"};
  };
  l.before = [] {
    for (const char* name : {"TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE", "RANK", "BONAFIDE_RUN_ID",
                             "BONAFIDE_ERROR_FILE", "INHERITED", "KEPT"})
      ::setenv(name, "True", 1);
  };
  expect(l.run(), 0, "");
  std::set<std::string> run_ids, error_files;
  std::set<int> ports;
  for (int rank = 0; rank < 3; ++rank) {
    std::map<std::string, std::string> variables;
    for (const std::string& line : lines_of(l.file(str("env.", rank))))
      if (const auto at = line.find('='); at != line.npos) variables[line.substr(0, at)] = line.substr(at + 1);
    const auto place = process_place([&](const char* name) -> std::optional<std::string> {
      return variables.count(name) ? std::optional(variables[name]) : std::nullopt;
    });
    REQUIRE(place);
    CHECK(place->source == "bonafide");
    CHECK(place->rank == rank);
    CHECK(place->world == 3);
    CHECK(place->local_rank == rank);
    CHECK(place->local_world == 3);
    CHECK(place->address == "127.0.0.1");
    CHECK(place->port >= 1024);
    CHECK(place->run_id.size() == 16);
    ports.insert(place->port), run_ids.insert(place->run_id), error_files.insert(variables["BONAFIDE_ERROR_FILE"]);
    CHECK(variables["EXTRA"] == str("rank=", rank));
    CHECK(variables["INHERITED"] == "replaced");
    CHECK(variables["KEPT"] == "True");
    CHECK(l.file(str("stdin.", rank)) == "/dev/null\n");
    CHECK(l.file(str("words.", rank)) == "two words||it's|");
  }
  CHECK(ports.size() == 1);
  CHECK(run_ids.size() == 1);
  CHECK(error_files.size() == 3);
  CHECK(l.file("terminal") == "out 0\nerr 0\n");
}

TEST_CASE("launcher: a worker begins with no signal blocked, and none ignored but SIGUSR1 where the launcher does") {
  Launch l("");
  l.plan.argv = {"cat", "/proc/self/status"};  // a shell would clear them itself
  l.before = [] {
    for (const int s : {SIGINT, SIGTERM, SIGUSR1}) ::signal(s, SIG_IGN);
  };
  expect(l.run(), 0, "");
  std::set<std::string> masks;
  for (const std::string& line : lines_of(l.file("terminal")))
    if (line.starts_with("SigBlk:") || line.starts_with("SigIgn:")) {
      const auto mask = std::stoull(line.substr(8), nullptr, 16);
      for (const int s : {SIGINT, SIGTERM, SIGCHLD}) CHECK((mask >> (s - 1) & 1) == 0);
      CHECK((mask >> (SIGUSR1 - 1) & 1) == (line.starts_with("SigIgn:") ? 1 : 0));
      masks.insert(line.substr(0, 7));
    }
  CHECK(masks.size() == 2);
}

TEST_CASE("launcher: the failure of one ends all, with its message and its last output") {
  Launch l(R"(trap 'echo TERM >> "$D/log.$RANK"; exit 130' TERM
if [ $RANK != 1 ]; then hold; exit 0; fi
wait_for ready.0; wait_for ready.2
i=0; while [ $i -lt 30 ]; do i=$((i + 1)); echo "line $i"; done; echo 'no space' >&2; echo
printf 'cannot save: disk full\n' > "$BONAFIDE_ERROR_FILE"; exit 7)");
  l.plan.world = 3;
  std::string said = "rank 1 failed (exit code 7): cannot save: disk full\nits last output:\n";
  for (int i = 12; i <= 30; ++i) said += str("  | line ", i, "\n");
  expect(l.run(), 7, said + "  | no space\n");
  CHECK(l.file("log.0") == "TERM\n");
  CHECK(l.file("log.2") == "TERM\n");
}

TEST_CASE("launcher: of a long output, the end") {
  Launch l(R"([ $RANK = 0 ] && exit 0
i=0; while [ $i -lt 1000 ]; do i=$((i + 1)); echo "0123456789012345678901234567890123456789"; done | tr -d '\n'; echo END; exit 1)");
  l.plan.world = 2;
  const Outcome o = l.run();
  CHECK(o.code == 1);
  CHECK(o.said.size() > 8000);
  CHECK(o.said.size() < 8400);
  CHECK(o.said.ends_with("789END\n"));
}

TEST_CASE("launcher: a worker that will not go is killed, with all it started, when the time is up") {
  Launch l(R"(trap '' TERM
if [ $RANK = 0 ]; then sleep 100 & echo $! > "$D/below"; hold; fi
wait_for ready.0; kill -9 $$)");
  l.plan.world = 2;
  l.plan.grace_s = 0.3;
  const auto start = std::chrono::steady_clock::now();
  expect(l.run(), 128 + SIGKILL, "rank 1 was killed by signal 9 (Killed)\n");
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(300));
  CHECK_FALSE(alive(l.worker(0)));
  wait_until("the worker's own child to end", [&] { return !alive(std::stoi(l.file("below"))); });
}

TEST_CASE("launcher: kill -9 of the launcher leaves no worker") {
  Launch l("trap '' TERM INT; hold");
  l.plan.world = 3;
  l.start();
  const pid_t workers[] = {l.worker(0), l.worker(1), l.worker(2)};
  for (const pid_t w : workers) CHECK(alive(w));
  l.signal(SIGKILL);
  for (const pid_t w : workers) wait_until("an orphan to end", [&] { return !alive(w); });
}

TEST_CASE("launcher: requests to stop reach every worker once, SIGUSR1 the first one alone") {
  Launch l(R"(for s in USR1 INT TERM; do trap "echo $s >> '$D/log.$RANK'" $s; done
hold; exit 130)");
  l.plan.world = 2;
  l.plan.restarts = 2;
  l.before = [] { ::signal(SIGINT, SIG_IGN); };  // as a shell starts what runs in the background
  l.start();
  for (const int rank : {0, 1}) {
    const pid_t group = ::getpgid(l.worker(rank));
    CHECK(group == l.worker(rank));  // the terminal's Ctrl-C goes to the launcher's group
    CHECK(group != ::getpgid(l.pid()));
  }
  std::string first, second;
  const auto expect_in = [&](std::initializer_list<std::string*> logs, int signal, const char* name) {
    ::kill(-l.pid(), signal);
    for (std::string* log : logs) *log += std::string(name) + "\n";
    wait_until(name, [&] { return l.file("log.0").size() >= first.size() && l.file("log.1").size() >= second.size(); });
  };
  expect_in({&first}, SIGUSR1, "USR1");
  expect_in({&first, &second}, SIGINT, "INT");
  expect_in({&first, &second}, SIGINT, "INT");
  expect_in({&first}, SIGUSR1, "USR1");
  expect_in({&first, &second}, SIGTERM, "TERM");
  l.release();
  expect(l.end(), 130, "");
  CHECK(l.file("log.0") == first);
  CHECK(l.file("log.1") == second);
}

TEST_CASE("launcher: stopped is not failed") {
  SUBCASE("stopped before it could handle signals") {
    for (const int signal : {SIGINT, SIGTERM}) {
      Launch l("hold");
      l.plan.world = 2;
      l.start();
      l.worker(0), l.worker(1);
      l.signal(signal);
      expect(l.end(), 130, "");
    }
  }
  SUBCASE("some had finished") {
    Launch l("trap 'exit 130' INT; if [ $RANK = 0 ]; then trap 'exit 0' INT; fi; hold; exit 1");
    l.plan.world = 2;
    l.start();
    l.worker(0), l.worker(1);
    l.signal(SIGINT);
    expect(l.end(), 130, "");
  }
  SUBCASE("a failure while stopping is one, is not followed by a restart, and asks nobody again") {
    Launch l(R"(trap 'echo TERM >> "$D/log"' TERM
trap 'echo USR1 >> "$D/log"' USR1
trap 'echo INT >> "$D/log"' INT; if [ $RANK = 0 ]; then trap 'exit 5' INT; fi
hold; exit 130)");
    l.plan.world = 2;
    l.plan.restarts = 3;
    l.start();
    const pid_t failing = l.worker(0);
    l.worker(1);
    l.signal(SIGINT);
    wait_until("the failure", [&] { return state(failing) == '\0'; });  // it is reaped
    l.signal(SIGUSR1);  // comes after whatever the failure may have sent
    wait_until("the last signal", [&] { return l.file("log").find("USR1") != std::string::npos; });
    l.release();
    expect(l.end(), 5, "rank 0 failed (exit code 5)\n");
    CHECK(l.file("log") == "INT\nUSR1\n");
  }
  SUBCASE("nobody asked for it") {
    Launch l("[ $RANK = 1 ] && exit 130; trap 'exit 130' TERM; hold");
    l.plan.world = 2;
    l.plan.restarts = 3;
    expect(l.run(), 130, "rank 1 failed (exit code 130)\n");
  }
  SUBCASE("a signal that does not ask for it") {
    Launch l("hold");
    l.start();
    l.worker(0);
    l.signal(SIGUSR1);
    expect(l.end(), 128 + SIGUSR1, str("rank 0 was killed by signal ", SIGUSR1, " (", ::strsignal(SIGUSR1), ")\n"));
  }
}

TEST_CASE("launcher: the failure that began it is the one that is told") {
  SUBCASE("by when it left its message, not by who was gone first") {
    Launch l(R"(if [ $RANK = 2 ]; then
  trap '' TERM; printf 'the cause' > "$BONAFIDE_ERROR_FILE"; : > "$D/cause"; wait_for gone; exit 3
elif [ $RANK = 0 ]; then
  wait_for cause; sleep 0.05; printf 'a consequence' > "$BONAFIDE_ERROR_FILE"; echo $$ > "$D/ready.0"; exit 1
else
  trap 'exit 130' TERM; hold
fi)");
    l.plan.world = 3;
    l.start();
    wait_until("the consequence", [&] { return !l.file("ready.0").empty() && !alive(l.worker(0)); });
    l.folder.file("gone", "");
    expect(l.end(), 3, "rank 2 failed (exit code 3): the cause\n");
  }
  SUBCASE("killed: it could leave none") {
    Launch l(R"(hold
if [ $RANK = 1 ]; then kill -9 $$; fi
printf 'connection closed' > "$BONAFIDE_ERROR_FILE"; exit 1)");
    l.plan.world = 3;
    l.start();
    const pid_t workers[] = {l.worker(0), l.worker(1), l.worker(2)};
    l.signal(SIGSTOP);  // so that it finds them all dead at once
    l.release();
    for (const pid_t w : workers) wait_until("all to be dead", [&] { return state(w) == 'Z'; });
    l.signal(SIGCONT);
    expect(l.end(), 128 + SIGKILL, "rank 1 was killed by signal 9 (Killed)\n");
  }
  SUBCASE("killed afterwards: a consequence") {
    Launch l(R"(if [ $RANK = 0 ]; then trap 'kill -ABRT $$' TERM; hold; fi
wait_for ready.0; printf 'the cause' > "$BONAFIDE_ERROR_FILE"; exit 6)");
    l.plan.world = 2;
    expect(l.run(), 6, "rank 1 failed (exit code 6): the cause\n");
  }
}

TEST_CASE("launcher: restarts") {
  const char* script = R"(echo "$BONAFIDE_RUN_ID $*" >> "$D/starts.$RANK"
trap 'exit 130' TERM
n=$(wc -l < "$D/starts.$RANK"); [ $RANK = 0 ] && { hold; exit 0; }
[ $n = 1 ] && printf 'the first time' > "$BONAFIDE_ERROR_FILE"
if [ $n -lt $FAILS ]; then wait_for ready.0; rm "$D/ready.0"; exit $CODE; fi
rm "$D/hold")";
  const auto with = [&](int fails, int code) {
    auto l = std::make_unique<Launch>(script);
    l->plan.world = 2;
    l->plan.restarts = 2;
    l->plan.environment = [=](int) { return std::vector<std::string>{str("FAILS=", fails), str("CODE=", code)}; };
    l->plan.restart_argv = [argv = l->plan.argv](int restart) {
      auto more = argv;
      more.insert(more.end(), {"--resume", str("run ", restart)});
      return more;
    };
    return l;
  };
  const std::string first = "rank 1 failed (exit code 9): the first time\nstarting again (1 of 2)\n";
  SUBCASE("until it works: with more words and a run id that nobody had") {
    const auto l = with(3, 9);
    expect(l->run(), 0, first + "rank 1 failed (exit code 9)\nstarting again (2 of 2)\n");
    for (const int rank : {0, 1}) {
      const auto starts = lines_of(l->file(str("starts.", rank)));
      REQUIRE(starts.size() == 3);
      std::set<std::string> ids;
      for (const std::string& s : starts) ids.insert(s.substr(0, 16));
      CHECK(ids.size() == 3);
      CHECK(starts[0].substr(16) == " ");
      CHECK(starts[1].substr(16) == " --resume run 1");
      CHECK(starts[2].substr(16) == " --resume run 2");
    }
  }
  SUBCASE("no more than were granted") {
    const auto l = with(100, 9);
    expect(l->run(), 9, first + "rank 1 failed (exit code 9)\nstarting again (2 of 2)\nrank 1 failed (exit code 9)\n");
  }
  SUBCASE("not for what would be the same again") {
    for (const int code : {2, 3, 4}) {
      const auto l = with(100, code);
      expect(l->run(), code, str("rank 1 failed (exit code ", code, "): the first time\n"));
    }
  }
  SUBCASE("the same words where nobody has more") {
    const auto l = with(2, 1);
    l->plan.restart_argv = {};
    expect(l->run(), 0, "rank 1 failed (exit code 1): the first time\nstarting again (1 of 2)\n");
    CHECK(lines_of(l->file("starts.1")).at(1).substr(16) == " ");
  }
}

TEST_CASE("launcher: one that has finished does not end the others; what it left running does not stay") {
  Launch l(R"(if [ $RANK = 0 ]; then sleep 100 & echo $! > "$D/below"; echo $$ > "$D/gone"; else hold; fi)");
  l.plan.world = 2;
  l.before = [] { ::signal(SIGCHLD, SIG_IGN); };  // so that nobody would hear of exit codes
  l.start();
  l.worker(1);
  wait_until("rank 0 to end", [&] { return !l.file("gone").empty() && state(std::stoi(l.file("gone"))) == '\0'; });
  wait_until("its child to end", [&] { return !alive(std::stoi(l.file("below"))); });
  CHECK(alive(l.worker(1)));
  l.release();
  expect(l.end(), 0, "");
}

TEST_CASE("launcher: what cannot be started") {
  Launch l("hold");
  SUBCASE("no such program") {
    l.plan.argv[0] = (l.folder / "nothing").string();
    expect(l.run(), -1, l.plan.argv[0] + ": cannot run: No such file or directory");
  }
  SUBCASE("after others were") {
    l.plan.world = 2;
    l.plan.environment = [&](int rank) {
      if (rank == 1) l.worker(0), throw Error("no more");
      return std::vector<std::string>{};
    };
    expect(l.run(), -1, "no more");
    CHECK_FALSE(alive(l.worker(0)));
  }
  SUBCASE("nowhere to put its output") {
    l.before = [] { ::setenv("TMPDIR", "/proc", 1); };
    l.start();
    const Outcome o = l.end();
    CHECK(o.code == -1);
    CHECK(o.said.find("cannot create the folder") != std::string::npos);
  }
  SUBCASE("nothing to start") {
    for (const LaunchPlan& plan :
         {LaunchPlan{}, LaunchPlan{.argv = {"true"}, .world = 0}, LaunchPlan{.argv = {"true"}, .restarts = -1},
          LaunchPlan{.argv = {"true"}, .grace_s = -1}})
      expect_throw("restarts, ", [&] { launch(plan); });
  }
}

TEST_CASE("launcher: without anybody to tell, it tells standard error") {
  Launch l("");
  const pid_t child = ::fork();
  if (child == 0) {
    const int out = ::open((l.folder / "stderr").c_str(), O_WRONLY | O_CREAT, 0600);
    ::dup2(out, 2);
    ::_exit(launch({.argv = {"sh", "-c", "exit 12"}}));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == 12);
  CHECK(l.file("stderr") == "rank 0 failed (exit code 12)\n");
}

TEST_CASE("launcher: a worker's own report") {
  const TempFolder folder;
  ::unsetenv("BONAFIDE_ERROR_FILE");
  CHECK_FALSE(report_failure("nobody listens"));
  ::setenv("BONAFIDE_ERROR_FILE", "", 1);
  CHECK_FALSE(report_failure("nobody listens"));
  ::setenv("BONAFIDE_ERROR_FILE", (folder / "a/b").c_str(), 1);
  CHECK_FALSE(report_failure("the launcher is gone"));
  ::setenv("BONAFIDE_ERROR_FILE", (folder / "error").c_str(), 1);
  CHECK(report_failure("first\nof all"));
  CHECK(report_failure("second"));  // the launcher has a message: nobody else need tell
  CHECK(read_file(folder / "error") == "first\nof all");
  ::unsetenv("BONAFIDE_ERROR_FILE");
}
