// tests/host/test_last_words.cpp — who failed where, and who says nothing.
#include "engine/comm/last_words.h"

#include <thread>

#include "tests/support/ranks.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("last words: the silent are named, and where the others stopped") {
  const TempFolder folder;
  const std::shared_ptr<Store> store = file_store(folder / "words", true);
  LastWords(store, "an earlier run", 1, 5).others("barrier");
  const std::string where[5] = {"broadcast of 8 bytes", "", "", "barrier", "all_gather of 4 bytes"};
  std::string heard[5];
  in_threads(5, [&](int rank) {
    if (!where[rank].empty()) heard[rank] = LastWords(store, "run", rank, 5).others(where[rank]);
  });
  CHECK(heard[0] == "rank 1, 2 hangs or is gone, rank 3 stopped at barrier, rank 4 stopped at all_gather of 4 bytes");
  CHECK(heard[3] == "rank 1, 2 hangs or is gone, rank 0 stopped at broadcast of 8 bytes, rank 4 stopped at all_gather of 4 bytes");
}

TEST_CASE("last words: all have stopped") {
  const TempFolder folder;
  const std::shared_ptr<Store> store = file_store(folder / "words", true);
  std::string heard[2];
  in_threads(2, [&](int rank) { heard[rank] = LastWords(store, "run", rank, 2).others(rank == 0 ? "barrier" : "all_gather of 4 bytes"); });
  CHECK(heard[0] == "all ranks stopped, rank 1 stopped at all_gather of 4 bytes");
  CHECK(heard[1] == "all ranks stopped, rank 0 stopped at barrier");
}
