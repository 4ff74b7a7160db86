// kernels/convnext_mlp/plan.h — how a batch is cut: tiles of rows, groups of samples. A function of the shape alone.
#pragma once
#include <algorithm>

#include "kernels/convnext_mlp/convnext_mlp.h"

namespace bonafide::kernels::convnext_mlp_cpu {

// A tile is a piece of one sample, or several whole samples where they are small.
struct Tile {
  std::int64_t sample = 0, samples = 1;  // from the start of the batch
  std::int64_t row = 0, rows = 0;        // in the batch's [N HW] rows
};

struct Plan {
  std::int64_t N, HW;
  std::int64_t pieces = 1, samples_per_tile = 1;  // one of the two is 1
  std::int64_t samples_per_group = 1, groups = 1;

  // `bytes_per_sample`: what a group keeps until its sums are known; `budget`: bytes of cache for it.
  Plan(const ConvNeXtMlpShape& s, std::int64_t bytes_per_sample, std::int64_t budget) : N(s.N), HW(s.HW) {
    pieces = ceil_div(HW, kConvNeXtTileRows);
    samples_per_tile = pieces > 1 ? 1 : std::max<std::int64_t>(1, kConvNeXtTileRows / std::max<std::int64_t>(1, HW));
    const std::int64_t fit =
        std::clamp<std::int64_t>(budget / std::max<std::int64_t>(1, bytes_per_sample), 1, std::max<std::int64_t>(1, N));
    const std::int64_t even = ceil_div(N, std::max<std::int64_t>(1, ceil_div(N, fit)));
    samples_per_group = ceil_div(std::max<std::int64_t>(1, even), samples_per_tile) * samples_per_tile;
    groups = ceil_div(N, samples_per_group);
  }

  std::int64_t first_sample(std::int64_t group) const { return group * samples_per_group; }
  std::int64_t samples(std::int64_t group) const { return std::min(samples_per_group, N - first_sample(group)); }
  std::int64_t rows_per_group() const { return std::min(samples_per_group, N) * HW; }
  std::int64_t tiles_per_group() const { return tiles_of(std::min(samples_per_group, N)); }
  std::int64_t tiles(std::int64_t group) const { return tiles_of(samples(group)); }
  std::int64_t first_tile(std::int64_t group) const { return group * tiles_of(samples_per_group); }
  std::int64_t all_tiles() const { return groups ? first_tile(groups - 1) + tiles(groups - 1) : 0; }

  // Tile t of a group.
  Tile tile(std::int64_t group, std::int64_t t) const {
    if (pieces > 1) {
      const std::int64_t sample = first_sample(group) + t / pieces, length = ceil_div(HW, pieces);
      const std::int64_t begin = t % pieces * length;
      return {sample, 1, sample * HW + begin, std::min(length, HW - begin)};
    }
    const std::int64_t sample = first_sample(group) + t * samples_per_tile;
    const std::int64_t count = std::min(samples_per_tile, first_sample(group) + samples(group) - sample);
    return {sample, count, sample * HW, count * HW};
  }

  // Calls f(sample, row, rows) for the part of each sample that the tile holds.
  template <class F>
  void for_samples(const Tile& t, F&& f) const {
    if (pieces > 1) return f(t.sample, t.row, t.rows);
    for (std::int64_t s = t.sample; s < t.sample + t.samples; ++s) f(s, s * HW, HW);
  }

 private:
  std::int64_t tiles_of(std::int64_t count) const {
    return pieces > 1 ? count * pieces : ceil_div(count, samples_per_tile);
  }
};

}  // namespace bonafide::kernels::convnext_mlp_cpu
