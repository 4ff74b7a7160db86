// kernels/convnext_mlp/backward.cpp — the block backward on the CPU. n, z and a are computed again from what forward
// kept.
#include <algorithm>

#include "kernels/convnext_mlp/common.h"
#include "kernels/convnext_mlp/cuda_memory.h"
#include "kernels/convnext_mlp/plan.h"
#include "kernels/convnext_mlp/products.h"
#include "kernels/layer_norm/layer_norm.h"

namespace bonafide::kernels {
namespace {

using namespace convnext_mlp_cpu;

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
  float *dw1_part, *dw2_part;              // weight_gradients()
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
std::int64_t convnext_mlp_bwd_workspace(Device::Kind where, const ConvNeXtMlpShape& s) {
  Carver count;
  if (where == Device::cuda)
    convnext_mlp_cuda::BwdMemory<T>(s, count);
  else
    BwdMemory<T>(bwd_plan<T>(s), s, count);
  return count.used();
}

template <class T>
void check(const ConvNeXtMlpBwd<T>& a, Device::Kind where) {
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
  const std::int64_t need = convnext_mlp_bwd_workspace<T>(where, s);
  BF_CHECK(a.workspace.len >= need, "convnext_mlp: workspace has ", a.workspace.len, " floats, expected ", need);
}
template void check(const ConvNeXtMlpBwd<float>&, Device::Kind);
template void check(const ConvNeXtMlpBwd<bf16>&, Device::Kind);

namespace cpu {
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
  check(a, Device::cpu);
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

template void convnext_mlp_bwd(const ConvNeXtMlpBwd<float>&);
template void convnext_mlp_bwd(const ConvNeXtMlpBwd<bf16>&);

}  // namespace cpu

template std::int64_t convnext_mlp_bwd_workspace<float>(Device::Kind, const ConvNeXtMlpShape&);
template std::int64_t convnext_mlp_bwd_workspace<bf16>(Device::Kind, const ConvNeXtMlpShape&);

}  // namespace bonafide::kernels
