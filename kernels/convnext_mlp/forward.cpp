// kernels/convnext_mlp/forward.cpp — the block forward on the CPU: oneDNN products of one tile each, the element-wise
// work between them while the tile is in the cache.
#include <cmath>

#include "kernels/convnext_mlp/common.h"
#include "kernels/convnext_mlp/cuda_memory.h"
#include "kernels/convnext_mlp/plan.h"
#include "kernels/convnext_mlp/products.h"
#include "kernels/layer_norm/layer_norm.h"

namespace bonafide::kernels {
namespace {

using namespace convnext_mlp_cpu;

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

}  // namespace

template <class T>
std::int64_t convnext_mlp_fwd_workspace(Device::Kind where, const ConvNeXtMlpShape& s, bool keeps_h) {
  Carver count;
  if (where == Device::cuda)
    convnext_mlp_cuda::FwdMemory<T>(s, keeps_h, count);
  else
    FwdMemory<T>(fwd_plan<T>(s), s, keeps_h, count);
  return count.used();
}
template <class T>
void check(const ConvNeXtMlpFwd<T>& a, Device::Kind where) {
  const ConvNeXtMlpShape& s = a.shape;
  check_parameters(s, a.p);
  check_length("u", a.u.len, s.rows() * s.C), check_length("x", a.x.len, s.rows() * s.C);
  check_length("y", a.y.len, s.rows() * s.C);
  if (a.scale) check_length("scale", a.scale.len, s.N);
  if (a.h) {
    check_length("h", a.h.len, s.rows() * s.hidden()), check_length("G", a.G.len, s.N * s.hidden());
    check_length("mean", a.mean.len, s.rows()), check_length("rstd", a.rstd.len, s.rows());
  }
  const std::int64_t need = convnext_mlp_fwd_workspace<T>(where, s, bool(a.h));
  BF_CHECK(a.workspace.len >= need, "convnext_mlp: workspace has ", a.workspace.len, " floats, expected ", need);
}
template void check(const ConvNeXtMlpFwd<float>&, Device::Kind);
template void check(const ConvNeXtMlpFwd<bf16>&, Device::Kind);

namespace cpu {

template <class T>
void convnext_mlp_fwd(const ConvNeXtMlpFwd<T>& a) {
  check(a, Device::cpu);
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

template void convnext_mlp_fwd(const ConvNeXtMlpFwd<float>&);
template void convnext_mlp_fwd(const ConvNeXtMlpFwd<bf16>&);

}  // namespace cpu

template std::int64_t convnext_mlp_fwd_workspace<float>(Device::Kind, const ConvNeXtMlpShape&, bool);
template std::int64_t convnext_mlp_fwd_workspace<bf16>(Device::Kind, const ConvNeXtMlpShape&, bool);

}  // namespace bonafide::kernels
