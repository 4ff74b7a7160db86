// tests/images/test_fuzz_targets.cpp — the targets of tests/fuzz over their seeds and simple damage to them: every prefix of
// the short ones, some of the long ones, and bytes changed at random. `./dev fuzz` is the search; this keeps it alive.
#include "engine/philox.h"
#include "tests/fuzz/target.h"
#include "tests/support/support.h"

using namespace bonafide;

TEST_CASE("fuzz targets: seeds, their prefixes and small damage are read or refused") {
  CHECK(fuzz::targets().size() >= 7);
  for (const fuzz::Target& target : fuzz::targets()) {
    CAPTURE(target.name);
    CHECK(!target.seeds.empty());
    Random random(test::seed(), str("fuzz ", target.name));
    for (const std::string& seed : target.seeds) {
      target.run(seed);
      for (std::size_t n = 0; n < seed.size(); n += 1 + seed.size() / 50) target.run(seed.substr(0, n));
      for (int i = 0; i < 40; ++i) {
        std::string damaged = seed;
        for (int k = 0; k < 3; ++k) damaged[std::size_t(random.below(std::int64_t(seed.size())))] = char(random.u32());
        target.run(damaged);
      }
    }
  }
}

TEST_CASE("fuzz targets: a refusal is told from an accepted input") {
  CHECK(fuzz::accepts([] {}));
  CHECK(!fuzz::accepts([] { throw Error("no"); }));
  CHECK_THROWS_AS(fuzz::accepts([] { throw std::out_of_range("a bug"); }), std::out_of_range);
}
