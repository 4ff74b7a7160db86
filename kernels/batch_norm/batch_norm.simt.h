// kernels/batch_norm/batch_norm.simt.h — batch normalisation, the bodies of its CUDA kernels. All walk down strips of
// the columns (kernels/simt/columns.h).
//
//   training    BatchNormPieces       means and sums of squares of the pieces of the rows          reads x
//               BatchNormStatistics   of all rows: mean, rstd, running statistics                  small
//   inference   BatchNormRunning      mean, rstd from the running statistics                       small
//   both        BatchNormApply        y                                                            reads x, writes y
//   backward    BatchNormBwdPieces    sums of dy xh and of dy over the pieces                      reads dy, x
//               BatchNormBwdSums      over all rows; dgamma, dbeta                                 small
//               BatchNormDx           dx                                                     reads dy, x, writes dx
#pragma once
#include <cmath>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/simt/columns.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const BatchNormFwd<T>& a, F&& f) {
  f("x", a.x), f("gamma", a.gamma), f("beta", a.beta), f("y", a.y);
  f("running_mean", a.running_mean), f("running_var", a.running_var), f("mean", a.mean), f("rstd", a.rstd);
  f("workspace", a.workspace);
}
template <class T, class F>
void for_each_array(const BatchNormBwd<T>& a, F&& f) {
  f("dy", a.dy), f("x", a.x), f("gamma", a.gamma), f("mean", a.mean), f("rstd", a.rstd), f("dx", a.dx);
  f("dgamma", a.dgamma), f("dbeta", a.dbeta), f("workspace", a.workspace);
}

