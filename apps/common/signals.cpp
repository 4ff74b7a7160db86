// apps/common/signals.cpp — see signals.h. A handler can reach nothing but statics.
#include "apps/common/signals.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "apps/common/exit_codes.h"

namespace bonafide {
namespace {

std::atomic<int> stops{0};
std::atomic<bool> save{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGUSR1};
std::array<struct sigaction, kSignals.size()> before;

void say(const char* text, std::size_t n) { (void)!::write(STDERR_FILENO, text, n); }

void on_signal(int signal) {
  constexpr char kFirst[] = "\nstopping after this step; Ctrl-C stops at once\n", kSecond[] = "\nstopped\n";
  if (signal == SIGUSR1) {
    save = true;
  } else if (stops.fetch_add(1) == 0) {
    say(kFirst, sizeof kFirst - 1);
  } else if (signal == SIGINT) {
    say(kSecond, sizeof kSecond - 1);
    ::_exit(kExitInterrupted);
  }
}

}  // namespace

StopSignals::StopSignals() {
  stops = 0, save = false;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &action, &before[i]);
}

StopSignals::~StopSignals() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before[i], nullptr);
}

bool StopSignals::stop_requested() const { return stops > 0; }
bool StopSignals::take_save_request() const { return save.exchange(false); }

void ignore_save_requests() { ::signal(SIGUSR1, SIG_IGN); }

}  // namespace bonafide
