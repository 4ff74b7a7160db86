// tests/host/test_list_folder.cpp — folders with links, loops, odd names and what cannot be read.
#include "data/list_folder.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

using Names = std::vector<std::string>;

Names unlisted(const FolderListing& l) {
  Names all;
  for (const auto& d : l.unlisted) all.push_back(d.filename + ": " + d.reason);
  return all;
}

}  // namespace

TEST_CASE("list folder: images below it in order, whatever their names hold") {
  const TempFolder folder;
  for (const char* sub : {"b", "a", "a/deep/er", "a-b", "Zoë, \"quoted\"", "empty"}) fs::create_directories(folder / sub);
  for (const char* file : {"b/2.jpg", "b/10.jpg", "a/x.PNG", "a/deep/er/y.jpeg", "a-b/1.bmp", "Zoë, \"quoted\"/photo 1.jpg", "foo.jpg",
                           "foo.png", "notes.txt", "noextension", "a/.hidden.jpg", ".jpg", "x.webp"})
    folder.file(file, "");
  const FolderListing l = list_folder(folder.path());
  CHECK(l.files == Names{"Zoë, \"quoted\"/photo 1.jpg", "a/.hidden.jpg", "a/deep/er/y.jpeg", "a/x.PNG", "a-b/1.bmp", "b/10.jpg", "b/2.jpg",
                         "foo.jpg", "foo.png", "x.webp"});
  CHECK(l.others == 3);  // a file called .jpg has no extension
  CHECK(l.unlisted.empty());
  CHECK(list_folder(folder.path(), {".JPG", "bmp"}).files.size() == 6);
  CHECK(list_folder(folder.path(), {"jpg"}, folder / "b").files == Names{"Zoë, \"quoted\"/photo 1.jpg", "a/.hidden.jpg", "foo.jpg"});
  const Manifest m = manifest_of_folder(folder.path(), l);
  CHECK(m.records.size() == 10);
  CHECK(m.records[0].filename == "Zoë, \"quoted\"/photo 1.jpg");
  CHECK(m.origin == folder.path().string());
}

TEST_CASE("list folder: extensions are the same in small and capital letters, whoever wrote them") {
  const TempFolder folder;
  for (const char* file : {"1.RAW", "2.raw", "3.Gz", "4.gZ"}) folder.file(file, "");
  CHECK(list_folder(folder.path(), {"raw"}).files == Names{"1.RAW", "2.raw"});
  CHECK(list_folder(folder.path(), {".GZ"}).files == Names{"3.Gz", "4.gZ"});
}

TEST_CASE("list folder: links are followed, a folder is listed once, loops end") {
  const TempFolder folder, elsewhere;
  fs::create_directories(folder / "a/b");
  fs::create_directories(elsewhere / "people");
  folder.file("a/1.jpg", ""), folder.file("a/b/2.jpg", ""), elsewhere.file("people/3.jpg", "");
  fs::create_symlink("..", folder / "a/b/up");                              // the folder above
  fs::create_symlink(folder.path(), folder / "a/top");                      // the whole
  fs::create_symlink("a", folder / "A_first");                              // comes before the real one in any order
  fs::create_symlink(elsewhere / "people", folder / "people");              // another place: followed
  fs::create_symlink(elsewhere / "people", folder / "people_again");        // the same place twice
  fs::create_symlink(folder.path(), elsewhere / "people/back");             // and back
  fs::create_symlink("1.jpg", folder / "a/same.jpg");                       // a file under another name is another file
  fs::create_symlink("nothing.jpg", folder / "dangling.jpg");
  fs::create_symlink("self.jpg", folder / "self.jpg");
  fs::create_symlink("nothing", folder / "dangling");
  REQUIRE(::mkfifo((folder / "pipe.jpg").c_str(), 0600) == 0);
  const FolderListing l = list_folder(folder.path());
  CHECK(l.files == Names{"a/1.jpg", "a/b/2.jpg", "a/same.jpg", "people/3.jpg"});
  CHECK(unlisted(l) == Names{"A_first: a link to a folder that is listed as a", "a/b/up: a link to a folder that is listed as a",
                             "a/top: a link to a folder that is listed as .", "dangling.jpg: a link that leads nowhere",
                             "people/back: a link to a folder that is listed as .", "people_again: a link to a folder that is listed as people",
                             "pipe.jpg: is no regular file", "self.jpg: a link that leads nowhere"});
  CHECK(l.others == 1);  // the dangling link without an extension
  CHECK(manifest_of_folder(folder.path(), l).dropped.size() == 8);
}

TEST_CASE("list folder: names that no list can hold, and no folder at all") {
  const TempFolder folder;
  folder.file("line\nbreak.jpg", ""), folder.file(" blank.jpg", ""), folder.file("tab\there.jpg", ""), folder.file("good.jpg", "");
  const FolderListing l = list_folder(folder.path());
  CHECK(l.files == Names{"good.jpg"});
  CHECK(unlisted(l) == Names{" blank.jpg: its name begins or ends with a blank", "line\nbreak.jpg: its name holds a control character",
                             "tab\there.jpg: its name holds a control character"});
  expect_throw("nowhere: is no folder", [&] { list_folder(folder / "nowhere"); });
  expect_throw("good.jpg: is no folder", [&] { list_folder(folder / "good.jpg"); });
  fs::create_directory(folder / "empty");
  expect_throw("empty: no images (jpg, png) below it", [&] { manifest_of_folder(folder / "empty", list_folder(folder / "empty"), {"jpg", "png"}); });
}

TEST_CASE("list folder: a folder that may not be read is told, the others are listed") {
  const TempFolder folder;
  fs::create_directories(folder / "locked"), fs::create_directories(folder / "open");
  folder.file("locked/1.jpg", ""), folder.file("open/2.jpg", "");
  fs::permissions(folder.path(), fs::perms(0755)), fs::permissions(folder / "locked", fs::perms::none);
  // Everything is readable for root: another user looks.
  const pid_t child = ::fork();
  if (child == 0) {
    if (::getuid() == 0 && ::setuid(65534)) ::_exit(1);
    int code = 2;
    try {
      const FolderListing l = list_folder(folder.path());
      code = l.files == Names{"open/2.jpg"} && unlisted(l) == Names{"locked: the folder cannot be read: Permission denied"} ? 0 : 3;
      list_folder(folder / "locked");
      code = 4;
    } catch (const Error& e) {
      if (code == 0 && std::string(e.what()) != (folder / "locked").string() + ": cannot be read: Permission denied") code = 5;
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == 0);
  fs::permissions(folder / "locked", fs::perms::owner_all);
}
