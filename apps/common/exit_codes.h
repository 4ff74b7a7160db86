// apps/common/exit_codes.h — what the program's exit status means, and the error that is the user's to fix.
#pragma once
#include <exception>
#include <new>

#include "engine/base.h"

namespace bonafide {

enum ExitCode : int {
  kExitOk = 0,
  kExitError = 1,         // something failed while running: a file, the memory, a bug
  kExitUsage = 2,         // command line or configuration
  kExitDataCheck = 3,     // a check of the data failed
  kExitQualityGate = 4,   // the result is worse than what was asked for
  kExitInterrupted = 130  // Ctrl-C or SIGTERM; what could be saved is saved
};

// Wrong command line or configuration: exit code 2. Every other Error is exit code 1.
struct UsageError : Error {
  using Error::Error;
};

// What is said of an error: what() of some is no sentence.
inline const char* words_of(const std::exception& e) noexcept {
  return dynamic_cast<const std::bad_alloc*>(&e) ? "out of memory" : e.what();
}

}  // namespace bonafide
