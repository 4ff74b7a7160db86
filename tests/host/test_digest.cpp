// tests/host/test_digest.cpp — a fingerprint is the published one, every byte of the file counts, errors name it.
#include "engine/digest.h"

#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("digest: of the whole file, however long, and of nothing else") {
  TempFolder dir;
  CHECK(file_digest(dir.file("none", "")) == "xxh3-128:99aa06d3014798d86001c324468d497f");
  std::string long_text(3'000'001, 'x');  // read in several pieces
  const std::string before = file_digest(dir.file("long", long_text));
  CHECK(before.size() == 41);
  CHECK(file_digest(dir.file("same", long_text)) == before);
  for (const std::size_t at : {std::size_t(0), std::size_t(1) << 20, long_text.size() - 1}) {
    long_text[at] = 'y';
    CHECK(file_digest(dir.file("other", long_text)) != before);
    long_text[at] = 'x';
  }
  expect_throw("nowhere: cannot be read", [&] { file_digest(dir / "nowhere"); });
  expect_throw("cannot be read", [&] { file_digest(dir.path()); });
}
