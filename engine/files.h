// engine/files.h — files that are either whole or absent: write under a temporary name, fsync, rename.
//
// Errors (a full disk, a missing folder, no permission) are plain Errors that name the file and the system's reason.
// Whatever was there before survives them, and nothing temporary is left behind.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "engine/base.h"

namespace bonafide {

// The whole file as bytes.
std::string read_file(const std::filesystem::path& path);

// A regular file mapped into memory, for reading: `bytes` live as long as a copy of `owner`.
struct MappedFile {
  std::shared_ptr<const std::byte> owner;
  std::span<const std::byte> bytes;
};
MappedFile map_file(const std::filesystem::path& path);

// When a committed file must be on the disk: at once (it survives a power cut), or whenever the system writes it (images
// by the thousand: an fsync each would take longer than making them).
enum class Durable { at_once, eventually };

// A file under construction beside its final place. A symlink is followed (its target is replaced); what is not a
// regular file (/dev/stdout, a pipe) is written directly. Without commit() the destructor removes what was written.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path, Durable durable = Durable::at_once);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view bytes);
  void write(const void* bytes, std::size_t n) { write({static_cast<const char*>(bytes), n}); }
  // Replaces bytes that were written before (a header that counts what follows it). Not where writing is direct.
  void rewrite(std::int64_t at, std::string_view bytes);
  void commit();  // flush, fsync (if at once), rename, fsync of the folder; nothing may be written afterwards

 private:
  void flush();
  void put(std::string_view bytes);
  void discard() noexcept;
  [[noreturn]] void fail(const char* doing);
  std::filesystem::path path_, temporary_;  // temporary_ is empty when written directly
  std::string buffer_;
  int fd_ = -1;
  Durable durable_;
};

// Deletes what AtomicFile left in `folder` (not below it) when its process was killed: hidden files with its temporary names.
// To be called only while nobody writes there. Nothing happens where there is no such folder.
void remove_abandoned_files(const std::filesystem::path& folder);

void write_file_atomically(const std::filesystem::path& path, std::string_view bytes,
                           Durable durable = Durable::at_once);

// A folder under construction beside its final place, for things of several files (a checkpoint). Write into path(),
// then commit(): every file in it is flushed to the disk and the folder takes its final name. A folder of that name
// that is already there is replaced: it keeps its contents until the new one is complete.
class AtomicFolder {
 public:
  explicit AtomicFolder(std::filesystem::path path);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::filesystem::path& path() const { return temporary_; }
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  bool committed_ = false;
};

// Makes `link` a symbolic link to `target` (taken relative to the link's folder), replacing another link at once.
void switch_symlink(const std::filesystem::path& link, const std::filesystem::path& target);

}  // namespace bonafide
