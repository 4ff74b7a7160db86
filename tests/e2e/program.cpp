// tests/e2e/program.cpp
#include "tests/e2e/program.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "engine/files.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

namespace bonafide::test {
namespace fs = std::filesystem;

std::vector<pid_t> children_of(pid_t parent) {
  std::ifstream in(str("/proc/", parent, "/task/", parent, "/children"));
  std::vector<pid_t> all;
  for (pid_t p; in >> p;) all.push_back(p);
  return all;
}
bool alive(pid_t process) {
  std::ifstream in(str("/proc/", process, "/stat"));
  std::string text;
  std::getline(in, text);
  const auto end = text.rfind(')');
  return end != text.npos && text.size() > end + 2 && text[end + 2] != 'Z';
}
bool has_signal(pid_t process, const std::string& line, int signal) {
  std::ifstream status(str("/proc/", process, "/status"));
  for (std::string s; std::getline(status, s);)
    if (s.starts_with(line + ":")) return std::stoull(s.substr(line.size() + 1), nullptr, 16) >> (signal - 1) & 1;
  return false;
}

namespace {

// The most resident memory so far of a process that runs this program. (Its ru_maxrss begins with what the process had before it
// became the program: a copy of this one, which hides everything smaller.)
long resident_peak_kb(pid_t process, const fs::path& program) {
  const fs::path proc = fs::path("/proc") / std::to_string(process);
  std::error_code none;
  if (fs::read_symlink(proc / "exe", none) != program) return 0;
  std::ifstream status(proc / "status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::strtol(line.c_str() + 6, nullptr, 10);
  return 0;
}

}  // namespace

Result bonafide_program(std::vector<std::string> words, const Interrupt& interrupt, const std::string& program) {
  const TempFolder scratch;
  const fs::path out = scratch.path() / "out";
  words.insert(words.begin(), std::string(BF_BINARY_DIR) + "/" + program);
  words.insert(words.begin(), interrupt.prefix.begin(), interrupt.prefix.end());
  std::vector<char*> argv;
  for (auto& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  const int file = ::open(out.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);  // here: it is there even if the child is killed at once
  BF_CHECK(file >= 0, "no file for what the program says");
  const pid_t child = ::fork();
  BF_CHECK(child >= 0, "fork");
  if (child == 0) {
    for (std::string v : interrupt.variables) ::setenv(v.substr(0, v.find('=')).c_str(), v.c_str() + v.find('=') + 1, 1);
    if (::dup2(file, 1) >= 0 && ::dup2(file, 2) >= 0) ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(file);
  const fs::path running = fs::weakly_canonical(fs::path(BF_BINARY_DIR) / program);
  int status = 0;
  long peak_kb = 0;
  for (bool waiting = !interrupt.file.empty(); ::waitpid(child, &status, WNOHANG) == 0;) {
    std::error_code none;
    if (!waiting) {
      peak_kb = std::max(peak_kb, resident_peak_kb(child, running));
    } else if (const auto size = fs::file_size(interrupt.file, none); !none && size > interrupt.bytes) {
      if (interrupt.act) interrupt.act(child);
      else ::kill(child, interrupt.signal);
      waiting = false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(waiting ? 1 : 2));
  }
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(out), peak_kb};
}

void expect(const Result& r, int code, const std::string& part) {
  CAPTURE(r.text);
  CHECK(r.code == code);
  CHECK(r.text.find(part) != std::string::npos);
}

}  // namespace bonafide::test
