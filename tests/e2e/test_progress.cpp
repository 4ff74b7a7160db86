// tests/e2e/test_progress.cpp — the progress line on a terminal and elsewhere, and what signals do.
#include "apps/common/progress.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "apps/common/signals.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// A stream in memory, a clock that is set by hand, and what was logged.
struct Screen {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* file = ::open_memstream(&text, &size);
  double now = 100;
  std::string logged;
  ~Screen() {
    std::fclose(file);
    std::free(text);
  }
  std::string take() {
    std::fflush(file);
    std::string s(text, size);
    const std::string fresh = s.substr(taken);
    taken = s.size();
    return fresh;
  }
  auto log() {
    return [this](std::string_view line) { logged += std::string(line) + "|"; };
  }
  auto clock() {
    return [this] { return now; };
  }
  std::size_t taken = 0;
};

Progress::Step step(std::int64_t n, double loss, double wait_s = 0) {
  return {.epoch = 1,
          .epochs = 2,
          .step = n,
          .steps = 200,
          .loss = loss,
          .learning_rate = 1.62e-4,
          .images = 64,
          .wait_s = wait_s};
}

}  // namespace

TEST_CASE("progress: elsewhere than on a terminal, whole lines at the first step, every ten seconds, and at the last") {
  Screen s;
  {
    Progress p(s.file, {}, s.log(), s.clock());
    s.now += 2;
    p.report(step(1, 0.5, 0.5));
    // 64 images in 2 s, a quarter of it waiting, 199 steps of 2 s to go
    CHECK(s.take() == "[T] ep 1/2  1/200 0%  loss 0.5000  lr 1.62e-04  32 img/s  data 25%  left 0:06:38\n");
    for (int i = 2; i <= 5; ++i) s.now += 2, p.report(step(i, 0.5, 0.5));
    CHECK(s.take() == "");
    s.now += 2;
    p.report(step(6, 0.5, 0.5));
    CHECK(s.take().starts_with("[T] ep 1/2  6/200 3%  loss 0.5000"));
    p.line("validation");
    CHECK(s.take() == "validation\n");
    s.now += 500;  // validation is not counted as a slow step
    p.resume();
    s.now += 2;
    p.report(step(200, 0.5, 0.5));
    CHECK(s.take() == "[T] ep 1/2  200/200 100%  loss 0.5000  lr 1.62e-04  32 img/s  data 25%  left 0:00:00\n");
    p.warning("w");
  }
  CHECK(s.take() == "warning: w\n");
  CHECK(s.logged.find("|validation|[T] ep 1/2  200/200") != std::string::npos);
  CHECK(s.logged.ends_with("|warning: w|"));
}

TEST_CASE("progress: on a terminal one line is redrawn, cut to its width, and lines go above it") {
  Screen s;
  {
    Progress p(s.file, {.updating = true, .color = true, .columns = 30}, s.log(), s.clock());
    s.now += 1;
    p.report(step(1, 0.5));
    CHECK(s.take() == "\r[T] ep 1/2  1/200 0%  loss 0.\x1b[K");
    s.now += 0.05;
    p.report(step(2, 0.5));
    CHECK(s.take() == "");
    s.now += 0.06;
    p.report(step(3, 0.5));
    CHECK(s.take().starts_with("\r[T] ep 1/2  3/200"));
    p.warning("careful");
    CHECK(s.take() == "\r\x1b[K\x1b[33mwarning:\x1b[0m careful\n");
    s.now += 1;
    p.report(step(4, 0.5));
    s.take();
  }
  CHECK(s.take() == "\r\x1b[K");           // nothing half stays behind
  CHECK(s.logged == "warning: careful|");  // redrawn lines are not logged
}

TEST_CASE("progress: loss is a running mean, and a loss that is not finite is shown as it is") {
  Screen s;
  Progress p(s.file, {}, {}, s.clock());
  s.now += 1;
  p.report(step(1, 1));
  s.now += 10;
  p.report(step(2, 3));  // (0.95 * 0.05 * 1 + 0.05 * 3) / (1 - 0.95^2)
  CHECK(s.take().find("2/200 1%  loss 2.0256") != std::string::npos);
  s.now += 10;
  p.report(step(3, std::nan("")));
  CHECK(s.take().find("loss nan") != std::string::npos);
  s.now += 10;
  p.report(step(4, 2));
  CHECK(s.take().find("loss 2.0") != std::string::npos);
}

TEST_CASE("progress: a command through a list: speed and time left are of this start alone") {
  Screen s;
  Progress p(s.file, {}, s.log(), s.clock());
  const auto count = [&](std::int64_t done, std::int64_t rejected) {
    p.report(Progress::Count{.command = "crop", .done = done, .total = 200, .before = 100, .rejected = rejected});
  };
  count(100, 7);
  CHECK(s.take() == "[crop] 100/200 50%  7 rejected  0.0 img/s  left ?\n");
  s.now += 4;
  count(110, 7);
  CHECK(s.take() == "");
  s.now += 6;
  count(120, 8);  // 20 in 10 s, 80 to go
  CHECK(s.take() == "[crop] 120/200 60%  8 rejected  2.0 img/s  left 0:00:40\n");
  s.now += 1;
  count(200, 9);
  CHECK(s.take() == "[crop] 200/200 100%  9 rejected  9.1 img/s  left 0:00:00\n");
  CHECK(std::count(s.logged.begin(), s.logged.end(), '|') == 3);
  count(200, -1);
  CHECK(s.take().starts_with("[crop] 200/200 100%  9.1 img/s"));
}

TEST_CASE("progress: durations, and what is not a terminal") {
  CHECK(duration_text(0) == "0:00:00");
  CHECK(duration_text(59.6) == "0:01:00");
  CHECK(duration_text(3661) == "1:01:01");
  CHECK(duration_text(86399) == "23:59:59");
  CHECK(duration_text(2 * 86400 + 3 * 3600) == "2d 03:00:00");
  CHECK(duration_text(std::nan("")) == "?");
  std::FILE* file = std::tmpfile();
  const Terminal t = Terminal::of(file);
  CHECK_FALSE(t.updating);
  CHECK_FALSE(t.color);
  std::fclose(file);
}

TEST_CASE("signals: the first asks, a Ctrl-C after it ends at once with 130, handlers are put back") {
  const auto ended_by = [](int first, int second) {
    const pid_t child = ::fork();
    if (child == 0) {
      (void)!std::freopen("/dev/null", "w", stderr);
      const StopSignals stop;
      if (stop.stop_requested()) ::_exit(1);
      ::raise(SIGUSR1);
      if (!stop.take_save_request() || stop.take_save_request() || stop.stop_requested()) ::_exit(2);
      ::raise(first);
      if (!stop.stop_requested()) ::_exit(3);
      ::raise(second);
      ::_exit(4);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  };
  CHECK(ended_by(SIGINT, SIGINT) == 130);
  CHECK(ended_by(SIGTERM, SIGINT) == 130);
  CHECK(ended_by(SIGTERM, SIGTERM) == 4);  // a scheduler and a launcher may each send one
  CHECK(ended_by(SIGINT, SIGTERM) == 4);

  struct sigaction before {
  }, during{}, after{};
  ::sigaction(SIGINT, nullptr, &before);
  {
    const StopSignals stop;
    ::sigaction(SIGINT, nullptr, &during);
  }
  ::sigaction(SIGINT, nullptr, &after);
  CHECK((before.sa_handler != during.sa_handler));
  CHECK((before.sa_handler == after.sa_handler));
}
