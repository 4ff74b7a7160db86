// apps/common/worker_output.cpp
#include "apps/common/worker_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "engine/base.h"

namespace bonafide {
namespace {

constexpr int kBoth[2] = {STDOUT_FILENO, STDERR_FILENO};

void send_to(const char* file, int flags) {
  const int fd = ::open(file, flags | O_WRONLY | O_CLOEXEC, 0666);
  if (fd < 0) throw Error(str(file, ": cannot write: ", std::strerror(errno)));
  std::fflush(stdout), std::fflush(stderr);
  for (const int out : kBoth) ::dup2(fd, out);
  ::close(fd);
}

}  // namespace

WorkerOutput::WorkerOutput() {
  for (int i = 0; i < 2; ++i) before_[i] = ::fcntl(kBoth[i], F_DUPFD_CLOEXEC, 3);
  send_to("/dev/null", 0);
}
WorkerOutput::~WorkerOutput() {
  std::fflush(stdout), std::fflush(stderr);
  for (int i = 0; i < 2; ++i)
    if (before_[i] >= 0) ::dup2(before_[i], kBoth[i]), ::close(before_[i]);
}
void WorkerOutput::to(const std::filesystem::path& file) { send_to(file.c_str(), O_CREAT | O_APPEND); }

}  // namespace bonafide
