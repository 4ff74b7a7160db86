// kernels/convnext_mlp/cuda_memory.h — how the CUDA passes divide their workspace.
#pragma once
#include "kernels/convnext_mlp/common.h"
#include "kernels/grn/grn.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/matmul/column_sums.simt.h"

namespace bonafide::kernels::convnext_mlp_cuda {

// Pieces of all samples over whose pixels sums are taken apart.
inline std::int64_t pieces(const ConvNeXtMlpShape& s) { return s.N * grn_pieces(s.HW); }

template <class T>
struct FwdMemory {
  Span<T> n, z;
  Span<float> mean, rstd, G;  // where the caller keeps none
  Span<float> squares, scale;

  FwdMemory(const ConvNeXtMlpShape& s, bool keeps_h, Carver& w) {
    n = w.span<T>(s.rows() * s.C), z = w.span<T>(s.rows() * s.hidden());
    if (!keeps_h) mean = w.span(s.rows()), rstd = w.span(s.rows()), G = w.span(s.N * s.hidden());
    squares = w.span(pieces(s) * s.hidden()), scale = w.span(s.N * s.hidden());
  }
};

template <class T>
struct BwdMemory {
  Span<T> g, n, da, a;
  Span<T> dn;                 // in a's place
  Span<float> mean, rstd;     // written once more beside n
  Span<float> da_sums;        // [pieces, 2, 4C]: of da z and da
  Span<float> factors, sums;  // grn.simt.h
  Span<float> db1_sums;       // [pieces, 4C]
  Span<float> column_sums, norm;

  BwdMemory(const ConvNeXtMlpShape& s, Carver& w) {
    const std::int64_t H = s.hidden();
    g = w.span<T>(s.rows() * s.C), n = w.span<T>(s.rows() * s.C);
    da = w.span<T>(s.rows() * H), a = w.span<T>(s.rows() * H), dn = a.slice(0, s.rows() * s.C);
    mean = w.span(s.rows()), rstd = w.span(s.rows());
    da_sums = w.span(pieces(s) * 2 * H), factors = w.span(s.N * 2 * H), sums = w.span(s.N * 2 * H);
    db1_sums = w.span(pieces(s) * H);
    const std::int64_t of_db1 = simt_bodies::column_sums_workspace(pieces(s), H),
                       of_db2 = simt_bodies::column_sums_workspace(s.rows(), s.C);
    column_sums = w.span(of_db1 > of_db2 ? of_db1 : of_db2);
    norm = w.span(layer_norm_bwd_workspace(s.rows(), int(s.C)));
  }
};

}  // namespace bonafide::kernels::convnext_mlp_cuda
