// tests/host/test_perceptual_hash.cpp — the hash by its formula and what leaves it alone; the search beside comparing all with all.
#include "data/perceptual_hash.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "engine/philox.h"
#include "tests/support/support.h"

using namespace bonafide;

namespace {

// A smooth picture, another for each seed, in any size.
Image scene(int height, int width, std::uint64_t seed, int brighter = 0) {
  Random r(seed, "scene");
  float phase[6], turn[6];
  for (int k = 0; k < 6; ++k) phase[k] = r.uniform(0, 6), turn[k] = r.uniform(2, 9);
  Image image(height, width);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) {
        float v = 120 + float(brighter);
        for (int k = 0; k < 6; ++k)
          v += 18 * std::sin(phase[k] + turn[k] * (k % 2 ? float(x) / float(width) : float(y) / float(height))) *
               std::cos(turn[(k + 1) % 6] * (k % 2 ? float(y) / float(height) : float(x) / float(width)) + float(c) / 5);
        image.at(y, x)[c] = std::uint8_t(std::clamp(v, 0.0f, 255.0f));
      }
  return image;
}

int distance(const Image& a, const Image& b) { return std::popcount(*perceptual_hash(a, {}) ^ *perceptual_hash(b, {})); }

std::vector<HashMatch> all_with_all(const std::vector<std::uint64_t>& h, const std::vector<int>& g, int most) {
  std::vector<HashMatch> found(h.size());
  for (std::size_t i = 0; i < h.size(); ++i)
    for (std::size_t j = 0; j < h.size(); ++j) {
      const int d = std::popcount(h[i] ^ h[j]);
      if (g[i] != g[j] && d <= most && (found[i].other < 0 || d < found[i].distance)) found[i] = {std::int64_t(j), d};
    }
  return found;
}

}  // namespace

TEST_CASE("perceptual hash: the formula, written once more") {
  const Image image = scene(64, 64, 1);  // cells of 2 x 2
  double g[32][32] = {};
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 64; ++x) {
      const std::uint8_t* p = image.at(y, x);
      g[y / 2][x / 2] += (77 * p[0] + 150 * p[1] + 29 * p[2]) / 256.0 / 4;
    }
  std::vector<double> c, sorted;
  for (int v = 1; v <= 8; ++v)
    for (int u = 1; u <= 8; ++u) {
      double sum = 0;
      for (int y = 0; y < 32; ++y)
        for (int x = 0; x < 32; ++x) sum += g[y][x] * std::cos(std::numbers::pi * u * (2 * x + 1) / 64) * std::cos(std::numbers::pi * v * (2 * y + 1) / 64);
      c.push_back(sum);
    }
  sorted = c;
  std::sort(sorted.begin(), sorted.end());
  std::uint64_t want = 0;
  for (std::size_t k = 0; k < 64; ++k) want |= std::uint64_t(c[k] > (sorted[31] + sorted[32]) / 2) << k;
  CHECK(perceptual_hash(image, {}) == want);
  CHECK(std::popcount(want) == 32);
}

TEST_CASE("perceptual hash: size, light and small noise leave it; another picture and a mirror image do not") {
  int near = 0, far = 64;
  for (std::uint64_t k = 0; k < 12; ++k) {
    const Image a = scene(160, 120, k);
    near = std::max({near, distance(a, scene(320, 240, k)), distance(a, scene(160, 120, k, 10))});
    Image noisy = a;
    Random r(k, "noise");
    for (std::uint8_t& p : noisy.pixels) p = std::uint8_t(std::clamp(int(p) + int(r.below(7)) - 3, 0, 255));
    near = std::max(near, distance(a, noisy));
    Image mirrored = a;
    for (int y = 0; y < a.height; ++y)
      for (int x = 0; x < a.width; ++x) std::copy_n(a.at(y, a.width - 1 - x), 3, mirrored.at(y, x));
    far = std::min({far, distance(a, scene(160, 120, k + 100)), distance(a, mirrored)});
  }
  CAPTURE(str(near, " ", far));
  CHECK(near <= 8);
  CHECK(far >= 10);
  CHECK(far > near);
}

TEST_CASE("perceptual hash: of the face as evaluation crops it; none of a flat picture; of the smallest ones too") {
  const Image photo = scene(100, 140, 3);
  const Box face{50, 30, 90, 80};
  Image crop(60, 48);  // margin 1.2
  for (int y = 0; y < 60; ++y) std::copy_n(photo.at(25 + y, 46), 3 * 48, crop.at(y, 0));
  CHECK(perceptual_hash(photo, face) == perceptual_hash(crop, {}));
  crop.part = {46, 25, 100, 140};
  CHECK(perceptual_hash(crop, face) == perceptual_hash(photo, face));  // packed
  Image flat(50, 50);
  CHECK(!perceptual_hash(flat, {}));
  for (std::uint8_t& p : flat.pixels) p = 99;
  flat.at(20, 20)[1] = 102;
  CHECK(!perceptual_hash(flat, {}));
  CHECK(perceptual_hash(scene(40, 3, 1), {}).has_value());
  Image one(1, 1);
  CHECK(!perceptual_hash(one, {}));
}

TEST_CASE("perceptual hash: the search finds what comparing all with all finds, ties to the first") {
  for (const int most : {0, 1, 4, 7, 16}) {
    Random r(std::uint64_t(most), "hashes");
    std::vector<std::uint64_t> hashes;
    std::vector<int> groups;
    for (int i = 0; i < 900; ++i) {
      std::uint64_t h = std::uint64_t(r.u32()) << 32 | r.u32();
      if (i >= 300) {  // near one before, by 0 to most + 1 bits, anywhere
        h = hashes[std::size_t(r.below(std::int64_t(hashes.size())))];
        for (std::int64_t k = r.below(most + 2); k > 0; --k) h ^= std::uint64_t(1) << r.below(64);
      }
      hashes.push_back(h);
      groups.push_back(int(r.below(3)));
    }
    const auto want = all_with_all(hashes, groups, most), got = nearest_in_other_group(hashes, groups, most);
    int found = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      CHECK(got[i].other == want[i].other);
      CHECK(got[i].distance == want[i].distance);
      found += want[i].other >= 0;
    }
    CHECK(found > 100);
  }
  CHECK(nearest_in_other_group({}, {}, 4).empty());
}

TEST_CASE("perceptual hash: time does not grow with the square") {
  // As of aligned faces: half of the bits are the same in nearly all.
  const auto comparisons = [](std::int64_t n) {
    Random r(9, "faces");
    std::vector<std::uint64_t> hashes;
    std::vector<int> groups;
    for (std::int64_t i = 0; i < n; ++i) {
      std::uint64_t h = std::uint64_t(r.u32()) << 32 | r.u32(), same = 0x123456789abcdef0u;
      for (int b = 0; b < 64; b += 2)
        if (!r.chance(0.08f)) h = (h & ~(std::uint64_t(1) << b)) | (same & (std::uint64_t(1) << b));
      hashes.push_back(h), groups.push_back(int(i % 2));
    }
    std::int64_t count = 0;
    nearest_in_other_group(hashes, groups, 4, &count);
    return double(count);
  };
  const double n = 40000, made = comparisons(40000);
  CAPTURE(made / (n * n / 4));
  CHECK(made < 0.05 * n * n / 4);  // of the pairs between two groups
}
