// apps/common/launcher.cpp — see launcher.h. Signals are taken from a queue, one after the other: there are no
// handlers.
#include "apps/common/launcher.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <sstream>
#include <tuple>

#include "apps/common/exit_codes.h"
#include "apps/common/private_folder.h"
#include "engine/base.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kErrorFile = "BONAFIDE_ERROR_FILE";
constexpr std::streamoff kShown = 8192;  // bytes of a worker's message, and of its output
constexpr std::size_t kLastLines = 20;   // of its output
constexpr std::array kForwarded = {SIGINT, SIGTERM, SIGUSR1};

bool asks_to_stop(int signal) { return signal == SIGINT || signal == SIGTERM; }

sigset_t watched_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  for (const int signal : kForwarded) ::sigaddset(&set, signal);
  return set;
}

[[noreturn]] void fail(const std::string& doing, int error) { throw Error(doing + ": " + ::strerror(error)); }

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

// Holds back what the launcher watches, for next() to hand out. Everything is as before afterwards.
class SignalQueue {
 public:
  SignalQueue() {
    struct sigaction plain {};
    plain.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &plain, &child_before_);  // where it is ignored, the system forgets exit codes
    ::pthread_sigmask(SIG_BLOCK, &watched_, &mask_before_);
  }
  ~SignalQueue() {
    while (next(Clock::now())) {
    }  // came too late for the workers, and is not meant for the launcher
    ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
    ::sigaction(SIGCHLD, &child_before_, nullptr);
  }
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  // Waits for a signal; 0 when there is none until then.
  int next(std::optional<Clock::time_point> until) {
    for (;;) {
      timespec left{};
      if (until) {
        const auto ns = std::max<std::int64_t>(0, std::chrono::nanoseconds(*until - Clock::now()).count());
        left.tv_sec = ns / 1'000'000'000, left.tv_nsec = ns % 1'000'000'000;
      }
      const int signal = ::sigtimedwait(&watched_, nullptr, until ? &left : nullptr);
      if (signal > 0) return signal;
      if (errno == EAGAIN) return 0;
    }
  }

 private:
  sigset_t watched_ = watched_signals(), mask_before_;
  struct sigaction child_before_ {};
};

// One that nobody listens on now. Somebody else may take it before rank 0 does, who then says so.
int free_port() {
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (socket.get() < 0 || ::bind(socket.get(), any, size) || ::getsockname(socket.get(), any, &size))
    fail("no free port on 127.0.0.1", errno);
  return ntohs(address.sin_port);
}

std::string new_run_id() {
  std::random_device random;
  char text[17];
  std::snprintf(text, sizeof text, "%08x%08x", random(), random());
  return text;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  all.reserve(words.size() + 1);
  for (std::string& w : words) all.push_back(w.data());
  all.push_back(nullptr);
  return all;
}

// Between fork and exec: system calls and nothing else. Returns only where something failed.
void become_worker(char* const* argv, char* const* environment, const char* output, pid_t launcher) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launcher) ::_exit(1);  // it died before the line above
  if (::setpgid(0, 0)) return;
  for (const int signal : kForwarded)
    if (asks_to_stop(signal)) ::signal(signal, SIG_DFL);  // also where the launcher was started to ignore them
  const sigset_t watched = watched_signals();
  ::sigprocmask(SIG_UNBLOCK, &watched, nullptr);
  const auto redirect = [](int to, const char* path, int flags) {
    const int fd = ::open(path, flags, 0600);
    return fd == to || (fd >= 0 && ::dup2(fd, to) == to && ::close(fd) == 0);
  };
  if (!redirect(0, "/dev/null", O_RDONLY)) return;
  if (output && (!redirect(1, output, O_WRONLY | O_CREAT | O_APPEND) || ::dup2(1, 2) != 2)) return;
  ::execvpe(argv[0], argv, environment);
}

