// tests/emulated/test_depthwise_conv_cuts.cpp — the depthwise kernels under cuts of the work that only large shapes
// get.
#include "kernels/depthwise_conv/depthwise_conv.simt.h"
#include "kernels/emulator/emulator.h"
#include "tests/support/backend.h"

using namespace bonafide;
using namespace bonafide::test;
using namespace bonafide::kernels;

TEST_CASE("depthwise_conv: any cut of the work gives the same sums") {
  const std::int64_t N = 3;
  const int H = 17, W = 9, C = 36;
  const std::int64_t n = N * H * W * C;  // integers: exact in any order
  const auto x = Buffer<float>::integers(n, 1), dy = Buffer<float>::integers(n, 2);
  const auto f = Buffer<float>::integers(49 * C, 3), b = Buffer<float>::integers(C, 4);
  Buffer<float> y(n), dx(n), df(49 * C), db(C);
  Buffer<float> filter(depthwise_conv_filter_workspace(C)), work(depthwise_conv_weight_workspace(N, H, W, C));
  cpu::depthwise_conv_fwd<float>({.x = x.cspan(),
                                  .f = f.cspan(),
                                  .b = b.cspan(),
                                  .y = y.span(),
                                  .workspace = filter.span(),
                                  .N = N,
                                  .H = H,
                                  .W = W,
                                  .C = C});
  cpu::depthwise_conv_bwd_data<float>(
      {.dy = dy.cspan(), .f = f.cspan(), .dx = dx.span(), .workspace = filter.span(), .N = N, .H = H, .W = W, .C = C});
  cpu::depthwise_conv_bwd_weight<float>({.dy = dy.cspan(),
                                         .x = x.cspan(),
                                         .df = df.span(),
                                         .db = db.span(),
                                         .workspace = work.span(),
                                         .N = N,
                                         .H = H,
                                         .W = W,
                                         .C = C});

  // One band of 3 periods, bands of 2 and 1; one strip, or two; one, two or four images in a block.
  struct {
    int strips, tiles, images, bands, band_rows;
    std::int64_t groups, splits;
  } const cuts[] = {{2, 1, 1, 1, 21, 3, 2}, {1, 2, 2, 2, 14, 2, 3}, {2, 1, 4, 3, 7, 1, 1}};
  for (const auto& c : cuts) {
    const DepthwiseCut cut{.channel_blocks = 2,
                           .strips = c.strips,
                           .tiles = c.tiles,
                           .images = c.images,
                           .bands = c.bands,
                           .band_rows = c.band_rows,
                           .groups = c.groups};
    const simt::Emulator launch(simt::kSchedules[2]);
    Buffer<float> got_y(n), got_dx(n, 1), got_df(49 * C), got_db(C, 10), partials(c.splits * 50 * C);
    DepthwiseConvRows<float> rows{.in = x.cspan(),
                                  .f = f.cspan(),
                                  .b = b.cspan(),
                                  .out = got_y.span(),
                                  .N = N,
                                  .H = H,
                                  .W = W,
                                  .C = C,
                                  .cut = cut};
    launch(simt_bodies::DepthwiseConvRowsKernel<4>(), rows);
    expect_bitwise("y", got_y, y);
    rows.in = dy.cspan(), rows.b = {}, rows.out = got_dx.span(), rows.turned = rows.add = true;
    launch(simt_bodies::DepthwiseConvRowsKernel<1>(), rows);
    for (std::int64_t i = 0; i < n; ++i) got_dx[i] -= 1;
    expect_bitwise("dx", got_dx, dx);
    launch(simt_bodies::DepthwiseConvWeightKernel<4>(), DepthwiseConvWeightSums<float>{.dy = dy.cspan(),
                                                                                       .x = x.cspan(),
                                                                                       .partials = partials.span(),
                                                                                       .N = N,
                                                                                       .splits = c.splits,
                                                                                       .H = H,
                                                                                       .W = W,
                                                                                       .C = C,
                                                                                       .cut = cut});
    launch(simt_bodies::DepthwiseConvWeightEndKernel(), DepthwiseConvWeightEnd{.partials = partials.cspan(),
                                                                               .df = got_df.span(),
                                                                               .db = got_db.span(),
                                                                               .db_mode = GradMode::add,
                                                                               .splits = c.splits,
                                                                               .C = C});
    expect_bitwise("df", got_df, df);
    for (int i = 0; i < C; ++i) got_db[i] -= 10;
    expect_bitwise("db", got_db, db);
  }
}

TEST_CASE("depthwise_conv: the cut fills a GPU, and no more than the shape has") {
  const auto cut = depthwise_conv_cut(256, 56, 56, 96);  // stage 1 of tiny: a row of one image a block
  CHECK((cut.strips == 8 && cut.tiles == 1 && cut.images == 1 && cut.bands == 1 && cut.units() == 256));
  CHECK(depthwise_conv_splits(256, 56, 56, 96) == 88);
  const auto last = depthwise_conv_cut(256, 7, 7, 768);
  CHECK((last.strips == 1 && last.images == 8 && last.bands == 1 && last.units() == 32 && last.channel_blocks == 24));
  CHECK(depthwise_conv_splits(256, 7, 7, 768) == 11);
  const auto one = depthwise_conv_cut(1, 56, 56, 96);  // a single image: bands of 7 rows
  CHECK((one.bands == 8 && one.band_rows == 7 && one.units() == 8));
  const auto wide = depthwise_conv_cut(2, 20, 100, 8);  // 15 strips: two tiles of 8
  CHECK((wide.strips == 8 && wide.tiles == 2 && wide.bands == 3 && wide.band_rows == 7));
  CHECK(depthwise_conv_cut(0, 5, 5, 8).units() == 0);
  CHECK(depthwise_conv_splits(0, 5, 5, 8) == 0);
}
