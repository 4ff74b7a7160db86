// kernels/convnext_mlp/cpu.cpp — the block on the CPU: oneDNN products of one tile each, the element-wise work between
// them while the tile is in the cache.
#include <algorithm>
#include <cmath>

#include "engine/parallel.h"
#include "kernels/convnext_mlp/loops.h"
#include "kernels/convnext_mlp/packed.h"
#include "kernels/convnext_mlp/plan.h"
#include "kernels/layer_norm/layer_norm.h"

namespace bonafide::kernels {

// ---------------------------------------------------------------- cutting columns, packing

std::vector<ColumnChunk> column_chunks(std::int64_t columns) {
  constexpr std::int64_t kWidest = 384, kStep = 16;
  const std::int64_t width = ceil_div(ceil_div(columns, ceil_div(columns, kWidest)), kStep) * kStep;
  std::vector<ColumnChunk> chunks;
  for (std::int64_t c = 0; c < columns; c += width) chunks.push_back({c, std::min(width, columns - c)});
  return chunks;
}

namespace {

using namespace convnext_mlp_cpu;

// What a group keeps in the last-level cache until the sums over its samples are known.
constexpr std::int64_t kGroupBytes = 10 << 20;
// Products over fewer rows than this read their weights as they lie: packing them would cost more than it saves.
constexpr std::int64_t kRowsWorthPacking = 3000;
// Tiles that keep a few threads busy by themselves; with fewer, columns are spread over threads as well.
constexpr std::int64_t kManyTiles = 8;

// Hands out pieces of a workspace. Over an empty one it only counts.
class Carver {
 public:
  explicit Carver(Span<float> from = {}) : from_(from) {}
  template <class P = float>
  P* take(std::int64_t n) {
    float* p = from_ ? from_.ptr + used_ : nullptr;
    used_ += ceil_div<std::int64_t>(n * std::int64_t(sizeof(P)), 64) * 16;
    return reinterpret_cast<P*>(p);
  }
  std::int64_t used() const { return used_; }

 private:
  Span<float> from_;
  std::int64_t used_ = 0;
};

// A [rows, columns] matrix stored chunk of columns by chunk of columns, each of them dense: oneDNN's fast kernels take
// nothing else.
template <class T>
struct Panels {
  T* base;
  std::int64_t rows;
  Rows<T> at(const ColumnChunk& c, std::int64_t row) const { return {base + c.begin * rows + row * c.width, c.width}; }
};

// The right-hand sides of the products of one weight: b [k, n] cut into chunks, of its columns or of its rows.
template <class T>
struct RightHandSides {
  const T* b;
  std::int64_t k, n, b_row, b_col;
  bool cut_columns;
  std::vector<ColumnChunk> chunks;
  std::vector<PackedOperand<T>> own;
  const std::vector<PackedOperand<T>>* packed = nullptr;

  RightHandSides(const T* b_, std::int64_t k_, std::int64_t n_, std::int64_t b_row_, std::int64_t b_col_,
                 bool cut_columns_)
      : b(b_),
        k(k_),
        n(n_),
        b_row(b_row_),
        b_col(b_col_),
        cut_columns(cut_columns_),
        chunks(column_chunks(cut_columns ? n : k)) {}
  void pack() {
    own.resize(chunks.size());
    parallel_for(std::int64_t(chunks.size()), [&](std::int64_t i) {
      const auto& c = chunks[std::size_t(i)];
      own[std::size_t(i)] =
          PackedOperand<T>(start(c), cut_columns ? k : c.width, cut_columns ? c.width : n, b_row, b_col);
    });
    packed = &own;
  }
  const T* start(const ColumnChunk& c) const { return b + c.begin * (cut_columns ? b_col : b_row); }

