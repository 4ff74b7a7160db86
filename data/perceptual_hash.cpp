// data/perceptual_hash.cpp
#include "data/perceptual_hash.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numbers>
#include <numeric>
#include <tuple>

#include "data/crop.h"

namespace bonafide {
namespace {

constexpr int kGrid = 32, kSide = 8;
constexpr double kMargin = 1.2, kFlat = 4;

// cos(pi u (2x + 1) / 64) for u = 1 … 8
const std::array<std::array<double, kGrid>, kSide>& cosines() {
  static const auto table = [] {
    std::array<std::array<double, kGrid>, kSide> t{};
    for (int u = 0; u < kSide; ++u)
      for (int x = 0; x < kGrid; ++x)
        t[std::size_t(u)][std::size_t(x)] = std::cos(std::numbers::pi * (u + 1) * (2 * x + 1) / (2.0 * kGrid));
    return t;
  }();
  return table;
}

// Items with one hash and one group: all have the same answer.
struct Node {
  std::uint64_t hash = 0;
  int group = 0;
  std::int64_t first = 0;  // smallest index
  HashMatch best;
};

void offer(Node& a, const Node& b, int distance) {
  if (a.best.other >= 0 && (a.best.distance < distance || (a.best.distance == distance && a.best.other < b.first))) return;
  a.best = {b.first, distance};
}

}  // namespace

std::optional<std::uint64_t> perceptual_hash(const Image& image, const Box& face) {
  BF_CHECK(!image.empty(), "no pixels");
  const CropRect r = crop_rect(face, kMargin, image);
  std::array<double, kGrid * kGrid> grid{};
  for (int j = 0; j < kGrid; ++j)
    for (int i = 0; i < kGrid; ++i) {
      const auto edge = [](int k, int size) { return int(std::int64_t(k) * size / kGrid); };
      const int x1 = r.x1 + edge(i, r.width()), y1 = r.y1 + edge(j, r.height());
      const int x2 = std::max(x1 + 1, r.x1 + edge(i + 1, r.width())), y2 = std::max(y1 + 1, r.y1 + edge(j + 1, r.height()));
      std::int64_t sum = 0;
      for (int y = y1; y < y2; ++y)
        for (const std::uint8_t *p = image.at(y, x1), *end = p + 3 * (x2 - x1); p < end; p += 3) sum += 77 * p[0] + 150 * p[1] + 29 * p[2];
      grid[std::size_t(j * kGrid + i)] = double(sum) / 256 / (double(x2 - x1) * (y2 - y1));
    }
  const auto [least, most] = std::minmax_element(grid.begin(), grid.end());
  if (*most - *least < kFlat) return std::nullopt;

  std::array<double, kSide * kSide> c{};
  for (std::size_t v = 0; v < kSide; ++v)
    for (std::size_t u = 0; u < kSide; ++u) {
      double sum = 0;
      for (std::size_t y = 0; y < kGrid; ++y) {
        double row = 0;
        for (std::size_t x = 0; x < kGrid; ++x) row += grid[y * kGrid + x] * cosines()[u][x];
        sum += row * cosines()[v][y];
      }
      c[v * kSide + u] = sum;
    }
  auto sorted = c;
  std::sort(sorted.begin(), sorted.end());
  const double median = (sorted[31] + sorted[32]) / 2;
  std::uint64_t bits = 0;
  for (std::size_t k = 0; k < c.size(); ++k) bits |= std::uint64_t(c[k] > median) << k;
  return bits;
}

std::vector<HashMatch> nearest_in_other_group(std::span<const std::uint64_t> hashes, std::span<const int> group, int max_distance,
                                              std::int64_t* comparisons) {
  BF_CHECK(hashes.size() == group.size() && max_distance >= 0 && max_distance <= 16, hashes.size(), " hashes, ", group.size(),
           " groups, distance ", max_distance);
  std::vector<std::int64_t> order(hashes.size());
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](std::int64_t i) { return std::tuple(hashes[std::size_t(i)], group[std::size_t(i)], i); };
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return key(a) < key(b); });
  std::vector<Node> nodes;
  std::vector<std::size_t> node_of(hashes.size());
  for (const std::int64_t i : order) {
    const std::uint64_t hash = hashes[std::size_t(i)];
    const int g = group[std::size_t(i)];
    if (nodes.empty() || nodes.back().hash != hash || nodes.back().group != g) nodes.push_back({hash, g, i, {}});
    node_of[std::size_t(i)] = nodes.size() - 1;
  }

  std::int64_t compared = 0;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> keyed(nodes.size());
  const auto search = [&](std::uint64_t mask) {
    for (std::size_t i = 0; i < nodes.size(); ++i) keyed[i] = {nodes[i].hash & mask, std::uint32_t(i)};
    std::sort(keyed.begin(), keyed.end());
    for (std::size_t begin = 0, end = 0; begin < keyed.size(); begin = end) {
      while (end < keyed.size() && keyed[end].first == keyed[begin].first) ++end;
      for (std::size_t i = begin; i < end; ++i)
        for (std::size_t j = i + 1; j < end; ++j) {
          Node &a = nodes[keyed[i].second], &b = nodes[keyed[j].second];
          if (a.group == b.group) continue;
          ++compared;
          const int distance = std::popcount(a.hash ^ b.hash);
          if (distance > max_distance) continue;
          offer(a, b, distance);
          offer(b, a, distance);
        }
    }
  };
  // Bits that most items share tell little apart: those that are most evenly set are dealt out to the bands first, in turn.
  std::array<std::pair<std::int64_t, int>, 64> bits;
  for (int bit = 0; bit < 64; ++bit) {
    const auto ones = std::count_if(nodes.begin(), nodes.end(), [&](const Node& n) { return n.hash >> bit & 1; });
    bits[std::size_t(bit)] = {std::abs(2 * ones - std::int64_t(nodes.size())), bit};
  }
  std::sort(bits.begin(), bits.end());
  const int bands = max_distance + 2;
  std::vector<std::uint64_t> mask(static_cast<std::size_t>(bands), 0);
  for (std::size_t k = 0; k < bits.size(); ++k) mask[k % mask.size()] |= std::uint64_t(1) << bits[k].second;
  for (std::size_t p = 0; p < mask.size(); ++p)
    for (std::size_t q = p + 1; q < mask.size(); ++q) search(mask[p] | mask[q]);
  if (comparisons) *comparisons = compared;

  std::vector<HashMatch> matches(hashes.size());
  for (std::size_t i = 0; i < matches.size(); ++i) matches[i] = nodes[node_of[i]].best;
  return matches;
}

}  // namespace bonafide
