// tests/support/broken_pipe.h — a write to a pipe that nobody reads: SIGPIPE, or EPIPE where that is ignored or blocked.
#pragma once
#include <unistd.h>

#include <cerrno>

#include "engine/base.h"

namespace bonafide::test {

// The errno of the write, 0 if it succeeded.
inline int write_to_nobody() {
  int ends[2];
  BF_CHECK(::pipe(ends) == 0, "no pipe: errno ", errno);
  ::close(ends[0]);
  const int error = ::write(ends[1], "x", 1) < 0 ? errno : 0;
  ::close(ends[1]);
  return error;
}

}  // namespace bonafide::test
