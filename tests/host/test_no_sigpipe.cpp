// tests/host/test_no_sigpipe.cpp — a write to who is gone is an error while the guard lives, and the signal's own again after.
#include "engine/comm/no_sigpipe.h"

#include <thread>

#include "tests/support/broken_pipe.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

bool is_waiting() {
  sigset_t s;
  sigpending(&s);
  return sigismember(&s, SIGPIPE) == 1;
}
bool is_blocked() {
  sigset_t s;
  pthread_sigmask(SIG_BLOCK, nullptr, &s);
  return sigismember(&s, SIGPIPE) == 1;
}

}  // namespace

TEST_CASE("no_sigpipe: an error instead of the signal, nothing left behind") {
  REQUIRE(!is_blocked());
  {
    const NoSigpipe guard;
    CHECK(write_to_nobody() == EPIPE);
    {
      const NoSigpipe inner;
      CHECK(write_to_nobody() == EPIPE);
    }
    CHECK(is_blocked());
    bool child = false;
    std::thread([&] { child = is_blocked(); }).join();
    CHECK(child);
  }
  CHECK(!is_blocked());
  CHECK(!is_waiting());
}

TEST_CASE("no_sigpipe: whoever blocked the signal, and has one waiting, keeps both") {
  std::thread([] {  // a mask of its own
    const NoSigpipe theirs;
    CHECK(write_to_nobody() == EPIPE);
    REQUIRE(is_waiting());
    {
      const NoSigpipe guard;
      CHECK(write_to_nobody() == EPIPE);
    }
    CHECK(is_waiting());
    CHECK(is_blocked());
  }).join();
}