// Returns when the worker runs the program, or throws when it cannot. Without `output` it shares the launcher's.
pid_t start_worker(std::vector<std::string> argv, std::vector<std::string> environment, const char* output) {
  const std::vector<char*> words = pointers(argv), variables = pointers(environment);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC)) fail("cannot make a pipe", errno);
  const Fd failure(ends[0]);
  Fd report(ends[1]);
  const pid_t launcher = ::getpid(), pid = ::fork();
  if (pid < 0) fail("cannot start a process", errno);
  if (pid == 0) {
    become_worker(words.data(), variables.data(), output, launcher);
    const int error = errno;
    (void)!::write(report.get(), &error, sizeof error);
    ::_exit(1);
  }
  report.close();
  int error = 0;
  ssize_t n;
  do {
    n = ::read(failure.get(), &error, sizeof error);  // the end of the file: exec has closed it
  } while (n < 0 && errno == EINTR);
  if (n == sizeof error) {
    ::waitpid(pid, nullptr, 0);
    fail(argv[0] + ": cannot run", error);
  }
  return pid;
}

// The end of a file; nothing where there is none.
std::string end_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  const std::streamoff size = in ? std::streamoff(in.tellg()) : 0;
  std::string text(std::size_t(std::min(size, kShown)), '\0');
  in.seekg(size - std::streamoff(text.size()));
  in.read(text.data(), std::streamsize(text.size()));
  text.erase(text.find_last_not_of(" \n") + 1);
  return text;
}

std::string last_lines(const std::string& text) {
  std::deque<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    lines.push_back("  | " + line + "\n");
    if (lines.size() > kLastLines) lines.pop_front();
  }
  return std::accumulate(lines.begin(), lines.end(), std::string());
}

struct Worker {
  int rank = 0;
  pid_t pid = 0;  // 0 when it is no more
  fs::path output, error_file;
};

struct Failure {
  int rank = 0, status = 0;
  bool killed_first = false;  // by a signal, before others had reason to fail
  fs::file_time_type when;    // it left its message, or else was seen to be dead
  std::string message, output;

  int code() const { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }
  std::string text() const {
    std::string s = str("rank ", rank);
    if (WIFSIGNALED(status))
      s += str(" was killed by signal ", WTERMSIG(status), " (", ::strsignal(WTERMSIG(status)), ")");
    else
      s += str(" failed (exit code ", WEXITSTATUS(status), ")");
    if (!message.empty()) s += ": " + message;
    s += "\n";
    if (const std::string lines = last_lines(output); !lines.empty()) s += str("its last output:\n", lines);
    return s;
  }
};

// All workers, from one start to the last one's end.
class Workers {
 public:
  Workers() = default;
  ~Workers() {
    kill_all();
    for (Worker& w : workers_)
      if (w.pid) ::waitpid(w.pid, nullptr, 0);
  }
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void start(const LaunchPlan& plan, const std::vector<std::string>& argv) {
    grace_s_ = plan.grace_s;
    const std::string port = std::to_string(free_port()), run_id = new_run_id();
    for (int rank = 0; rank < plan.world; ++rank) {
      Worker w{rank, 0, rank ? folder_ / str("rank", rank, ".log") : fs::path(), folder_ / str("rank", rank, ".error")};
      std::map<std::string, std::string> variables;
      const auto set = [&](std::string_view variable) {
        const std::size_t name = std::min(variable.find('='), variable.size());
        variables[std::string(variable.substr(0, name))] = variable.substr(name);
      };
      for (char** v = environ; *v; ++v)
        if (!std::string_view(*v).starts_with("TORCHELASTIC_")) set(*v);  // it was not torchrun that started the worker
      for (const std::string& v :
           {str("RANK=", rank), str("WORLD_SIZE=", plan.world), str("LOCAL_RANK=", rank),
            str("LOCAL_WORLD_SIZE=", plan.world), std::string("MASTER_ADDR=127.0.0.1"), "MASTER_PORT=" + port,
            "BONAFIDE_RUN_ID=" + run_id, str(kErrorFile, "=", w.error_file.string())})
        set(v);
      if (plan.environment)
        for (const std::string& v : plan.environment(rank)) set(v);
      std::vector<std::string> environment;
      environment.reserve(variables.size());
      for (const auto& [name, value] : variables) environment.push_back(name + value);
      w.pid = start_worker(argv, std::move(environment), rank ? w.output.c_str() : nullptr);
      workers_.push_back(std::move(w));
    }
  }

