// tests/host/test_window.cpp — sizes and cells of windows, against what PyTorch 2.15 answers and against counting.
#include "kernels/area_resize/area_resize.h"
#include "kernels/pool_window.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::kernels;
using namespace bonafide::test;

// Worked out by hand from floor((in + 2 pad - kernel) / stride) + 1.
static_assert(window_out(224, 7, 2, 3, false) == 112);  // ResNet's first convolution
static_assert(window_out(160, 3, 2, 0, false) == 79);   // the layers of InceptionResnetV1
static_assert(window_out(77, 3, 2, 0, false) == 38);
static_assert(window_out(10, 3, 1, 0, false) == 8);
static_assert(window_out(10, 3, 1, 1, false) == 10);
static_assert(window_out(10, 2, 2, 0, false) == 5);
static_assert(window_out(11, 2, 2, 0, false) == 5);
static_assert(window_out(3, 3, 5, 0, false) == 1);
// Rounded up: the pools of MTCNN's three networks.
static_assert(window_out(11, 2, 2, 0, true) == 6);
static_assert(window_out(10, 2, 2, 0, true) == 5);
static_assert(window_out(22, 3, 2, 0, true) == 11 && window_out(22, 3, 2, 0, false) == 10);
static_assert(window_out(46, 3, 2, 0, true) == 23 && window_out(46, 3, 2, 0, false) == 22);
static_assert(window_out(9, 3, 2, 0, true) == 4);
static_assert(window_out(2, 3, 2, 0, true) == 1);  // a window larger than the input
// Rounded up, but the last window would begin in the right padding, or behind it: it is left out.
static_assert(window_out(5, 2, 3, 1, true) == 2);  // 3 would begin at 5
static_assert(window_out(6, 2, 3, 1, true) == 3);  // at 5
static_assert(window_out(1, 1, 2, 0, true) == 1);
static_assert(window_out(4, 1, 3, 0, true) == 2);
static_assert(window_out(3, 1, 3, 0, true) == 1);  // 2 would begin at 3
static_assert(window_out(4, 2, 2, 1, true) == 3 && window_out(5, 2, 2, 1, true) == 3);
// Nothing fits.
static_assert(window_out(2, 3, 1, 0, false) <= 0);
static_assert(window_out(1, 3, 2, 0, true) <= 0);
static_assert(window_out(0, 1, 1, 0, false) <= 0);
static_assert(window_out(4, 2, 0, 0, false) <= 0);
static_assert(window_out(std::int64_t(1) << 40, 1, 1, 0, false) == std::int64_t(1) << 40);

static_assert(row_pieces(0) == 1 && row_pieces(1) == 1 && row_pieces(256) == 1 && row_pieces(257) == 2 &&
              row_pieces(1 << 20) == 512);
static_assert(row_piece(0, 0) == Interval{0, 0});

TEST_CASE("windows: sizes, the cells of each window and the windows of each cell, against walking along the axis") {
  for (int in = 1; in <= 12; ++in)
    for (int kernel = 1; kernel <= 5; ++kernel)
      for (int stride = 1; stride <= 4; ++stride)
        for (int pad = 0; 2 * pad <= kernel; ++pad)
          for (const bool ceil_mode : {false, true}) {
            // A window after the other: whole ones, and with ceil_mode one more, which has to begin in front of the
            // right padding.
            std::int64_t want = 0;
            while (want * stride + kernel <= in + 2 * pad) ++want;
            const std::int64_t next = want * stride;  // from the left end of the padding
            if (ceil_mode && next < in + pad && next - stride + kernel < in + 2 * pad) ++want;
            const std::string at =
                str("in ", in, " kernel ", kernel, " stride ", stride, " pad ", pad, ceil_mode ? " ceil" : "");
            const std::int64_t out = window_out(in, kernel, stride, pad, ceil_mode);
            CHECK_MESSAGE(out == want, at);
            if (out <= 0) continue;
            const PoolAxis axis{in, int(out), kernel, stride, pad};
            for (int o = 0; o < axis.out; ++o) {
              int padded = 0;
              for (int i = o * stride - pad; i < o * stride - pad + kernel; ++i) padded += i < in + pad;
              CHECK_MESSAGE(axis.padded(o) == padded, at);
              CHECK_MESSAGE(axis.inputs(o).size() >= 1, at);
            }
            for (int i = 0; i < in; ++i)
              for (int o = 0; o < axis.out; ++o) {
                const bool covers = o * stride - pad <= i && i < o * stride - pad + kernel;
                CHECK_MESSAGE((axis.inputs(o).begin <= i && i < axis.inputs(o).end) == covers, at);
                CHECK_MESSAGE((axis.outputs(i).begin <= o && o < axis.outputs(i).end) == covers, at);
              }
          }
}

TEST_CASE("windows: the bins of an area resize, and the bins of each pixel") {
  CHECK(area_bin(0, 5, 3) == Cells{0, 2});  // by hand
  CHECK(area_bin(1, 5, 3) == Cells{1, 4});
  CHECK(area_bin(2, 5, 3) == Cells{3, 5});
  CHECK(area_bin(1, 2, 3) == Cells{0, 2});
  CHECK(area_bin(65534, 65535, 65535) == Cells{65534, 65535});
  CHECK(area_bin(65533, 65535, 65534) == Cells{65533, 65535});
  for (int in = 1; in <= 14; ++in)
    for (int out = 1; out <= 14; ++out)
      for (int o = 0; o < out; ++o)
        for (int i = 0; i < in; ++i) {
          const bool holds =
              i * out < (o + 1) * in && o * in < (i + 1) * out;  // [o, o + 1) in / out overlaps [i, i + 1)
          const Cells bin = area_bin(o, in, out), back = area_bin(i, out, in);
          CHECK((bin.begin <= i && i < bin.end) == holds);
          CHECK((back.begin <= o && o < back.end) == holds);
        }
}

TEST_CASE("windows: pieces of the rows are as good as equal, and all of them") {
  for (const std::int64_t rows : {0, 1, 255, 256, 257, 1000, 131072, 131073, 1000003}) {
    std::int64_t at = 0, least = rows, most = 0;
    for (std::int64_t p = 0; p < row_pieces(rows); ++p) {
      const Interval piece = row_piece(rows, p);
      CHECK(piece.begin == at);
      at = piece.end, least = std::min(least, piece.size()), most = std::max(most, piece.size());
    }
    CHECK(at == rows);
    CHECK(most - least <= 1);
  }
}

TEST_CASE("windows: what cannot be pooled is explained") {
  const auto pool = [](std::int64_t H, Window2d w, std::int64_t C = 3) {
    return [=] { pool2d("a_pool", 2, H, 4, C, w); };
  };
  expect_throw("a_pool: a window of 3 does not fit into 2 with padding 0", pool(2, {.kernel_h = 3}));
  expect_throw("a window of 2 does not fit into 0", pool(0, {.kernel_h = 2, .pad_h = 1}));
  expect_throw("padding 2, expected at most half of the window of 3", pool(9, {.kernel_w = 3, .pad_w = 2}));
  expect_throw("padding -1", pool(9, {.kernel_h = 3, .pad_h = -1}));
  expect_throw("window of 2, stride 0", pool(9, {.kernel_h = 2, .stride_h = 0}));
  expect_throw("window of 0, stride 1", pool(9, {.kernel_w = 0}));
  expect_throw("2 images of 0 channels", pool(9, {}, 0));
  expect_throw("over 65535 pixels", pool(65535, {}));
}