  // c = (add ? c : 0) + a b_i + bias; a [m, .] and c [m, .] are dense.
  void multiply(std::size_t i, std::int64_t m, const T* a, const float* bias, T* c, bool add = false) const {
    const auto& chunk = chunks[i];
    GemmShape s{.m = m, .n = cut_columns ? chunk.width : n, .k = cut_columns ? k : chunk.width};
    s.a_row = s.k, s.b_row = b_row, s.b_col = b_col, s.c_row = s.n;
    s.bias = bias != nullptr, s.add = add;
    const T* from = start(chunk);
    if (packed && (*packed)[i]) s.packed = true, s.b_row = s.b_col = 0, from = (*packed)[i].data();
    gemm_tile<T, T>(s, a, from, bias ? bias + chunk.begin : nullptr, c);
  }
};

// Items of a product's phase: whole tiles, or tiles times chunks where there are few of them.
struct Items {
  std::int64_t tiles, chunks;
  bool cut() const { return tiles < kManyTiles; }
  std::int64_t count() const { return cut() ? tiles * chunks : tiles; }
  std::int64_t tile(std::int64_t i) const { return cut() ? i / chunks : i; }
  std::size_t first(std::int64_t i) const { return std::size_t(cut() ? i % chunks : 0); }
  std::size_t last(std::int64_t i) const { return std::size_t(cut() ? i % chunks + 1 : chunks); }
};

// to = (write ? 0 : to) + sum over tiles of partial[t][.], in order, in f64.
void sum_tiles(Span<float> to, GradMode mode, const float* partial, std::int64_t tiles, std::int64_t stride) {
  if (mode == GradMode::skip) return;
  parallel_ranges(to.len, 64, [&](std::int64_t begin, std::int64_t end) {
    double sum[64] = {};
    for (std::int64_t t = 0; t < tiles; ++t)
      for (std::int64_t c = begin; c < end; ++c) sum[c - begin] += double(partial[t * stride + c]);
    for (std::int64_t c = begin; c < end; ++c) to[c] = (mode == GradMode::add ? to[c] : 0.0f) + float(sum[c - begin]);
  });
}

// M and 1 + gamma N of one sample from its G (grn.h).
float mean_of(const float* G, std::int64_t hidden, float eps) {
  double sum = 0;
  for (std::int64_t c = 0; c < hidden; ++c) sum += double(G[c]);
  return float(sum / double(hidden)) + eps;
}
void grn_scale(const float* G, const float* gamma, std::int64_t hidden, float eps, float* scale) {
  const float inverse = 1 / mean_of(G, hidden, eps);
  for (std::int64_t c = 0; c < hidden; ++c) scale[c] = 1 + gamma[c] * (G[c] * inverse);
}

template <class T>
void check_parameters(const ConvNeXtMlpShape& s, const ConvNeXtMlpParameters<T>& p) {
  BF_CHECK(s.N >= 0 && s.HW > 0 && s.C > 0, "convnext_mlp: N ", s.N, ", HW ", s.HW, ", C ", s.C);
  const auto vector = [](const char* name, std::int64_t got, std::int64_t want) {
    BF_CHECK(got == want, "convnext_mlp: ", name, " has ", got, " elements, expected ", want);
  };
  vector("norm_gamma", p.norm_gamma.len, s.C), vector("norm_beta", p.norm_beta.len, s.C);
  vector("w1", p.w1.len, s.hidden() * s.C), vector("b1", p.b1.len, s.hidden());
  vector("grn_gamma", p.grn_gamma.len, s.hidden()), vector("grn_beta", p.grn_beta.len, s.hidden());
  vector("w2", p.w2.len, s.hidden() * s.C), vector("b2", p.b2.len, s.C);
}
void check_length(const char* name, std::int64_t got, std::int64_t want) {
  BF_CHECK(got == want, "convnext_mlp: ", name, " has ", got, " elements, expected ", want);
}
void check_gradient(const char* name, Span<float> g, GradMode mode, std::int64_t want) {
  if (mode != GradMode::skip) check_length(name, g.len, want);
}

// W1^T and W2^T as forward reads them.
template <class T>
RightHandSides<T> fwd_w1(const T* w1, std::int64_t C) {
  return {w1, C, 4 * C, 1, C, /*cut_columns=*/true};
}
template <class T>
RightHandSides<T> fwd_w2(const T* w2, std::int64_t C) {
  return {w2, 4 * C, C, 1, 4 * C, /*cut_columns=*/true};
}

// ---------------------------------------------------------------- memory

template <class T>
struct FwdMemory {
  struct Lane {
    T *n, *h, *a, *t;
    float* statistics;
  };
  T* z;
  float *squares, *G, *scale;
  std::vector<Lane> lanes;

