// tests/kernels/test_nearest.cpp — the k nearest of many vectors against comparing every pair, on every backend: the same
// indices and the same bits, whatever the blocks and the threads; ties to the first index.
#include "data/nearest.h"

#include <algorithm>

#include "tests/support/backend.h"
#include "tests/support/threads.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// Vectors that own their bytes; unit length up to rounding.
struct Vectors {
  std::int64_t dimension;
  std::vector<float> values;
  std::int64_t size() const { return std::int64_t(values.size()) / dimension; }
  float* row(std::int64_t i) { return values.data() + i * dimension; }
  const float* row(std::int64_t i) const { return values.data() + i * dimension; }
  VectorSet set() const {
    VectorSet s{std::as_bytes(std::span(values)), dimension, {}};
    for (std::int64_t i = 0; i < size(); ++i) s.rows.push_back(i);
    return s;
  }
};

Vectors random_units(std::int64_t n, std::int64_t d, unsigned salt) {
  std::mt19937 g(seed() * 7919u + salt);
  std::normal_distribution<double> normal;
  Vectors v{d, std::vector<float>(std::size_t(n * d))};
  for (std::int64_t i = 0; i < n; ++i) {
    std::vector<double> x(static_cast<std::size_t>(d));
    double squared = 0;
    for (double& c : x) c = normal(g), squared += c * c;
    for (std::int64_t c = 0; c < d; ++c) v.row(i)[c] = float(x[std::size_t(c)] / std::sqrt(squared));
  }
  return v;
}

