// tests/fuzz/target.h — what a fuzz target is: a reader, a few good and bad inputs to start from, and a name.
//
// The same function runs twice: under libFuzzer (`./dev fuzz SECONDS [target…]`, one program per file of this folder), and
// in the images tier over its seeds and simple damage to them (tests/images/test_fuzz_targets.cpp), so that it cannot rot.
// A reader may refuse any input with a bonafide::Error. Everything else that it throws, every sanitizer report and every
// BF_CHECK of the target itself is a finding.
#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "engine/base.h"

namespace bonafide::fuzz {

struct Target {
  std::string name;                     // of its file
  void (*run)(const std::string& input);  // throws nothing
  std::vector<std::string> seeds;       // good inputs, and every input that was once a finding
};

// All targets linked into this program.
inline std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

// Defines what a file of this folder is for: `const Register target("csv", read, {seeds…});`
struct Register {
  Register(std::string name, void (*run)(const std::string&), std::vector<std::string> seeds) {
    targets().push_back({std::move(name), run, std::move(seeds)});
  }
};

// Runs a reader that may refuse; true when it accepted.
template <class F>
bool accepts(F&& read) {
  try {
    read();
    return true;
  } catch (const Error&) {
    return false;
  }
}

// What must hold of an accepted input. Aborts: a thrown error could be taken for a refusal.
template <class... What>
void must(bool holds, const What&... what) {
  if (holds) return;
  std::cerr << "fuzz target: " << str(what...) << std::endl;
  std::abort();
}

// A file in memory, for readers that take a path.
class MemoryFile {
 public:
  explicit MemoryFile(const std::string& bytes) : fd_(::memfd_create("input", 0)) {
    must(fd_ >= 0 && ::write(fd_, bytes.data(), bytes.size()) == ssize_t(bytes.size()), "no file in memory");
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace bonafide::fuzz