  FwdMemory(const Plan& p, const ConvNeXtMlpShape& s, bool keeps_h, Carver& w) {
    const std::int64_t H = s.hidden(), m = kConvNeXtTileRows;
    z = w.take<T>(p.rows_per_group() * H);
    squares = w.take(p.tiles_per_group() * p.samples_per_tile * H);
    G = w.take(std::min(p.samples_per_group, s.N) * H);
    scale = w.take(std::min(p.samples_per_group, s.N) * H);
    lanes.resize(std::size_t(parallel_lanes()));
    for (Lane& l : lanes) {
      l.n = w.take<T>(m * s.C);
      l.h = w.take<T>(keeps_h ? 0 : m * column_chunks(H)[0].width);
      l.a = w.take<T>(m * H);
      l.t = w.take<T>(m * column_chunks(s.C)[0].width);
      l.statistics = w.take(2 * m);
    }
  }
};
template <class T>
Plan fwd_plan(const ConvNeXtMlpShape& s) {
  return Plan(s, s.HW * s.hidden() * std::int64_t(sizeof(T)), kGroupBytes);
}

// Weight gradients: the rows of a group are summed in parts, kept apart over all groups.
struct WeightParts {
  std::int64_t count, rows;
  explicit WeightParts(std::int64_t rows_per_group)
      : count(std::clamp<std::int64_t>(rows_per_group / 1536, 1, 8)), rows(ceil_div(rows_per_group, count)) {}
};

template <class T>
struct BwdMemory {
  struct Lane {
    T* dn;
    float *statistics, *norm_work;
  };
  Panels<T> da, zd, a;  // [rows of a group, 4C]
  T *n, *g;
  float *da_z, *da_sum;                    // of each tile's samples, [4C]
  float *scale, *q;                        // of each sample of a group, [4C]
  float *dgamma_sample, *dbeta_sample;     // of each sample of the batch, [4C]
  float *db1_tile, *db2_tile, *norm_tile;  // of each tile of the batch: [4C], [C], [2C]
  float *dw1_part, *dw2_part;              // parts of dW1 (unless there is one) and of dW2^T
  std::vector<Lane> lanes;

