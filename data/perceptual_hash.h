// data/perceptual_hash.h — 64 bits that stay nearly the same when a picture is resized or compressed, and the search for
// pictures whose bits are nearly the same, without comparing all with all.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "data/image.h"

namespace bonafide {

// Of the face as evaluation crops it (crop_rect with margin 1.2; without a box the whole image), in integers and doubles:
//   g[y][x]   mean luma (77 R + 150 G + 29 B) / 256 of cell (x, y) of a grid of 32 x 32
//   c[v][u] = sum_xy g[y][x] cos(pi u (2x + 1) / 64) cos(pi v (2y + 1) / 64)            u, v = 1 … 8
//   bit 8 (v - 1) + (u - 1) = c[v][u] > the median of the 64
// None where the cells differ by less than 4 grey levels: of a flat picture the bits would be noise.
std::optional<std::uint64_t> perceptual_hash(const Image& image, const Box& face);

struct HashMatch {
  std::int64_t other = -1;  // the nearest item of another group; of equals the one with the smallest index; -1: none
  int distance = 0;         // bits that differ
};

// For each item the nearest of another group, at most `max_distance` (0 to 16) bits away. Exact. 64 bits fall into
// max_distance + 2 bands, evenly by what they tell apart; two hashes that near agree in at least two whole bands, so that only
// items which share a pair of bands are compared. `comparisons`, if given, counts.
std::vector<HashMatch> nearest_in_other_group(std::span<const std::uint64_t> hashes, std::span<const int> group,
                                              int max_distance, std::int64_t* comparisons = nullptr);

}  // namespace bonafide