namespace simt_bodies {
using namespace simt;

inline constexpr int kBatchNormRows = 256;  // of a block where rows are independent

template <class T>
LaunchShape batch_norm_rows_shape(std::int64_t rows, std::int64_t C) {
  return strip_shape<T>(ceil_div<std::int64_t>(rows, kBatchNormRows), C);
}
// Calls f(row) for the rows of this thread in a launch of that shape.
template <Block B, class F>
BF_DEVICE void for_own_rows(B& block, std::int64_t rows, F&& f) {
  const std::int64_t begin = std::int64_t(block.bx()) * kBatchNormRows;
  const std::int64_t end = begin + kBatchNormRows < rows ? begin + kBatchNormRows : rows;
  for (std::int64_t row = begin + block.ty(); row < end; row += kStripRows) f(row);
}

// n values of each of N columns: their means, and the sums of squares about them. The first to be merged are not none.
template <int N>
struct ColumnMoments {
  float n = 0, mean[N] = {}, squares[N] = {};
  BF_HD void merge(float count, const float (&other_mean)[N], const float (&other_squares)[N]) {
    const float before = n, share = count / (n + count);
    n += count;
    for (int k = 0; k < N; ++k) {
      const float apart = other_mean[k] - mean[k];
      mean[k] += apart * share;
      squares[k] += other_squares[k] + apart * apart * (before * share);
    }
  }
};

// Merges the columns of all threads, from the first row of threads on, and calls f(column of the matrix, mean,
// squares), once for each column. All threads of the block must call this, once: the scratch is not free again.
template <class Tag, Block B, int N, class F>
BF_DEVICE void for_strip_moments(B& block, std::int64_t C, const ColumnMoments<N>& own, F&& f) {
  constexpr int kColumns = kStripLanes * N;
  const auto tile = block.template shared<Tag, float, (2 * kColumns + 1) * kStripRows>();  // means, squares, counts
  constexpr int kSquares = kStripRows * kColumns, kCounts = 2 * kSquares;
  for (int k = 0; k < N; k += 4) {
    const int at = block.ty() * kColumns + block.tx() * N + k;
    block.store_vector(tile, at,
                       simt::Vector<float, 4>{{own.mean[k], own.mean[k + 1], own.mean[k + 2], own.mean[k + 3]}});
    block.store_vector(
        tile, kSquares + at,
        simt::Vector<float, 4>{{own.squares[k], own.squares[k + 1], own.squares[k + 2], own.squares[k + 3]}});
  }
  if (block.tx() == 0) block.store(tile, kCounts + block.ty(), own.n);
  block.sync();
  const int thread = block.ty() * kStripLanes + block.tx();
  const std::int64_t column = std::int64_t(block.by()) * kColumns + thread;
  if (thread < kColumns && column < C) {
    ColumnMoments<1> all;
    for (int row = 0; row < kStripRows; ++row) {
      const float mean[1] = {block.load(tile, row * kColumns + thread)};
      const float squares[1] = {block.load(tile, kSquares + row * kColumns + thread)};
      all.merge(block.load(tile, kCounts + row), mean, squares);
    }
    f(column, all.mean[0], all.squares[0]);
  }
}

// A thread takes kRows of its rows at a time into registers, where their mean and squares need no second read.
struct BatchNormPiecesKernel {
  static constexpr const char* kName = "batch_norm_pieces";
  static constexpr int kMaxThreads = kStripThreads, kRows = 4;
  struct Tile;
  template <class T>
  static LaunchShape shape(const BatchNormFwd<T>& a) {
    return strip_shape<T>(row_pieces(a.rows), a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const BatchNormFwd<T>& a) {
    constexpr int N = kWidest<T>;
    const OwnColumns<T> own(block, a.C, a.x);
    const std::int64_t p = block.bx();
    const Interval piece = row_piece(a.rows, p);
    ColumnMoments<N> moments;
    if (own) {
      const auto shift = own.load(block, a.x, 0);
      for (std::int64_t row = piece.begin + block.ty(); row < piece.end; row += kRows * kStripRows) {
        simt::Vector<T, N> x[kRows];
        int count = 0;
        BF_UNROLL
        for (int r = 0; r < kRows; ++r) {
          const bool inside = row + r * kStripRows < piece.end;
          x[r] = inside ? own.load(block, a.x, row + r * kStripRows) : shift;
          count += inside;
        }
        float mean[N] = {}, squares[N] = {};
        for (int k = 0; k < N; ++k) {
          const float zero = to_f32(shift[k]);
          BF_UNROLL
          for (int r = 0; r < kRows; ++r) mean[k] += to_f32(x[r][k]) - zero;  // of rows beyond the end: 0
          mean[k] /= float(count);
          BF_UNROLL
          for (int r = 0; r < kRows; ++r) {
            const float centred = to_f32(x[r][k]) - zero - mean[k];
            squares[k] += r < count ? centred * centred : 0.0f;
          }
        }
        moments.merge(float(count), mean, squares);
      }
    }
    for_strip_moments<Tile>(block, a.C, moments, [&](std::int64_t c, float mean, float squares) {
      block.store(a.workspace, (p * 2) * a.C + c, mean);
      block.store(a.workspace, (p * 2 + 1) * a.C + c, squares);
    });
  }
};

// The rows of threads take turns with the pieces.
struct BatchNormStatisticsKernel {
  static constexpr const char* kName = "batch_norm_statistics";
  static constexpr int kMaxThreads = kStripThreads;
  struct Tile;
  template <class T>
  static LaunchShape shape(const BatchNormFwd<T>& a) {
    return strip_shape<float>(1, a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const BatchNormFwd<T>& a) {
    constexpr int N = kWidest<float>;
    const OwnColumns<float> own(block, a.C, a.workspace);
    ColumnMoments<N> moments;
    if (own)
      for (std::int64_t p = block.ty(); p < row_pieces(a.rows); p += kStripRows) {
        float mean[N], squares[N];
        own.load(block, mean, a.workspace, p * 2);
        own.load(block, squares, a.workspace, p * 2 + 1);
        moments.merge(float(row_piece(a.rows, p).size()), mean, squares);
      }
    for_strip_moments<Tile>(block, a.C, moments, [&](std::int64_t c, float above_row_0, float squares) {
      const float mean = to_f32(block.load(a.x, c)) + above_row_0, var = squares / float(a.rows), old = 1 - a.momentum;
      block.store(a.mean, c, mean);
      block.store(a.rstd, c, 1.0f / sqrtf(var + a.eps));
      block.store(a.running_mean, c, old * block.load(a.running_mean, c) + a.momentum * mean);
      block.store(a.running_var, c, old * block.load(a.running_var, c) + a.momentum * (squares / float(a.rows - 1)));
    });
  }
};

struct BatchNormRunningKernel {
  static constexpr const char* kName = "batch_norm_running";
  static constexpr int kMaxThreads = 128;
  template <class T>
  static LaunchShape shape(const BatchNormFwd<T>& a) {
    return {.grid = {ceil_div<std::int64_t>(a.C, kMaxThreads)}, .block = {kMaxThreads}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const BatchNormFwd<T>& a) {
    const std::int64_t c = std::int64_t(block.bx()) * kMaxThreads + block.tx();
    if (c >= a.C) return;
    block.store(a.mean, c, block.load(a.running_mean, c));
    block.store(a.rstd, c, 1.0f / sqrtf(block.load(a.running_var, c) + a.eps));
  }
};

struct BatchNormApplyKernel {
  static constexpr const char* kName = "batch_norm_apply";
  static constexpr int kMaxThreads = kStripThreads;
  template <class T>
  static LaunchShape shape(const BatchNormFwd<T>& a) {
    return batch_norm_rows_shape<T>(a.rows, a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const BatchNormFwd<T>& a) {
    constexpr int N = kWidest<T>;
    const OwnColumns<T> own(block, a.C, a.x, a.y);
    if (!own) return;
    float mean[N], scale[N], gamma[N], beta[N];
    own.load(block, mean, a.mean), own.load(block, scale, a.rstd);
    own.load(block, gamma, a.gamma), own.load(block, beta, a.beta);
    for (int k = 0; k < N; ++k) scale[k] *= gamma[k];
    for_own_rows(block, a.rows, [&](std::int64_t row) {
      auto v = own.load(block, a.x, row);
      for (int k = 0; k < N; ++k) v[k] = from_f32<T>((to_f32(v[k]) - mean[k]) * scale[k] + beta[k]);
      own.store(block, a.y, row, v);
    });
  }
};

// Leaves the sums of piece p in workspace [pieces, 2, C].
struct BatchNormBwdPiecesKernel {
  static constexpr const char* kName = "batch_norm_bwd_pieces";
  static constexpr int kMaxThreads = kStripThreads;
  struct Tile;
  template <class T>
  static LaunchShape shape(const BatchNormBwd<T>& a) {
    return strip_shape<T>(row_pieces(a.rows), a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const BatchNormBwd<T>& a) {
    constexpr int N = kWidest<T>;
    const OwnColumns<T> own(block, a.C, a.dy, a.x);
    const std::int64_t p = block.bx();
    const Interval piece = row_piece(a.rows, p);
    float dgamma[N] = {}, dbeta[N] = {};
    if (own) {
      float mean[N], rstd[N];
      own.load(block, mean, a.mean), own.load(block, rstd, a.rstd);
      for (std::int64_t row = piece.begin + block.ty(); row < piece.end; row += kStripRows) {
        const auto dy = own.load(block, a.dy, row), x = own.load(block, a.x, row);
        for (int k = 0; k < N; ++k) {
          dgamma[k] += to_f32(dy[k]) * ((to_f32(x[k]) - mean[k]) * rstd[k]);
          dbeta[k] += to_f32(dy[k]);
        }
      }
    }
    for_strip_sums<Tile>(block, a.C, dgamma,
                         [&](std::int64_t c, float sum) { block.store(a.workspace, (p * 2) * a.C + c, sum); });
    for_strip_sums<Tile>(block, a.C, dbeta,
                         [&](std::int64_t c, float sum) { block.store(a.workspace, (p * 2 + 1) * a.C + c, sum); });
  }
};

// Leaves the sums of all rows behind those of the pieces.
struct BatchNormBwdSumsKernel {
  static constexpr const char* kName = "batch_norm_bwd_sums";
  static constexpr int kMaxThreads = kStripThreads;
  struct Tile;
  template <class T>
  static LaunchShape shape(const BatchNormBwd<T>& a) {
    return strip_shape<float>(1, a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const BatchNormBwd<T>& a) {
    const OwnColumns<float> own(block, a.C, a.workspace);
    const std::int64_t pieces = row_pieces(a.rows);
    const auto end = [&](int which, GradMode mode, Span<float> gradient) {
      float sum[kWidest<float>] = {};
      if (own)
        for (std::int64_t p = block.ty(); p < pieces; p += kStripRows) {
          const auto v = own.load(block, Span<const float>(a.workspace), p * 2 + which);
          for (int k = 0; k < kWidest<float>; ++k) sum[k] += v[k];
        }
      for_strip_sums<Tile>(block, a.C, sum, [&](std::int64_t c, float s) {
        block.store(a.workspace, (pieces * 2 + which) * a.C + c, s);
        if (mode != GradMode::skip) block.store(gradient, c, mode == GradMode::add ? block.load(gradient, c) + s : s);
      });
    };
    end(0, a.dgamma_mode, a.dgamma);
    end(1, a.dbeta_mode, a.dbeta);
  }
};

struct BatchNormDxKernel {
  static constexpr const char* kName = "batch_norm_dx";
  static constexpr int kMaxThreads = kStripThreads;
  template <class T>
  static LaunchShape shape(const BatchNormBwd<T>& a) {
    return batch_norm_rows_shape<T>(a.rows, a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const BatchNormBwd<T>& a) {
    constexpr int N = kWidest<T>;
    const OwnColumns<T> own(block, a.C, a.dy, a.x, a.dx);
    if (!own) return;
    float scale[N], mean[N] = {}, of_one[N] = {}, of_xh[N] = {}, v[N];
    own.load(block, v, a.rstd), own.load(block, scale, a.gamma);
    if (a.training) {
      const std::int64_t sums = row_pieces(a.rows) * 2;
      own.load(block, mean, a.mean);
      own.load(block, of_xh, a.workspace, sums), own.load(block, of_one, a.workspace, sums + 1);
      for (int k = 0; k < N; ++k) of_xh[k] = of_xh[k] / float(a.rows) * v[k], of_one[k] /= float(a.rows);
    }
    for (int k = 0; k < N; ++k) scale[k] *= v[k];
    for_own_rows(block, a.rows, [&](std::int64_t row) {
      const auto dy = own.load(block, a.dy, row);
      for (int k = 0; k < N; ++k) v[k] = to_f32(dy[k]) - of_one[k];
      if (a.training) {
        const auto x = own.load(block, a.x, row);
        for (int k = 0; k < N; ++k) v[k] -= (to_f32(x[k]) - mean[k]) * of_xh[k];
      }
      simt::Vector<T, N> dx{};
      if (a.dx_mode == GradMode::add) dx = own.load(block, Span<const T>(a.dx), row);
      for (int k = 0; k < N; ++k)
        dx[k] = from_f32<T>(a.dx_mode == GradMode::add ? to_f32(dx[k]) + scale[k] * v[k] : scale[k] * v[k]);
      own.store(block, a.dx, row, dx);
    });
  }
};

template <class Launch, class T>
void batch_norm_fwd(Launch&& launch, const BatchNormFwd<T>& a) {
  check(a);
  if (a.training) {
    launch(BatchNormPiecesKernel(), a);
    launch(BatchNormStatisticsKernel(), a);
  } else {
    launch(BatchNormRunningKernel(), a);
  }
  launch(BatchNormApplyKernel(), a);
}
template <class Launch, class T>
void batch_norm_bwd(Launch&& launch, const BatchNormBwd<T>& a) {
  check(a);
  if (batch_norm_needs_sums(a)) {
    launch(BatchNormBwdPiecesKernel(), a);
    launch(BatchNormBwdSumsKernel(), a);
  }
  if (a.dx_mode != GradMode::skip) launch(BatchNormDxKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