  BwdMemory(const Plan& p, const ConvNeXtMlpShape& s, Carver& w) {
    const std::int64_t H = s.hidden(), m = kConvNeXtTileRows, in_group = std::min(p.samples_per_group, s.N);
    const std::int64_t rows = p.rows_per_group();
    for (Panels<T>* p4 : {&da, &zd, &a}) *p4 = {w.take<T>(rows * H), rows};
    n = w.take<T>(rows * s.C), g = w.take<T>(rows * s.C);
    da_z = w.take(p.tiles_per_group() * p.samples_per_tile * H),
    da_sum = w.take(p.tiles_per_group() * p.samples_per_tile * H);
    scale = w.take(in_group * H), q = w.take(in_group * H);
    dgamma_sample = w.take(s.N * H), dbeta_sample = w.take(s.N * H);
    db1_tile = w.take(p.all_tiles() * H), db2_tile = w.take(p.all_tiles() * s.C),
    norm_tile = w.take(p.all_tiles() * 2 * s.C);
    const std::int64_t parts = WeightParts(rows).count;
    dw1_part = w.take(parts * H * s.C), dw2_part = w.take(parts * H * s.C);
    lanes.resize(std::size_t(parallel_lanes()));
    for (Lane& l : lanes) {
      l.dn = w.take<T>(m * s.C);
      l.statistics = w.take(2 * m);
      l.norm_work = w.take(layer_norm_bwd_workspace(m, int(s.C)));
    }
  }
};
template <class T>
Plan bwd_plan(const ConvNeXtMlpShape& s) {
  return Plan(s, 3 * s.HW * s.hidden() * std::int64_t(sizeof(T)), 3 * kGroupBytes / 2);
}

}  // namespace

template <class T>
std::int64_t convnext_mlp_fwd_workspace(const ConvNeXtMlpShape& s, bool keeps_h) {
  Carver count;
  FwdMemory<T>(fwd_plan<T>(s), s, keeps_h, count);
  return count.used();
}
template <class T>
std::int64_t convnext_mlp_bwd_workspace(const ConvNeXtMlpShape& s) {
  Carver count;
  BwdMemory<T>(bwd_plan<T>(s), s, count);
  return count.used();
}

template <class T>
void check(const ConvNeXtMlpFwd<T>& a) {
  const ConvNeXtMlpShape& s = a.shape;
  check_parameters(s, a.p);
  check_length("u", a.u.len, s.rows() * s.C), check_length("x", a.x.len, s.rows() * s.C);
  check_length("y", a.y.len, s.rows() * s.C);
  if (a.scale) check_length("scale", a.scale.len, s.N);
  if (a.h) {
    check_length("h", a.h.len, s.rows() * s.hidden()), check_length("G", a.G.len, s.N * s.hidden());
    check_length("mean", a.mean.len, s.rows()), check_length("rstd", a.rstd.len, s.rows());
  }
  const std::int64_t need = convnext_mlp_fwd_workspace<T>(s, bool(a.h));
  BF_CHECK(a.workspace.len >= need, "convnext_mlp: workspace has ", a.workspace.len, " floats, expected ", need);
}
template <class T>
void check(const ConvNeXtMlpBwd<T>& a) {
  const ConvNeXtMlpShape& s = a.shape;
  check_parameters(s, a.p);
  check_length("dy", a.dy.len, s.rows() * s.C), check_length("u", a.u.len, s.rows() * s.C);
  check_length("h", a.h.len, s.rows() * s.hidden()), check_length("G", a.G.len, s.N * s.hidden());
  check_length("mean", a.mean.len, s.rows()), check_length("rstd", a.rstd.len, s.rows());
  check_length("du", a.du.len, s.rows() * s.C);
  if (a.scale) check_length("scale", a.scale.len, s.N);
  check_gradient("dnorm_gamma", a.dnorm_gamma, a.dnorm_gamma_mode, s.C);
  check_gradient("dnorm_beta", a.dnorm_beta, a.dnorm_beta_mode, s.C);
  check_gradient("dw1", a.dw1, a.dw1_mode, s.hidden() * s.C), check_gradient("db1", a.db1, a.db1_mode, s.hidden());
  check_gradient("dgrn_gamma", a.dgrn_gamma, a.dgrn_gamma_mode, s.hidden());
  check_gradient("dgrn_beta", a.dgrn_beta, a.dgrn_beta_mode, s.hidden());
  check_gradient("dw2", a.dw2, a.dw2_mode, s.hidden() * s.C), check_gradient("db2", a.db2, a.db2_mode, s.C);
  const std::int64_t need = convnext_mlp_bwd_workspace<T>(s);
  BF_CHECK(a.workspace.len >= need, "convnext_mlp: workspace has ", a.workspace.len, " floats, expected ", need);
}

namespace cpu {

// ---------------------------------------------------------------- forward

template <class T>
void convnext_mlp_fwd(const ConvNeXtMlpFwd<T>& a) {
  check(a);
  if (a.shape.N == 0) return;
  const std::int64_t N = a.shape.N, HW = a.shape.HW, C = a.shape.C, H = 4 * C;
  const Plan plan = fwd_plan<T>(a.shape);
  Carver carver(a.workspace);
  const FwdMemory<T> mem(plan, a.shape, bool(a.h), carver);

  auto w1 = fwd_w1(a.p.w1.ptr, C), w2 = fwd_w2(a.p.w2.ptr, C);
  if (a.packed)
    w1.packed = &a.packed->w1(), w2.packed = &a.packed->w2();
  else if (N * HW >= kRowsWorthPacking)
    w1.pack(), w2.pack();
  const Panels<T> h_kept{a.h.ptr, N * HW};

  for (std::int64_t group = 0; group < plan.groups; ++group) {
    const std::int64_t s0 = plan.first_sample(group), row0 = s0 * HW;
    const Items first{plan.tiles(group), std::int64_t(w1.chunks.size())};
    parallel_for_lanes(first.count(), [&](std::int64_t i, int lane) {
      const auto& l = mem.lanes[std::size_t(lane)];
      const Tile t = plan.tile(group, first.tile(i));
      const bool keep = a.h && first.first(i) == 0;  // one item of a tile writes the statistics
      const auto rows = [&](auto span, std::int64_t width) {
        return decltype(span){span.ptr + t.row * width, t.rows * width};
      };
      layer_norm_fwd<T>({.x = rows(a.u, C),
                         .gamma = a.p.norm_gamma,
                         .beta = a.p.norm_beta,
                         .y = {l.n, t.rows * C},
                         .mean = keep ? rows(a.mean, 1) : Span<float>{l.statistics, t.rows},
                         .rstd = keep ? rows(a.rstd, 1) : Span<float>{l.statistics + kConvNeXtTileRows, t.rows},
                         .rows = t.rows,
                         .C = int(C),
                         .eps = a.eps});
      for (std::size_t j = first.first(i); j < first.last(i); ++j) {
        const auto [c0, width] = w1.chunks[j];
        const Rows<T> h = a.h ? h_kept.at(w1.chunks[j], t.row) : Rows<T>{l.h, width};
        w1.multiply(j, t.rows, l.n, a.p.b1.ptr, h.ptr);
        std::int64_t part = first.tile(i) * plan.samples_per_tile;
        plan.for_samples(t, [&, c0 = c0, width = width](std::int64_t, std::int64_t row, std::int64_t count) {
          run(GeluSquares<T>{.h = {h.ptr + (row - t.row) * h.stride, h.stride},
                             .z = {mem.z + (row - row0) * H + c0, H},
                             .squares = mem.squares + part++ * H + c0},
              count, width);
        });
      }
    });

    parallel_for(plan.samples(group), [&](std::int64_t s) {
      const std::int64_t first_part = s * plan.pieces, parts = plan.pieces;  // whole samples in a tile: one part each
      float* G = a.G ? a.G.ptr + (s0 + s) * H : mem.G + s * H;
      for (std::int64_t c = 0; c < H; ++c) {
        double sum = 0;
        for (std::int64_t p = 0; p < parts; ++p) sum += double(mem.squares[(first_part + p) * H + c]);
        G[c] = float(std::sqrt(sum));
      }
      grn_scale(G, a.p.grn_gamma.ptr, H, a.eps, mem.scale + s * H);
    });

    const Items second{plan.tiles(group), std::int64_t(w2.chunks.size())};
    parallel_for_lanes(second.count(), [&](std::int64_t i, int lane) {
      const auto& l = mem.lanes[std::size_t(lane)];
      const Tile t = plan.tile(group, second.tile(i));
      plan.for_samples(t, [&](std::int64_t sample, std::int64_t row, std::int64_t count) {
        run(ScaleShift<T>{.z = {mem.z + (row - row0) * H, H},
                          .scale = mem.scale + (sample - s0) * H,
                          .shift = a.p.grn_beta.ptr,
                          .a = {l.a + (row - t.row) * H, H}},
            count, H);
      });
      for (std::size_t j = second.first(i); j < second.last(i); ++j) {
        const auto [c0, width] = w2.chunks[j];
        w2.multiply(j, t.rows, l.a, a.p.b2.ptr, l.t);
        plan.for_samples(t, [&, c0 = c0, width = width](std::int64_t sample, std::int64_t row, std::int64_t count) {
          run(AddScaled<T>{.x = {a.x.ptr + row * C + c0, C},
                           .t = {l.t + (row - t.row) * width, width},
                           .s = a.scale ? a.scale[sample] : 1,
                           .y = {a.y.ptr + row * C + c0, C}},
              count, width);
        });
      }
    });
  }
}

// ---------------------------------------------------------------- backward

namespace {

// dW1^T += n^T dh and dW2 += g^T a over the rows of one group: parts of the rows x chunks of the 4C axis, both
// products. The operand that is read across its rows is the narrow one, which stays in the cache; the wide one is read
// once, in order. A part is stored chunk by chunk, [C, width] each.
template <class T>
void weight_gradients(const ConvNeXtMlpBwd<T>& a, const BwdMemory<T>& mem, const T* g, std::int64_t rows,
                      const WeightParts& parts, bool first_group) {
  const std::int64_t C = a.shape.C;
  const auto chunks = column_chunks(4 * C);
  const std::int64_t each = parts.count * std::int64_t(chunks.size());
  parallel_for(2 * each, [&](std::int64_t i) {
    const bool is_w1 = i < each;
    if ((is_w1 ? a.dw1_mode : a.dw2_mode) == GradMode::skip) return;
    const std::int64_t part = i % each / std::int64_t(chunks.size()), r0 = part * parts.rows;
    const std::int64_t k = std::min(parts.rows, rows - r0);
    if (k <= 0) return;
    const ColumnChunk& chunk = chunks[std::size_t(i % std::int64_t(chunks.size()))];
    gemm_tile<T, float>({.m = C,
                         .n = chunk.width,
                         .k = k,
                         .a_row = 1,
                         .a_col = C,
                         .b_row = chunk.width,
                         .c_row = chunk.width,
                         .add = !first_group},
                        (is_w1 ? mem.n : g) + r0 * C, (is_w1 ? mem.da : mem.a).at(chunk, r0).ptr, nullptr,
                        (is_w1 ? mem.dw1_part : mem.dw2_part) + part * 4 * C * C + chunk.begin * C);
  });
}

// to = (add ? to : 0) + the parts of weight_gradients() in order. W2's gradient is [C, 4C] as the products leave it,
// W1's is the transpose.
void sum_weight_parts(Span<float> to, GradMode mode, const float* partial, std::int64_t parts, std::int64_t C,
                      bool transposed) {
  if (mode == GradMode::skip) return;
  constexpr std::int64_t kBlock = 16;
  const auto chunks = column_chunks(4 * C);
  parallel_for(ceil_div(C, kBlock) * std::int64_t(chunks.size()), [&](std::int64_t item) {
    const ColumnChunk& chunk = chunks[std::size_t(item) % chunks.size()];
    const std::int64_t r0 = item / std::int64_t(chunks.size()) * kBlock, r1 = std::min(C, r0 + kBlock);
    for (std::int64_t c0 = 0; c0 < chunk.width; c0 += kBlock) {
      const std::int64_t c1 = std::min(chunk.width, c0 + kBlock);
      float sum[kBlock][kBlock] = {};
      for (std::int64_t p = 0; p < parts; ++p)
        for (std::int64_t r = r0; r < r1; ++r)
          for (std::int64_t c = c0; c < c1; ++c)
            sum[r - r0][c - c0] += partial[p * 4 * C * C + chunk.begin * C + r * chunk.width + c];
      const auto put = [&](std::int64_t r, std::int64_t c) {
        float& f = to[transposed ? (chunk.begin + c) * C + r : r * 4 * C + chunk.begin + c];
        f = (mode == GradMode::add ? f : 0) + sum[r - r0][c - c0];
      };
      if (transposed)
        for (std::int64_t c = c0; c < c1; ++c)
          for (std::int64_t r = r0; r < r1; ++r) put(r, c);
      else
        for (std::int64_t r = r0; r < r1; ++r)
          for (std::int64_t c = c0; c < c1; ++c) put(r, c);
    }
  });
}

}  // namespace

template <class T>
void convnext_mlp_bwd(const ConvNeXtMlpBwd<T>& a) {
  check(a);
  const std::int64_t N = a.shape.N, HW = a.shape.HW, C = a.shape.C, H = 4 * C;
  const Plan plan = bwd_plan<T>(a.shape);
  Carver carver(a.workspace);
  const BwdMemory<T> mem(plan, a.shape, carver);
  const WeightParts parts(plan.rows_per_group());

  // g W2, and dh W1 summed over chunks of dh's columns.
  RightHandSides<T> w2(a.p.w2.ptr, C, H, H, 1, /*cut_columns=*/true), w1(a.p.w1.ptr, H, C, C, 1, /*cut_columns=*/false);
  if (N * HW >= kRowsWorthPacking) w2.pack(), w1.pack();
  const Panels<const T> h{a.h.ptr, N * HW};

  for (std::int64_t group = 0; group < plan.groups; ++group) {
    const std::int64_t s0 = plan.first_sample(group), row0 = s0 * HW, tile0 = plan.first_tile(group);
    // g: dy, or with a scale its scaled copy.
    const T* g = a.scale ? mem.g : a.dy.ptr + row0 * C;
    parallel_for(plan.samples(group), [&](std::int64_t s) {
      grn_scale(a.G.ptr + (s0 + s) * H, a.p.grn_gamma.ptr, H, a.eps, mem.scale + s * H);
    });
    if (a.scale)
      parallel_for(plan.samples(group), [&](std::int64_t s) {
        run(AddScaled<T>{.x = {nullptr, 0},
                         .t = {a.dy.ptr + (s0 + s) * HW * C, C},
                         .s = a.scale[s0 + s],
                         .y = {mem.g + s * HW * C, C}},
            HW, C);
      });

    const Items first{plan.tiles(group), std::int64_t(w2.chunks.size())};
    parallel_for(first.count(), [&](std::int64_t i) {
      const Tile t = plan.tile(group, first.tile(i));
      const T* gt = g + (t.row - row0) * C;
      if (first.first(i) == 0) run(ColumnSums<T>{{gt, C}, mem.db2_tile + (tile0 + first.tile(i)) * C}, t.rows, C);
      for (std::size_t j = first.first(i); j < first.last(i); ++j) {
        const ColumnChunk& chunk = w2.chunks[j];
        w2.multiply(j, t.rows, gt, nullptr, mem.da.at(chunk, t.row - row0).ptr);
        std::int64_t part = first.tile(i) * plan.samples_per_tile;
        plan.for_samples(t, [&](std::int64_t sample, std::int64_t row, std::int64_t count) {
          run(BwdBeforeSums<T>{.h = h.at(chunk, row),
                               .scale = mem.scale + (sample - s0) * H + chunk.begin,
                               .shift = a.p.grn_beta.ptr + chunk.begin,
                               .da = mem.da.at(chunk, row - row0),
                               .zd = mem.zd.at(chunk, row - row0),
                               .a = mem.a.at(chunk, row - row0),
                               .da_z = mem.da_z + part * H + chunk.begin,
                               .da_sum = mem.da_sum + part * H + chunk.begin},
              count, chunk.width);
          ++part;
        });
      }
    });

    // S, B, and q = dG / G (grn.h).
    parallel_for(plan.samples(group), [&](std::int64_t s) {
      const float *G = a.G.ptr + (s0 + s) * H, *gamma = a.p.grn_gamma.ptr;
      float *dgamma = mem.dgamma_sample + (s0 + s) * H, *dbeta = mem.dbeta_sample + (s0 + s) * H, *q = mem.q + s * H;
      const float M = mean_of(G, H, a.eps);
      double sum_ag = 0;
      for (std::int64_t c = 0; c < H; ++c) {
        double S = 0, B = 0;
        for (std::int64_t p = s * plan.pieces; p < (s + 1) * plan.pieces; ++p)
          S += double(mem.da_z[p * H + c]), B += double(mem.da_sum[p * H + c]);
        q[c] = gamma[c] * float(S);
        sum_ag += double(q[c]) * double(G[c]);
        dgamma[c] = float(S) * (G[c] / M), dbeta[c] = float(B);
      }
      const float shared = float(sum_ag / (double(H) * double(M) * double(M)));
      for (std::int64_t c = 0; c < H; ++c) q[c] = G[c] > 0 ? (q[c] / M - shared) / G[c] : 0;
    });

    parallel_for_lanes(plan.tiles(group), [&](std::int64_t i, int lane) {
      const auto& l = mem.lanes[std::size_t(lane)];
      const Tile t = plan.tile(group, i);
      float* db1 = mem.db1_tile + (tile0 + i) * H;
      float* later = mem.da_sum + i * plan.samples_per_tile * H;  // sums of the tile's other samples; read by now
      for (std::size_t j = 0; j < w1.chunks.size(); ++j) {
        const ColumnChunk& chunk = w1.chunks[j];
        plan.for_samples(t, [&](std::int64_t sample, std::int64_t row, std::int64_t count) {
          const bool is_first = sample == t.sample;
          run(BwdAfterSums<T>{.da = mem.da.at(chunk, row - row0),
                              .zd = {mem.zd.at(chunk, row - row0).ptr, chunk.width},
                              .q = mem.q + (sample - s0) * H + chunk.begin,
                              .sum = is_first ? db1 + chunk.begin : later},
              count, chunk.width);
          for (std::int64_t c = 0; c < chunk.width && !is_first; ++c) db1[chunk.begin + c] += later[c];
        });
        w1.multiply(j, t.rows, mem.da.at(chunk, t.row - row0).ptr, nullptr, l.dn, /*add=*/j > 0);
      }
      const Span<const T> u{a.u.ptr + t.row * C, t.rows * C};
      float* norm = mem.norm_tile + (tile0 + i) * 2 * C;
      layer_norm_bwd<T>({.dy = {l.dn, t.rows * C},
                         .x = u,
                         .gamma = a.p.norm_gamma,
                         .mean = {a.mean.ptr + t.row, t.rows},
                         .rstd = {a.rstd.ptr + t.row, t.rows},
                         .dx = {a.du.ptr + t.row * C, t.rows * C},
                         .dgamma = {norm, C},
                         .dbeta = {norm + C, C},
                         .workspace = {l.norm_work, layer_norm_bwd_workspace(t.rows, int(C))},
                         .rows = t.rows,
                         .C = int(C)});
      layer_norm_fwd<T>({.x = u,
                         .gamma = a.p.norm_gamma,
                         .beta = a.p.norm_beta,
                         .y = {mem.n + (t.row - row0) * C, t.rows * C},
                         .mean = {l.statistics, t.rows},
                         .rstd = {l.statistics + kConvNeXtTileRows, t.rows},
                         .rows = t.rows,
                         .C = int(C),
                         .eps = a.eps});
    });
    weight_gradients(a, mem, g, plan.samples(group) * HW, parts, group == 0);
  }

  if (N == 0) {
    for (auto [span, mode] : {std::pair{a.dw1, a.dw1_mode}, {a.dw2, a.dw2_mode}})
      if (mode == GradMode::write) std::fill(span.begin(), span.end(), 0.0f);
  } else {
    sum_weight_parts(a.dw1, a.dw1_mode, mem.dw1_part, parts.count, C, /*transposed=*/true);
    sum_weight_parts(a.dw2, a.dw2_mode, mem.dw2_part, parts.count, C, /*transposed=*/false);
  }
  sum_tiles(a.db1, a.db1_mode, mem.db1_tile, plan.all_tiles(), H);
  sum_tiles(a.db2, a.db2_mode, mem.db2_tile, plan.all_tiles(), C);
  sum_tiles(a.dnorm_gamma, a.dnorm_gamma_mode, mem.norm_tile, plan.all_tiles(), 2 * C);
  sum_tiles(a.dnorm_beta, a.dnorm_beta_mode, mem.norm_tile + C, plan.all_tiles(), 2 * C);
  sum_tiles(a.dgrn_gamma, a.dgrn_gamma_mode, mem.dgamma_sample, N, H);
  sum_tiles(a.dgrn_beta, a.dgrn_beta_mode, mem.dbeta_sample, N, H);
}

template void convnext_mlp_fwd(const ConvNeXtMlpFwd<float>&);
template void convnext_mlp_fwd(const ConvNeXtMlpFwd<bf16>&);
template void convnext_mlp_bwd(const ConvNeXtMlpBwd<float>&);
template void convnext_mlp_bwd(const ConvNeXtMlpBwd<bf16>&);

}  // namespace cpu

template <class T>
ConvNeXtMlpPacked<T>::ConvNeXtMlpPacked(Span<const T> w1, Span<const T> w2, std::int64_t C) {
  BF_CHECK(w1.len == 4 * C * C && w2.len == 4 * C * C, "w1 and w2 have ", w1.len, " and ", w2.len,
           " elements, expected ", 4 * C * C);
  auto first = fwd_w1(w1.ptr, C), second = fwd_w2(w2.ptr, C);
  first.pack(), second.pack();
  w1_ = std::move(first.own), w2_ = std::move(second.own);
}

template class ConvNeXtMlpPacked<float>;
template class ConvNeXtMlpPacked<bf16>;
template std::int64_t convnext_mlp_fwd_workspace<float>(const ConvNeXtMlpShape&, bool);
template std::int64_t convnext_mlp_fwd_workspace<bf16>(const ConvNeXtMlpShape&, bool);
template std::int64_t convnext_mlp_bwd_workspace<float>(const ConvNeXtMlpShape&);
template std::int64_t convnext_mlp_bwd_workspace<bf16>(const ConvNeXtMlpShape&);

}  // namespace bonafide::kernels
