// tests/e2e/test_commands.cpp — the program as a user starts it: help, version, unknown words, exit codes.
#include <sys/wait.h>

#include <cstdio>

#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Result {
  int code;
  std::string out, err;
};

// Runs a shell command; output and errors apart.
Result run(const std::string& command) {
  const auto read_all = [](const std::string& shell, std::string& text) {
    std::FILE* pipe = ::popen(shell.c_str(), "r");
    char block[4096];
    for (std::size_t n; (n = std::fread(block, 1, sizeof block, pipe)) > 0;) text.append(block, n);
    return ::pclose(pipe);
  };
  Result r;
  const int status = read_all(command + " 2>/dev/null", r.out);
  read_all("{ " + command + "; } 2>&1 >/dev/null", r.err);
  r.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return r;
}

const std::string kProgram = std::string(BF_BINARY_DIR) + "/bin/bonafide";

}  // namespace

TEST_CASE("commands: help and version go to stdout with 0") {
  for (const char* flag : {" --help", " -h", " help"}) {
    const Result r = run(kProgram + flag);
    CHECK(r.code == 0);
    CHECK(r.err.empty());
    CHECK(r.out.find("usage: bonafide <command>") == 0);
    CHECK(r.out.find("\n  doctor ") != std::string::npos);
  }
  const Result r = run(kProgram + " --version");
  CHECK(r.code == 0);
  CHECK(r.out.starts_with("bonafide 0."));
  CHECK(r.out.find("compiler") != std::string::npos);
}

TEST_CASE("commands: no word and a wrong word are usage errors on stderr with 2") {
  const Result none = run(kProgram), wrong = run(kProgram + " trian");
  CHECK(none.code == 2);
  CHECK(none.out.empty());
  CHECK(none.err.starts_with("usage: "));
  CHECK(wrong.code == 2);
  CHECK(wrong.out.empty());
  CHECK(wrong.err.starts_with("bonafide: unknown command 'trian'\n"));
}

TEST_CASE("commands: a usage error of a command is 2 and says which command") {
  CHECK(run(kProgram + " doctor").code == 0);
  CHECK(run(kProgram + " doctor").out.find("processor") != std::string::npos);
  const Result r = run(kProgram + " doctor now");
  CHECK(r.code == 2);
  CHECK(r.err == "bonafide doctor: takes no arguments\n");
}

TEST_CASE("commands: the names it is installed under") {
  const Result r = run("ls " + std::string(BF_BINARY_DIR) + "/bin");
  CHECK(r.out.find("bonafide-eval\n") != std::string::npos);
  CHECK(r.out.find("bonafide-train\n") != std::string::npos);
}