  // Until none is left. The failure that began it, if there was one.
  std::optional<Failure> watch(SignalQueue& signals) {
    std::optional<Clock::time_point> patience;
    while (std::any_of(workers_.begin(), workers_.end(), [](const Worker& w) { return w.pid != 0; })) {
      const int signal = signals.next(patience);
      if (signal == 0) {
        kill_all();
        patience.reset();
      } else if (signal != SIGCHLD) {
        stop_asked_ |= asks_to_stop(signal);
        send(signal);
      } else if (const bool all_was_well = failures_.empty(); reap(), all_was_well && !failures_.empty()) {
        if (!stop_asked_) send(SIGTERM);  // a second one would keep them from saving
        patience = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(grace_s_));
      }
    }
    const auto first = std::min_element(failures_.begin(), failures_.end(), [](const Failure& a, const Failure& b) {
      return std::tuple(!a.killed_first, a.when) < std::tuple(!b.killed_first, b.when);
    });
    return first == failures_.end() ? std::nullopt : std::optional(*first);
  }
  bool stop_asked() const { return stop_asked_; }
  bool interrupted() const { return interrupted_; }

 private:
  // One worker's request is everybody's, so SIGUSR1 goes to one alone: two that take it around different steps would make
  // everybody do twice what was asked for once. A request to stop may come twice, and must end those that have no others yet.
  void send(int signal) {
    for (const Worker& w : workers_) {
      if (!w.pid) continue;
      ::kill(w.pid, signal);
      if (!asks_to_stop(signal)) return;
    }
  }
  void kill_all() {
    for (const Worker& w : workers_)
      if (w.pid) ::kill(-w.pid, SIGKILL);
  }

  void reap() {
    const bool all_was_well = failures_.empty();
    for (Worker& w : workers_) {
      siginfo_t info{};
      if (!w.pid || ::waitid(P_PID, id_t(w.pid), &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid) continue;
      ::kill(-w.pid, SIGKILL);  // what it left running; until the next line nobody else can have its number
      int status = 0;
      ::waitpid(w.pid, &status, 0);
      w.pid = 0;
      if (stopped(status))
        interrupted_ = true;
      else if (!WIFEXITED(status) || WEXITSTATUS(status) != kExitOk)
        failures_.push_back(failure_of(w, status, all_was_well));
    }
  }

  // Did it end because it was told to? What ends after a failure needs no such excuse: the first one is told of.
  bool stopped(int status) const {
    if (!stop_asked_) return false;
    return WIFEXITED(status) ? WEXITSTATUS(status) == kExitInterrupted : asks_to_stop(WTERMSIG(status));
  }

  static Failure failure_of(const Worker& w, int status, bool first) {
    std::error_code none;
    const auto reported = fs::last_write_time(w.error_file, none);
    return {w.rank,
            status,
            first && WIFSIGNALED(status),
            none ? fs::file_time_type::clock::now() : reported,
            end_of(w.error_file),
            end_of(w.output)};
  }

  double grace_s_ = 0;
  PrivateFolder folder_;
  std::vector<Worker> workers_;
  std::vector<Failure> failures_;
  bool stop_asked_ = false;   // by a signal to the launcher
  bool interrupted_ = false;  // and a worker was
};

bool would_repeat_itself(int code) {
  return code == kExitUsage || code == kExitDataCheck || code == kExitQualityGate || code == kExitInterrupted;
}

}  // namespace

int launch(const LaunchPlan& plan) {
  BF_CHECK(!plan.argv.empty() && plan.world >= 1 && plan.restarts >= 0 && plan.grace_s >= 0, plan.argv.size(),
           " words, ", plan.world, " processes, ", plan.restarts, " restarts, ", plan.grace_s, " s");
  const auto say = [&](const std::string& text) {
    if (plan.say)
      plan.say(text);
    else
      std::fputs(text.c_str(), stderr);
  };
  SignalQueue signals;
  for (int restart = 0;; ++restart) {
    const std::vector<std::string> argv = restart > 0 && plan.restart_argv ? plan.restart_argv(restart) : plan.argv;
    Workers workers;
    workers.start(plan, argv);
    const auto failure = workers.watch(signals);
    if (!failure) return workers.interrupted() ? kExitInterrupted : kExitOk;
    say(failure->text());
    if (restart == plan.restarts || workers.stop_asked() || would_repeat_itself(failure->code()))
      return failure->code();
    say(str("starting again (", restart + 1, " of ", plan.restarts, ")\n"));
  }
}

bool report_failure(std::string_view message) noexcept {
  const char* path = std::getenv(kErrorFile);
  if (!path || !*path) return false;
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return errno == EEXIST;
  const bool written = ::write(fd, message.data(), message.size()) == ssize_t(message.size());
  return ::close(fd) == 0 && written;
}

}  // namespace bonafide
