// tests/host/test_files.cpp — a file is whole or absent, whatever goes wrong while it is written.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "engine/files.h"
#include "tests/support/full_disk.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using test::FullDisk;
using test::TempFolder;
namespace fs = std::filesystem;

namespace {
std::size_t entries(const fs::path& folder) {
  return std::size_t(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}
}  // namespace

TEST_CASE("files: write, replace, read back") {
  TempFolder dir;
  const fs::path p = dir / "a.txt";
  write_file_atomically(p, "one");
  CHECK(read_file(p) == "one");
  std::string large(300'000, 'x');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = char(i * 31);
  AtomicFile f(p);
  f.write(std::string_view(large).substr(0, 10));
  f.write(std::string_view(large).substr(10, 200'000));
  f.write(large.data() + 200'010, large.size() - 200'010);
  CHECK(read_file(p) == "one");  // nothing shows before commit
  f.commit();
  CHECK(read_file(p) == large);
  CHECK(entries(dir.path()) == 1);
  test::expect_throw("already committed", [&] { f.write("more"); });
}

TEST_CASE("files: an abandoned file leaves the old one and nothing else") {
  TempFolder dir;
  const fs::path p = dir / "a.txt";
  write_file_atomically(p, "old");
  {
    AtomicFile f(p);
    f.write("new");
  }
  CHECK(read_file(p) == "old");
  CHECK(entries(dir.path()) == 1);
}

TEST_CASE("files: bytes written before are replaced, then writing goes on at the end") {
  TempFolder dir;
  const fs::path p = dir / "a";
  AtomicFile f(p);
  f.write("count:?? ");
  f.write(std::string(100'000, 'x'));
  f.rewrite(6, "42");
  f.write("end");
  test::expect_throw("bytes 100010 to 100014 of 100012", [&] { f.rewrite(100'010, "four"); });
  test::expect_throw("bytes -1", [&] { f.rewrite(-1, "x"); });
  f.commit();
  CHECK(read_file(p) == "count:42 " + std::string(100'000, 'x') + "end");
  test::expect_throw("already committed", [&] { f.rewrite(0, "x"); });
  AtomicFile direct("/dev/null");
  direct.write("x");
  test::expect_throw("/dev/null: expected a regular file", [&] { direct.rewrite(0, "y"); });
}

TEST_CASE("files: what a killed process left behind can be cleared away, and nothing else") {
  TempFolder dir;
  const std::vector<std::string> kept = {"a.txt", ".a.tmp", ".a.txt.12.tmp", ".a.txt.12-x.tmp", "a.txt.12-0.tmp", ".12-0.tmp", ".a.txt.-0.tmp", ".a.12-0.tmp.txt"};
  for (const std::string& name : kept) dir.file(name, "");
  dir.file(".a.txt.12-0.tmp", ""), dir.file(".b, c.7-31.tmp", "");
  fs::create_directories(dir / ".d.1-0.tmp/deep");
  dir.file(".d.1-0.tmp/.a.txt.12-0.tmp", "");
  remove_abandoned_files(dir.path());
  CHECK(entries(dir.path()) == kept.size() + 1);
  for (const std::string& name : kept) CHECK_MESSAGE(fs::exists(dir / name), name);
  CHECK(fs::exists(dir / ".d.1-0.tmp/.a.txt.12-0.tmp"));
  remove_abandoned_files(dir / "nowhere");
  // It knows the names that AtomicFile takes.
  AtomicFile half(dir / "half.txt");
  half.write("half");
  CHECK(entries(dir.path()) == kept.size() + 2);
  remove_abandoned_files(dir.path());
  CHECK(entries(dir.path()) == kept.size() + 1);
}

TEST_CASE("files: a full disk is an error, the old file survives") {
  TempFolder dir;
  const fs::path p = dir / "model.bin";
  write_file_atomically(p, "old checkpoint");
  {
    FullDisk full(100'000);
    const std::string bytes(250'000, 'y');
    test::expect_throw("model.bin: cannot write", [&] { write_file_atomically(p, bytes); });
    test::expect_throw("model.bin: cannot write", [&] {  // in small pieces, found while flushing
      AtomicFile f(p);
      for (int i = 0; i < 2500; ++i) f.write(std::string_view(bytes).substr(0, 100));
      f.commit();
    });
    AtomicFile broken(p);
    test::expect_throw("model.bin: cannot write", [&] { broken.write(bytes); });
    CHECK(entries(dir.path()) == 1);  // what was half written is gone at once, and nothing can be added to it
    test::expect_throw("an earlier write failed", [&] { broken.write("more"); });
    test::expect_throw("an earlier write failed", [&] { broken.commit(); });
  }
  CHECK(read_file(p) == "old checkpoint");
  CHECK(entries(dir.path()) == 1);
  test::expect_throw("No space left on device", [] { write_file_atomically("/dev/full", "x"); });
}

TEST_CASE("files: links, devices and permissions") {
  TempFolder dir;
  write_file_atomically(dir / "real.txt", "old");
  fs::permissions(dir / "real.txt", fs::perms::owner_read | fs::perms::owner_write);
  fs::create_symlink("real.txt", dir / "link.txt");
  write_file_atomically(dir / "link.txt", "new");
  CHECK(fs::is_symlink(dir / "link.txt"));
  CHECK(read_file(dir / "real.txt") == "new");
  CHECK((fs::status(dir / "real.txt").permissions() & fs::perms::all) ==
        (fs::perms::owner_read | fs::perms::owner_write));
  fs::create_symlink("not yet.txt", dir / "dangling");
  write_file_atomically(dir / "dangling", "made");
  CHECK(read_file(dir / "not yet.txt") == "made");
  write_file_atomically("/dev/null", "gone");
  fs::create_symlink("loop", dir / "loop");
  test::expect_throw("cannot follow the link", [&] { write_file_atomically(dir / "loop", "x"); });
}

TEST_CASE("files: errors name the file and the reason") {
  TempFolder dir;
  test::expect_throw("nothing.txt: cannot read: No such file", [&] { read_file(dir / "nothing.txt"); });
  test::expect_throw("out.txt: cannot write: No such file",
                     [&] { write_file_atomically(dir / "missing" / "out.txt", "x"); });
  test::expect_throw("cannot write: Is a directory", [&] { write_file_atomically(dir.path(), "x"); });
  test::expect_throw("cannot read: Is a directory", [&] { read_file(dir.path()); });
}

TEST_CASE("files: a folder appears complete, replaces the old one, or not at all") {
  TempFolder dir;
  const fs::path p = dir / "step-10";
  {
    AtomicFolder folder(p);
    write_file_atomically(folder.path() / "model", "1");
    CHECK(!fs::exists(p));
    folder.commit();
  }
  CHECK(read_file(p / "model") == "1");
  {
    AtomicFolder folder(p);
    write_file_atomically(folder.path() / "model", "half");
  }
  CHECK(read_file(p / "model") == "1");
  {
    AtomicFolder folder(p / "");
    write_file_atomically(folder.path() / "state", "2");
    folder.commit();
  }
  CHECK(!fs::exists(p / "model"));
  CHECK(read_file(p / "state") == "2");
  CHECK(entries(dir.path()) == 1);
  {
    FullDisk full(1000);
    test::expect_throw("cannot write", [&] {
      AtomicFolder folder(p);
      write_file_atomically(folder.path() / "state", std::string(70'000, 'z'));
      folder.commit();
    });
  }
  CHECK(read_file(p / "state") == "2");
  CHECK(entries(dir.path()) == 1);
}

TEST_CASE("files: a link is switched, also from a link to a folder") {
  TempFolder dir;
  fs::create_directory(dir / "step-1");
  fs::create_directory(dir / "step-2");
  switch_symlink(dir / "last", "step-1");
  switch_symlink(dir / "last", "step-2");
  CHECK(fs::read_symlink(dir / "last") == "step-2");
  CHECK(entries(dir.path()) == 3);
}