// Every pair, by the formula; the larger first, of equals the smaller index.
std::vector<Neighbour> brute_force(const Vectors& queries, const Vectors& base, std::int64_t k) {
  std::vector<Neighbour> all;
  for (std::int64_t q = 0; q < queries.size(); ++q) {
    std::vector<Neighbour> row;
    for (std::int64_t b = 0; b < base.size(); ++b) {
      double ab = 0, aa = 0, bb = 0;
      for (std::int64_t c = 0; c < base.dimension; ++c) {
        const double x = double(queries.row(q)[c]), y = double(base.row(b)[c]);
        ab += x * y, aa += x * x, bb += y * y;
      }
      row.push_back({b, std::min(1.0, ab / std::sqrt(aa * bb))});
    }
    std::sort(row.begin(), row.end(), [](const Neighbour& l, const Neighbour& r) {
      return l.similarity != r.similarity ? l.similarity > r.similarity : l.index < r.index;
    });
    row.resize(std::size_t(k));
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

void expect_same(const std::vector<Neighbour>& got, const std::vector<Neighbour>& want, const std::string& what) {
  BF_CHECK(got.size() == want.size(), what, ": ", got.size(), " and ", want.size());
  for (std::size_t i = 0; i < want.size(); ++i)
    BF_CHECK(got[i].index == want[i].index && got[i].similarity == want[i].similarity, what, ": entry ", i, " is ", got[i].index, " at ",
             got[i].similarity, ", expected ", want[i].index, " at ", want[i].similarity);
}

// Against brute force, for several k, blocks and numbers of threads.
void expect_exact(const Vectors& queries, const Vectors& base, const std::string& what) {
  Context ctx(device());
  for (const std::int64_t k : {1, 2, 5}) {
    const auto want = brute_force(queries, base, k);
    for (const std::int64_t block : {0, 1, 7, 16, 1000}) {
      if (kEmulated && block == 1) continue;
      for (const std::int64_t resident : {std::int64_t(0), std::int64_t(1) << 29}) {
        NearestOptions o;
        o.query_block = block, o.base_block = block ? block + 3 : 0, o.resident_bytes = resident;
        const auto run = [&] { return nearest(ctx, queries.set(), base.set(), k, o); };
        const auto [one, two] = with_one_and_two_threads(run);
        const std::string name = str(what, ", k ", k, ", block ", block, ", resident ", resident);
        expect_same(one, want, name);
        expect_same(two, want, name + ", two threads");
      }
    }
  }
}

}  // namespace

TEST_CASE("nearest: random unit vectors, every pair compared in f64") {
  expect_exact(random_units(33, 40, 1), random_units(kEmulated ? 41 : 67, 40, 2), "random");
  expect_exact(random_units(5, 3, 3), random_units(50, 3, 4), "three dimensions");
  expect_exact(random_units(1, 1, 3), random_units(9, 1, 4), "one dimension");
}

TEST_CASE("nearest: equal vectors, ties to the first index") {
  Vectors base = random_units(30, 17, 5), queries = random_units(8, 17, 6);
  for (const auto& [to, from] : {std::pair{3, 20}, {11, 20}, {29, 20}, {0, 28}, {14, 15}})
    std::copy(base.row(from), base.row(from) + 17, base.row(to));
  for (const auto& [to, from] : {std::pair{0, 20}, {1, 28}, {2, 15}, {3, 7}}) std::copy(base.row(from), base.row(from) + 17, queries.row(to));
  expect_exact(queries, base, "equal vectors");
  Context ctx(device());
  const auto found = nearest(ctx, queries.set(), base.set(), 2);
  CHECK(found[0].index == 3);
  CHECK(found[0].similarity == 1);
  CHECK(found[1].index == 11);
  CHECK(found[1].similarity == 1);
  CHECK(found[2].index == 0);
}

TEST_CASE("nearest: what an f32 product cannot tell apart is told apart") {
  // One vector a hundred times, its values moved by an ulp here and there: similarities differ in the eighth digit.
  const Vectors one = random_units(1, 64, 7);
  Vectors base{64, {}};
  std::mt19937 g(seed());
  for (int i = 0; i < 100; ++i)
    for (std::int64_t c = 0; c < 64; ++c) {
      const float v = one.row(0)[c];
      base.values.push_back(g() % 3 ? v : std::nextafter(v, g() % 2 ? 2.0f : -2.0f));
    }
  Vectors queries = random_units(4, 64, 8);
  std::copy(one.row(0), one.row(0) + 64, queries.row(2));
  expect_exact(queries, base, "nearly equal vectors");
}

TEST_CASE("nearest: lengths a little off one are divided out") {
  Vectors base = random_units(40, 24, 9), queries = random_units(6, 24, 10);
  for (std::int64_t i = 0; i < base.size(); ++i)
    for (std::int64_t c = 0; c < 24; ++c) base.row(i)[c] *= 1 + 0.0009f * float(i % 3 - 1);
  expect_exact(queries, base, "lengths");
}

TEST_CASE("nearest: fewer than k, none at all; rows of a set in any order") {
  Context ctx(device());
  const Vectors base = random_units(2, 8, 11), queries = random_units(3, 8, 12);
  const auto found = nearest(ctx, queries.set(), base.set(), 3);
  REQUIRE(found.size() == 9);
  for (std::size_t q = 0; q < 3; ++q) {
    CHECK(found[3 * q].index >= 0);
    CHECK(found[3 * q + 1].index >= 0);
    CHECK(found[3 * q + 2].index == -1);
  }
  VectorSet none = base.set();
  none.rows.clear();
  CHECK(nearest(ctx, none, base.set(), 1).empty());
  CHECK(nearest(ctx, queries.set(), none, 1)[0].index == -1);
  VectorSet turned = base.set();
  std::swap(turned.rows[0], turned.rows[1]);
  for (std::size_t q = 0; q < 3; ++q)
    CHECK(nearest(ctx, queries.set(), turned, 1)[q].index == 1 - nearest(ctx, queries.set(), base.set(), 1)[q].index);
  expect_throw("dimensions 8 and 9", [&] { nearest(ctx, queries.set(), random_units(2, 9, 1).set(), 1); });
}

TEST_CASE("nearest: bytes that are not aligned; progress ends at 1") {
  Context ctx(device());
  const Vectors base = random_units(20, 8, 13), queries = random_units(9, 8, 14);
  std::vector<std::byte> shifted(base.values.size() * 4 + 1);
  std::memcpy(shifted.data() + 1, base.values.data(), base.values.size() * 4);
  VectorSet set = base.set();
  set.bytes = std::span<const std::byte>(shifted).subspan(1);
  std::vector<double> shares;
  NearestOptions o;
  o.query_block = 4, o.base_block = 8;
  o.progress = [&](double share) { shares.push_back(share); };
  expect_same(nearest(ctx, queries.set(), set, 2, o), brute_force(queries, base, 2), "unaligned");
  CHECK(shares.size() == 9);
  CHECK(std::is_sorted(shares.begin(), shares.end()));
  CHECK(shares.front() > 0);
  CHECK(shares.back() == 1);
}

TEST_CASE("nearest: queries in several portions are answered as if they had come at once") {
  Context ctx(device());
  const Vectors base = random_units(40, 8, 15), queries = random_units(23, 8, 16);
  const auto want = brute_force(queries, base, 3);
  for (const std::int64_t resident : {std::int64_t(0), std::int64_t(1) << 29}) {
    NearestOptions o;
    o.query_block = 4, o.base_block = 16, o.resident_bytes = resident;
    NearestSearch search(ctx, base.set(), 3, o);
    std::vector<Neighbour> got;
    for (const auto& [first, n] : {std::pair{0, 10}, {10, 0}, {10, 1}, {11, 12}}) {
      VectorSet some = queries.set();
      some.rows.erase(some.rows.begin(), some.rows.begin() + first), some.rows.resize(std::size_t(n));
      const auto found = search.find(some);
      got.insert(got.end(), found.begin(), found.end());
    }
    expect_same(got, want, "portions");
  }
}

TEST_CASE("nearest: memory is that of two blocks, however many rows there are") {
  // Blocks of 64 x 64; a matrix of the larger case would be 16 times that of the smaller.
  const std::int64_t n = kEmulated ? 130 : 600;
  std::size_t peak[2];
  for (const std::int64_t times : {1, 4}) {
    Context ctx(device());
    const Vectors base = random_units(n * times, 8, 17), queries = random_units(n * times, 8, 18);
    NearestOptions o;
    o.query_block = 64, o.base_block = 64, o.resident_bytes = 0;
    nearest(ctx, queries.set(), base.set(), 2, o);
    peak[times == 4] = ctx.allocator().stats().peak_bytes;
  }
  CHECK(peak[0] > 64 * 64 * 4);
  if (!kCuda) CHECK(peak[0] < 3 * 64 * 64 * 4);  // a GPU's products have a workspace of fixed size besides
  CHECK(peak[1] == peak[0]);
}
