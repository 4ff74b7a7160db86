// tests/host/test_convnext_mlp_plan.cpp — how the CPU's pass over the fused block cuts pixels into tiles and samples
// into groups.
#include "kernels/convnext_mlp/plan.h"
#include "tests/support/support.h"

using namespace bonafide;

TEST_CASE("convnext_mlp: tiles and groups cover every row once") {
  using kernels::convnext_mlp_cpu::Plan;
  for (std::int64_t N : {0, 1, 2, 5, 8, 33})
    for (std::int64_t HW : {1, 4, 49, 100, 196, 225, 784})
      for (std::int64_t budget : {1, 3, 10}) {
        const Plan p({N, HW, 4}, 1, budget);
        std::vector<int> seen(std::size_t(N * HW));
        std::int64_t tiles = 0;
        for (std::int64_t g = 0; g < p.groups; ++g) {
          CHECK(p.first_tile(g) == tiles);
          CHECK(p.tiles(g) <= p.tiles_per_group());
          CHECK(p.samples(g) >= 1);
          for (std::int64_t t = 0; t < p.tiles(g); ++t) {
            const auto tile = p.tile(g, t);
            CHECK(tile.rows >= 1);
            CHECK(tile.rows <= kernels::kConvNeXtTileRows);
            std::int64_t rows = 0;
            p.for_samples(tile, [&](std::int64_t sample, std::int64_t row, std::int64_t count) {
              CHECK(row >= sample * HW);
              CHECK(row + count <= (sample + 1) * HW);
              rows += count;
              for (std::int64_t r = row; r < row + count; ++r) ++seen[std::size_t(r)];
            });
            CHECK(rows == tile.rows);
          }
          tiles += p.tiles(g);
        }
        CHECK(tiles == p.all_tiles());
        CHECK(seen == std::vector<int>(seen.size(), 1));
      }
}

TEST_CASE("convnext_mlp: the workspace grows by what one sample more needs") {
  // A tile holds many small samples: what is kept for each is kept for those that are there, not for a full tile.
  constexpr std::int64_t C = 16, H = 4 * C;
  for (std::int64_t HW : {1, 4}) {
    const kernels::ConvNeXtMlpShape one{1, HW, C}, two{2, HW, C};
    for (bool keeps_h : {false, true})  // z; G and the scale
      CHECK(kernels::convnext_mlp_fwd_workspace<float>(Device::cpu, two, keeps_h) -
                kernels::convnext_mlp_fwd_workspace<float>(Device::cpu, one, keeps_h) ==
            HW * H + 2 * H);
    // da, zd and a; n and g; the scale and q; the gradients of gamma and beta
    CHECK(kernels::convnext_mlp_bwd_workspace<float>(Device::cpu, two) -
              kernels::convnext_mlp_bwd_workspace<float>(Device::cpu, one) ==
          3 * HW * H + 2 * HW * C + 2 * H + 2 * H);
  }
}
