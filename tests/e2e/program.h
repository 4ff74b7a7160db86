// tests/e2e/program.h — the program as a user starts it: words in, exit code and text out; signals in the middle.
#pragma once
#include <signal.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace bonafide::test {

struct Result {
  int code = 0;      // 128 + the signal where one ended it
  std::string text;  // stdout and stderr
  long peak_kb = 0;  // of resident memory; not measured where the program is interrupted
};

// What happens to the program while it runs, and around it. A signal, or what `act` does, as soon as `file` is there and longer than `bytes`. Without a file: none.
struct Interrupt {
  std::filesystem::path file;
  std::uintmax_t bytes = 0;
  int signal = SIGTERM;
  std::function<void(pid_t program)> act = {};
  std::vector<std::string> prefix = {};     // what runs the program: {"ip", "netns", "exec", …}
  std::vector<std::string> variables = {};  // NAME=value, of the program's environment
};

// The processes that `parent` started and that have not ended, in the order of their numbers.
std::vector<pid_t> children_of(pid_t parent);
bool alive(pid_t process);
// Whether a signal is in this line of /proc/PID/status: "SigIgn", "SigCgt" (handled), "SigBlk".
bool has_signal(pid_t process, const std::string& line, int signal);

// Runs `bonafide ...` and waits. `program` lies in the build folder.
Result bonafide_program(std::vector<std::string> words, const Interrupt& interrupt = {}, const std::string& program = "bin/bonafide");

// The exit code, and a part of what was said.
void expect(const Result& result, int code, const std::string& part);

}  // namespace bonafide::test
