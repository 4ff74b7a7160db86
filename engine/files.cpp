// engine/files.cpp — POSIX calls behind engine/files.h.
#include "engine/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace bonafide {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kBuffer = 1 << 16;

[[noreturn]] void fail_with(const fs::path& path, const char* doing, int error) {
  throw Error(str(path.string(), ": cannot ", doing, ": ", std::strerror(error)));
}

fs::path parent_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

// Beside `path`, so that rename() stays within one file system. Hidden, so that no glob picks it up.
fs::path temporary_name(const fs::path& path, int attempt) {
  return parent_of(path) / str(".", path.filename().string(), ".", ::getpid(), "-", attempt, ".tmp");
}

void sync_path(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_with(path, "open", errno);
  const int rc = ::fsync(fd), error = errno;
  ::close(fd);
  if (rc && error != EINVAL && error != EROFS) fail_with(path, "flush to the disk", error);  // EINVAL: cannot be synced
}

// Follows symlinks to the name that a write should replace. A dangling link's target is created.
fs::path destination_of(fs::path path) {
  for (int hops = 0; hops < 40; ++hops) {
    std::error_code ec;
    if (!fs::is_symlink(path, ec)) return path;
    const fs::path target = fs::read_symlink(path, ec);
    if (ec) fail_with(path, "read the link", ec.value());
    path = target.is_absolute() ? target : parent_of(path) / target;
  }
  fail_with(path, "follow the link", ELOOP);
}

}  // namespace

std::string read_file(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_with(path, "read", errno);
  std::string bytes;
  struct stat st {};
  if (!::fstat(fd, &st) && st.st_size > 0) bytes.reserve(std::size_t(st.st_size));
  char block[kBuffer];
  for (;;) {
    const ssize_t n = ::read(fd, block, sizeof block);
    if (n > 0) bytes.append(block, std::size_t(n));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      ::close(fd);
      fail_with(path, "read", error);
    }
    if (n == 0) break;
  }
  ::close(fd);
  return bytes;
}

MappedFile map_file(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe is refused below, not waited for
  if (fd < 0) throw Error(str(path.string(), ": cannot open: ", std::strerror(errno)));
  struct stat info {};
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  const auto size = std::size_t(info.st_size);
  void* mapped = regular && size ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  const int error = errno;
  ::close(fd);
  if (!regular) throw Error(path.string() + ": not a regular file");
  if (mapped == MAP_FAILED) fail_with(path, "map", error);
  if (!size) return {};
  const auto* bytes = static_cast<const std::byte*>(mapped);
  return {{bytes, [size](const std::byte* p) { ::munmap(const_cast<std::byte*>(p), size); }}, {bytes, size}};
}

AtomicFile::AtomicFile(fs::path path, Durable durable) : path_(destination_of(std::move(path))), durable_(durable) {
  struct stat st {};
  const bool there = !::stat(path_.c_str(), &st);
  if (there && S_ISDIR(st.st_mode)) fail_with(path_, "write", EISDIR);
  if (there && !S_ISREG(st.st_mode)) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd_ < 0) fail_with(path_, "write", errno);
    return;
  }
  for (int attempt = 0; fd_ < 0; ++attempt) {
    temporary_ = temporary_name(path_, attempt);
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd_ < 0 && errno != EEXIST) fail_with(path_, "write", errno);
  }
  if (there) (void)!::fchmod(fd_, st.st_mode & 07777);  // the new file keeps the old one's permissions where it may
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() noexcept {
  if (fd_ < 0) return;
  ::close(fd_);
  fd_ = -1;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* doing) {
  const int error = errno;
  discard();
  fail_with(path_, doing, error);
}

void AtomicFile::write(std::string_view bytes) {
  BF_CHECK(fd_ >= 0, path_.string(), " was already committed, or an earlier write failed");
  if (buffer_.size() + bytes.size() > kBuffer) flush();
  if (bytes.size() > kBuffer)
    put(bytes);
  else
    buffer_.append(bytes);
}

void AtomicFile::rewrite(std::int64_t at, std::string_view bytes) {
  BF_CHECK(fd_ >= 0, path_.string(), " was already committed, or an earlier write failed");
  if (temporary_.empty()) throw Error(path_.string() + ": expected a regular file");
  flush();
  const off_t end = ::lseek(fd_, 0, SEEK_CUR);
  BF_CHECK(at >= 0 && at + std::int64_t(bytes.size()) <= end, "bytes ", at, " to ", at + std::int64_t(bytes.size()),
           " of ", end);
  if (::lseek(fd_, at, SEEK_SET) < 0) fail("write");
  put(bytes);
  if (::lseek(fd_, end, SEEK_SET) < 0) fail("write");
}

