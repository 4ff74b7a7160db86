// engine/comm/no_sigpipe.h — writing to a process that is gone is an error (EPIPE), not this process's end by SIGPIPE, while one
// of these lives in the thread. For libraries that write to sockets without MSG_NOSIGNAL, in programs that may want the signal
// elsewhere (`program | head`). Threads that are started meanwhile never see the signal.
#pragma once
#include <signal.h>

#include <cerrno>

namespace bonafide {

class NoSigpipe {
 public:
  NoSigpipe() {
    sigset_t waiting;
    sigemptyset(&waiting);
    sigpending(&waiting);
    was_waiting_ = sigismember(&waiting, SIGPIPE) == 1;
    const sigset_t pipe = only_sigpipe();
    pthread_sigmask(SIG_BLOCK, &pipe, &before_);
  }
  ~NoSigpipe() {
    if (!was_waiting_) {  // one that has come meanwhile is forgotten; one from before stays for whoever blocked it
      const sigset_t pipe = only_sigpipe();
      const timespec now{0, 0};
      while (sigtimedwait(&pipe, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

 private:
  static sigset_t only_sigpipe() {
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGPIPE);
    return s;
  }

  sigset_t before_;
  bool was_waiting_;
};

}  // namespace bonafide
