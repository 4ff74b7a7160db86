// kernels/batch_norm/cpu.cpp — pieces of the rows by runs of channels; loops over channels that the compiler
// vectorises.
#include <algorithm>
#include <cmath>

#include "engine/parallel.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/grad_store.h"

namespace bonafide::kernels {
namespace {

constexpr std::int64_t kChannels = 128;  // of a run: what is kept of them stays in the first-level cache
constexpr std::int64_t kChunk = 32;      // rows that are read twice in a row: at most 16 KiB of a run
constexpr std::int64_t kGrain = 256;     // rows of a work item where rows are independent

// Numbers of one run of channels.
struct Run {
  float v[kChannels];
};

// Calls f(p, first channel, how many) for each piece of the rows and each run of channels.
template <class F>
void for_runs(std::int64_t pieces, std::int64_t C, F&& f) {
  const std::int64_t runs = ceil_div(C, kChannels);
  parallel_for(pieces * runs, [&](std::int64_t item) {
    const std::int64_t c0 = item % runs * kChannels;
    f(item / runs, c0, std::min(kChannels, C - c0));
  });
}

// How many values, their mean and the sum of squares about it, of each channel.
struct Moments {
  float n = 0;
  Run mean{}, squares{};

  void merge(float count, const float* other_mean, const float* other_squares, std::int64_t channels) {
    const float before = n, share = count / (n + count);
    n += count;
    for (std::int64_t c = 0; c < channels; ++c) {
      const float apart = other_mean[c] - mean.v[c];
      mean.v[c] += apart * share;
      squares.v[c] += other_squares[c] + apart * apart * (before * share);
    }
  }
};

// mean and rstd of the batch, and what they do to the running statistics.
template <class T>
void statistics(const BatchNormFwd<T>& a) {
  const std::int64_t C = a.C;
  for_runs(row_pieces(a.rows), C, [&](std::int64_t p, std::int64_t c0, std::int64_t channels) {
    const Interval piece = row_piece(a.rows, p);
    const T* shift = a.x.ptr + c0;  // row 0
    Moments m;
    for (std::int64_t begin = piece.begin; begin < piece.end; begin += kChunk) {
      const std::int64_t end = std::min(begin + kChunk, piece.end);
      const float count = float(end - begin);
      Run mean{}, squares{};
      for (std::int64_t row = begin; row < end; ++row) {
        const T* x = a.x.ptr + row * C + c0;
        for (std::int64_t c = 0; c < channels; ++c) mean.v[c] += to_f32(x[c]) - to_f32(shift[c]);
      }
      for (std::int64_t c = 0; c < channels; ++c) mean.v[c] /= count;
      for (std::int64_t row = begin; row < end; ++row) {
        const T* x = a.x.ptr + row * C + c0;
        for (std::int64_t c = 0; c < channels; ++c) {
          const float centred = to_f32(x[c]) - to_f32(shift[c]) - mean.v[c];
          squares.v[c] += centred * centred;
        }
      }
      m.merge(count, mean.v, squares.v, channels);
    }
    std::copy_n(m.mean.v, channels, a.workspace.ptr + (p * 2) * C + c0);
    std::copy_n(m.squares.v, channels, a.workspace.ptr + (p * 2 + 1) * C + c0);
  });
  for_runs(1, C, [&](std::int64_t, std::int64_t c0, std::int64_t channels) {
    Moments m;
    for (std::int64_t p = 0; p < row_pieces(a.rows); ++p)
      m.merge(float(row_piece(a.rows, p).size()), a.workspace.ptr + (p * 2) * C + c0,
              a.workspace.ptr + (p * 2 + 1) * C + c0, channels);
    for (std::int64_t c = 0; c < channels; ++c) {
      const float mean = to_f32(a.x[c0 + c]) + m.mean.v[c], var = m.squares.v[c] / float(a.rows);
      float &running_mean = a.running_mean[c0 + c], &running_var = a.running_var[c0 + c];
      running_mean = (1 - a.momentum) * running_mean + a.momentum * mean;
      running_var = (1 - a.momentum) * running_var + a.momentum * (m.squares.v[c] / float(a.rows - 1));
      a.mean[c0 + c] = mean;
      a.rstd[c0 + c] = 1 / std::sqrt(var + a.eps);
    }
  });
}

// The sums of dy xh and of dy over all rows, in the last [2, C] of the workspace.
template <class T>
void gradient_sums(const BatchNormBwd<T>& a) {
  const std::int64_t C = a.C, pieces = row_pieces(a.rows);
  for_runs(pieces, C, [&](std::int64_t p, std::int64_t c0, std::int64_t channels) {
    const Interval piece = row_piece(a.rows, p);
    Run mean, rstd, dgamma{}, dbeta{};
    std::copy_n(a.mean.ptr + c0, channels, mean.v);
    std::copy_n(a.rstd.ptr + c0, channels, rstd.v);
    for (std::int64_t row = piece.begin; row < piece.end; ++row) {
      const T *x = a.x.ptr + row * C + c0, *dy = a.dy.ptr + row * C + c0;
      for (std::int64_t c = 0; c < channels; ++c) {
        dgamma.v[c] += to_f32(dy[c]) * ((to_f32(x[c]) - mean.v[c]) * rstd.v[c]);
        dbeta.v[c] += to_f32(dy[c]);
      }
    }
    std::copy_n(dgamma.v, channels, a.workspace.ptr + (p * 2) * C + c0);
    std::copy_n(dbeta.v, channels, a.workspace.ptr + (p * 2 + 1) * C + c0);
  });
  float* total = a.workspace.ptr + pieces * 2 * C;
  std::fill_n(total, 2 * C, 0.0f);
  for (std::int64_t p = 0; p < pieces; ++p)
    for (std::int64_t i = 0; i < 2 * C; ++i) total[i] += a.workspace.ptr[p * 2 * C + i];
}

void check_vectors(std::int64_t C, std::initializer_list<std::pair<const char*, std::int64_t>> vectors) {
  for (const auto& [name, length] : vectors) BF_CHECK(length == C, "batch_norm: ", name, " ", length, ", C ", C);
}

}  // namespace

template <class T>
void check(const BatchNormFwd<T>& a) {
  BF_CHECK(a.rows >= 0 && a.C > 0, "batch_norm: rows=", a.rows, " C=", a.C);
  BF_CHECK(!a.training || a.rows > 1, "batch_norm: training on ", a.rows, " values per channel, expected at least 2");
  const std::int64_t n = a.rows * a.C;
  BF_CHECK(a.x.len == n && a.y.len == n, "batch_norm: x has ", a.x.len, ", y ", a.y.len, " elements, expected ", n);
  check_vectors(a.C, {{"gamma", a.gamma.len},
                      {"beta", a.beta.len},
                      {"running_mean", a.running_mean.len},
                      {"running_var", a.running_var.len},
                      {"mean", a.mean.len},
                      {"rstd", a.rstd.len}});
  BF_CHECK(!a.training || a.workspace.len >= batch_norm_fwd_workspace(a.rows, a.C), "batch_norm: workspace of ",
           a.workspace.len, " floats, expected ", batch_norm_fwd_workspace(a.rows, a.C));
}
template <class T>
void check(const BatchNormBwd<T>& a) {
  BF_CHECK(a.rows >= 0 && a.C > 0, "batch_norm: rows=", a.rows, " C=", a.C);
  const std::int64_t n = a.rows * a.C;
  BF_CHECK(a.dy.len == n && a.x.len == n, "batch_norm: dy has ", a.dy.len, ", x ", a.x.len, " elements, expected ", n);
  check_vectors(a.C, {{"gamma", a.gamma.len}, {"mean", a.mean.len}, {"rstd", a.rstd.len}});
  BF_CHECK(a.dx_mode == GradMode::skip || a.dx.len == n, "batch_norm: dx has ", a.dx.len, " elements, expected ", n);
  if (a.dgamma_mode != GradMode::skip) check_vectors(a.C, {{"dgamma", a.dgamma.len}});
  if (a.dbeta_mode != GradMode::skip) check_vectors(a.C, {{"dbeta", a.dbeta.len}});
  BF_CHECK(!batch_norm_needs_sums(a) || a.workspace.len >= batch_norm_bwd_workspace(a.rows, a.C),
           "batch_norm: workspace of ", a.workspace.len, " floats, expected ", batch_norm_bwd_workspace(a.rows, a.C));
}

template void check(const BatchNormFwd<float>&);
template void check(const BatchNormFwd<bf16>&);
template void check(const BatchNormBwd<float>&);
template void check(const BatchNormBwd<bf16>&);

namespace cpu {

template <class T>
void batch_norm_fwd(const BatchNormFwd<T>& a) {
  check(a);
  if (a.training)
    statistics(a);
  else
    for (std::int64_t c = 0; c < a.C; ++c)
      a.mean[c] = a.running_mean[c], a.rstd[c] = 1 / std::sqrt(a.running_var[c] + a.eps);
  for_runs(ceil_div(a.rows, kGrain), a.C, [&](std::int64_t p, std::int64_t c0, std::int64_t channels) {
    Run mean, scale, beta;
    std::copy_n(a.mean.ptr + c0, channels, mean.v);
    std::copy_n(a.beta.ptr + c0, channels, beta.v);
    for (std::int64_t c = 0; c < channels; ++c) scale.v[c] = a.gamma[c0 + c] * a.rstd[c0 + c];
    for (std::int64_t row = p * kGrain; row < std::min((p + 1) * kGrain, a.rows); ++row) {
      const T* x = a.x.ptr + row * a.C + c0;
      T* y = a.y.ptr + row * a.C + c0;
      for (std::int64_t c = 0; c < channels; ++c) put(y[c], (to_f32(x[c]) - mean.v[c]) * scale.v[c] + beta.v[c]);
    }
  });
}

template <class T>
void batch_norm_bwd(const BatchNormBwd<T>& a) {
  check(a);
  const std::int64_t C = a.C;
  const float* sums = a.workspace.ptr + row_pieces(a.rows) * 2 * C;  // of dy xh, then of dy
  if (batch_norm_needs_sums(a)) {
    gradient_sums(a);
    store_gradient(a.dgamma_mode, a.dgamma, 0, a.dgamma.len, [&](std::int64_t c) { return sums[c]; });
    store_gradient(a.dbeta_mode, a.dbeta, 0, a.dbeta.len, [&](std::int64_t c) { return sums[C + c]; });
  }
  if (a.dx_mode == GradMode::skip) return;
  for_runs(ceil_div(a.rows, kGrain), C, [&](std::int64_t p, std::int64_t c0, std::int64_t channels) {
    Run mean{}, scale, of_one{}, of_xh{};
    for (std::int64_t c = 0; c < channels; ++c) {
      scale.v[c] = a.gamma[c0 + c] * a.rstd[c0 + c];
      if (!a.training) continue;
      mean.v[c] = a.mean[c0 + c];
      of_one.v[c] = sums[C + c0 + c] / float(a.rows);
      of_xh.v[c] = sums[c0 + c] / float(a.rows) * a.rstd[c0 + c];
    }
    for (std::int64_t row = p * kGrain; row < std::min((p + 1) * kGrain, a.rows); ++row) {
      const T *x = a.x.ptr + row * C + c0, *dy = a.dy.ptr + row * C + c0;
      const Span<T> dx = a.dx.slice(row * C + c0, channels);
      if (a.training)
        store_gradient(a.dx_mode, dx, 0, channels, [&](std::int64_t c) {
          return scale.v[c] * (to_f32(dy[c]) - of_one.v[c] - (to_f32(x[c]) - mean.v[c]) * of_xh.v[c]);
        });
      else
        store_gradient(a.dx_mode, dx, 0, channels, [&](std::int64_t c) { return scale.v[c] * to_f32(dy[c]); });
    }
  });
}

template void batch_norm_fwd(const BatchNormFwd<float>&);
template void batch_norm_fwd(const BatchNormFwd<bf16>&);
template void batch_norm_bwd(const BatchNormBwd<float>&);
template void batch_norm_bwd(const BatchNormBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