void AtomicFile::flush() {
  put(buffer_);
  buffer_.clear();
}

void AtomicFile::put(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("write");
    bytes.remove_prefix(std::size_t(n));
  }
}

void AtomicFile::commit() {
  BF_CHECK(fd_ >= 0, path_.string(), " was already committed, or an earlier write failed");
  flush();
  if (temporary_.empty()) {
    discard();
    return;
  }
  if (durable_ == Durable::at_once && ::fsync(fd_)) fail("flush to the disk");
  const int fd = fd_;
  fd_ = -1;
  if (::close(fd) || ::rename(temporary_.c_str(), path_.c_str())) {  // some file systems report a full disk on close
    const int error = errno;
    ::unlink(temporary_.c_str());
    fail_with(path_, "write", error);
  }
  if (durable_ == Durable::at_once) sync_path(parent_of(path_));
}

void remove_abandoned_files(const fs::path& folder) {
  const auto number = [](std::string_view& s) {  // takes one off the end
    const std::size_t n = s.size() - std::min(s.size(), s.find_last_not_of("0123456789") + 1);
    s.remove_suffix(n);
    return n > 0;
  };
  const auto ending = [](std::string_view& s, std::string_view end) {
    if (!s.ends_with(end)) return false;
    s.remove_suffix(end.size());
    return true;
  };
  std::error_code ignored;
  std::vector<fs::path> abandoned;
  for (const auto& e : fs::directory_iterator(folder, ignored)) {
    const std::string name = e.path().filename().string();
    std::string_view s = name;
    if (s.starts_with('.') && ending(s, ".tmp") && number(s) && ending(s, "-") && number(s) && ending(s, ".") && s.size() > 1 &&
        e.is_regular_file(ignored))
      abandoned.push_back(e.path());
  }
  for (const fs::path& file : abandoned) fs::remove(file, ignored);
}

void write_file_atomically(const fs::path& path, std::string_view bytes, Durable durable) {
  AtomicFile file(path, durable);
  file.write(bytes);
  file.commit();
}

AtomicFolder::AtomicFolder(fs::path path) : path_(std::move(path)) {
  if (!path_.has_filename()) path_ = path_.parent_path();  // "step-10/" means "step-10"
  for (int attempt = 0;; ++attempt) {
    temporary_ = temporary_name(path_, attempt);
    if (!::mkdir(temporary_.c_str(), 0777)) return;
    if (errno != EEXIST) fail_with(path_, "create the folder", errno);
  }
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  BF_CHECK(!committed_, path_.string(), " was already committed");
  for (const fs::directory_entry& e : fs::recursive_directory_iterator(temporary_))
    if (!e.is_symlink()) sync_path(e.path());
  sync_path(temporary_);
  std::error_code ignored;
  if (!::rename(temporary_.c_str(), path_.c_str())) {
    committed_ = true;
  } else if (errno == ENOTEMPTY || errno == EEXIST) {
    // Something is there already: change places in one step, then remove the old one under the temporary name. Where
    // the file system cannot (NFS), two renames: a crash between them leaves the old folder under its hidden name.
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE)) {
      const fs::path old = temporary_.string() + ".old";
      if (::rename(path_.c_str(), old.c_str()) || ::rename(temporary_.c_str(), path_.c_str()))
        fail_with(path_, "replace the folder", errno);
      temporary_ = old;
    }
    committed_ = true;
    fs::remove_all(temporary_, ignored);
  } else {
    fail_with(path_, "rename the folder", errno);
  }
  sync_path(parent_of(path_));
}

void switch_symlink(const fs::path& link, const fs::path& target) {
  for (int attempt = 0;; ++attempt) {
    const fs::path temporary = temporary_name(link, attempt);
    if (!::symlink(target.c_str(), temporary.c_str())) {
      if (::rename(temporary.c_str(), link.c_str())) {
        const int error = errno;
        ::unlink(temporary.c_str());
        fail_with(link, "switch the link", error);
      }
      sync_path(parent_of(link));
      return;
    }
    if (errno != EEXIST) fail_with(link, "make the link", errno);
  }
}

}  // namespace bonafide
