// kernels/matmul/matmul.simt.h — linear layers on CUDA: the products are cublaslt_gemm.h's; the bodies here add the
// bias, and sums of columns (column_sums.simt.h) are its gradient.
#pragma once
#include "kernels/matmul/cublaslt_gemm.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/column_sums.simt.h"

namespace bonafide::kernels {
namespace simt_bodies {
using namespace simt;

template <class T>
struct AddBias {
  Span<T> y;  // [rows, C]
  Span<const float> b;
  std::int64_t rows = 0, C = 0;
};
template <class T, class F>
void for_each_array(const AddBias<T>& a, F&& f) {
  f("y", a.y), f("b", a.b);
}

struct AddBiasKernel {
  static constexpr const char* kName = "add_bias";
  static constexpr int kMaxThreads = kStripThreads;
  static constexpr int kPieceRows = 8 * kStripRows;
  template <class T>
  static LaunchShape shape(const AddBias<T>& a) {
    return strip_shape<T>(ceil_div<std::int64_t>(a.rows, kPieceRows), a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const AddBias<T>& a) {
    const OwnColumns<T> own(block, a.C, a.y);
    if (!own) return;
    float b[kWidest<T>];
    own.load(block, b, a.b);
    const std::int64_t begin = std::int64_t(block.bx()) * kPieceRows, end = begin + kPieceRows;
    for (std::int64_t row = begin + block.ty(); row < end && row < a.rows; row += kStripRows) {
      auto v = own.load(block, a.y, row);
      for (int k = 0; k < kWidest<T>; ++k) v[k] = from_f32<T>(to_f32(v[k]) + b[k]);
      own.store(block, a.y, row, v);
    }
  }
};

// What is launched, in order.
template <class Launch, class T>
void linear_fwd(Launch&& launch, const LinearFwd<T>& a) {
  check(a);
  cuda::gemm<T, T>(
      {.a = a.x, .b = a.w, .c = a.y, .m = a.rows, .n = a.out, .k = a.in, .b_transposed = true, .products = a.products},
      launch.stream());
  if (a.b) launch(AddBiasKernel(), AddBias<T>{a.y, a.b, a.rows, a.out});
}
template <class Launch, class T>
void linear_bwd_data(Launch&& launch, const LinearBwdData<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  cuda::gemm<T, T>({.a = a.dy,
                    .b = a.w,
                    .c = a.dx,
                    .m = a.rows,
                    .n = a.in,
                    .k = a.out,
                    .beta = a.dx_mode == GradMode::add ? 1.0f : 0.0f,
                    .products = a.products},
                   launch.stream());
}
template <class Launch, class T>
void linear_bwd_weight(Launch&& launch, const LinearBwdWeight<T>& a) {
  check(a, Device::cuda);
  if (a.dw_mode != GradMode::skip)
    cuda::gemm<T, float>({.a = a.dy,
                          .b = a.x,
                          .c = a.dw,
                          .m = a.out,
                          .n = a.in,
                          .k = a.rows,
                          .a_transposed = true,
                          .beta = a.dw_mode == GradMode::add ? 1.0f : 0.0f,
                          .products = a.products},
                         launch.stream());
  column_sums(launch, a.dy, a.rows, a.out, a.db, a.db_mode, a.workspace);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
