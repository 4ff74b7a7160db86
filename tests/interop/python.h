// tests/interop/python.h — the Python that the interop tier talks to: BF_PYTHON, or python3.
#pragma once
#include <cstdlib>
#include <string>

#include "tests/support/support.h"

namespace bonafide::test {

inline std::string python() {
  const char* p = std::getenv("BF_PYTHON");
  return p && *p ? p : "python3";
}

// Whether it lacks one of these modules ("torch", "timm").
inline bool python_lacks(const std::string& quoted_modules) {
  const std::string command = "'" + python() + "' -c 'import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, (" +
                              quoted_modules + ",))))' > /dev/null 2>&1";
  return std::system(command.c_str()) != 0;
}

// Runs a script of this repository; fails the test if it fails.
inline void run_python(const std::string& script, const std::string& arguments) {
  const std::string command = "'" + python() + "' -W ignore '" BF_SOURCE_DIR "/" + script + "' " + arguments;
  REQUIRE_MESSAGE(std::system(command.c_str()) == 0, "failed: ", command);
}

}  // namespace bonafide::test
