// kernels/matmul/cublaslt_gemm.cpp — see cublaslt_gemm.h. Compiled where there is CUDA.
//
// Results repeat: the algorithm of a product is asked for once and kept, each stream has a workspace of its own, and
// only two schemes of reduction are allowed: none, and partial sums in f32 that a step of their own adds up in order.
// (The third one, in the output buffer, lets blocks take turns by counters; the fourth rounds partial sums to the
// output.)
#include "kernels/matmul/cublaslt_gemm.h"

#include <cublasLt.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

#include "engine/cuda_check.h"
#include "kernels/alignment.h"

namespace bonafide::kernels::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t(32) << 20;  // what NVIDIA recommends from Hopper on

void check_cublas(cublasStatus_t s, const std::string& what) {
  if (s != CUBLAS_STATUS_SUCCESS) throw Error(str("cuBLASLt, ", what, ": ", cublasLtGetStatusString(s)));
}

// All that an algorithm may depend on.
struct Key {
  std::int64_t m, n, k, a_stride, b_stride, c_stride;
  bool a_transposed, b_transposed;
  cudaDataType_t ab, c;
  F32Products products;
  std::uint32_t a_alignment, b_alignment, c_alignment;
  friend auto operator<=>(const Key&, const Key&) = default;
};
std::string describe(const Key& k) {
  return str(k.m, " x ", k.k, " by ", k.k, " x ", k.n, k.ab == CUDA_R_32F ? " f32" : " bf16");
}

constexpr std::uint32_t kBestAlignment = 256;  // more is of no use to cuBLASLt

struct Plan {
  cublasLtMatmulDescOpaque_t product;
  cublasLtMatrixLayoutOpaque_t a, b, c;
  cublasLtMatmulAlgo_t algorithm;
};

// cuBLASLt thinks in columns: a row-major matrix is the transpose of the column-major one in the same memory. So it is
// asked for c^T = op(b)^T op(a)^T, with b in the place of its A.
Plan make_plan(cublasLtHandle_t handle, const Key& key) {
  const auto check = [&](cublasStatus_t s) { check_cublas(s, describe(key)); };
  Plan p;
  const bool tf32 = key.ab == CUDA_R_32F && key.products == F32Products::tf32;
  check(cublasLtMatmulDescInit(&p.product, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F));
  const cublasOperation_t op_b = key.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N,
                          op_a = key.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  check(cublasLtMatmulDescSetAttribute(&p.product, CUBLASLT_MATMUL_DESC_TRANSA, &op_b, sizeof op_b));
  check(cublasLtMatmulDescSetAttribute(&p.product, CUBLASLT_MATMUL_DESC_TRANSB, &op_a, sizeof op_a));
  const auto layout = [&](cublasLtMatrixLayoutOpaque_t& l, cudaDataType_t type, std::int64_t rows, std::int64_t cols,
                          std::int64_t stride) {
    check(cublasLtMatrixLayoutInit(&l, type, std::uint64_t(cols), std::uint64_t(rows), stride));
  };
  layout(p.b, key.ab, key.b_transposed ? key.n : key.k, key.b_transposed ? key.k : key.n, key.b_stride);
  layout(p.a, key.ab, key.a_transposed ? key.k : key.m, key.a_transposed ? key.m : key.k, key.a_stride);
  layout(p.c, key.c, key.m, key.n, key.c_stride);

  cublasLtMatmulPreferenceOpaque_t wish;
  check(cublasLtMatmulPreferenceInit(&wish));
  const auto want = [&](cublasLtMatmulPreferenceAttributes_t what, auto value) {
    check(cublasLtMatmulPreferenceSetAttribute(&wish, what, &value, sizeof value));
  };
  want(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t(kWorkspaceBytes));
  want(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
       std::uint32_t(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, key.b_alignment);
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, key.a_alignment);
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, key.c_alignment);
  want(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, key.c_alignment);

  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  check(cublasLtMatmulAlgoGetHeuristic(handle, &p.product, &p.b, &p.a, &p.c, &p.c, &wish, 1, &best, &found));
  if (found == 0) throw Error(str("cuBLASLt has no algorithm for ", describe(key)));
  check(best.state);
  p.algorithm = best.algo;
  return p;
}

// What is kept for a GPU: handle, algorithms, a workspace per stream.
class Library {
 public:
  Library() { check_cublas(cublasLtCreate(&handle_), "starting"); }

  cublasLtHandle_t handle() const { return handle_; }
  Plan& plan(const Key& key) {  // not changed by products: cuBLASLt just does not say const
    const std::lock_guard lock(mutex_);
    auto it = plans_.find(key);
    if (it == plans_.end()) it = plans_.emplace(key, make_plan(handle_, key)).first;
    return it->second;  // a map's elements never move
  }
  void* workspace(cudaStream_t stream) {
    const std::lock_guard lock(mutex_);
    void*& w = workspaces_[stream];
    if (!w) BF_CUDA(cudaMalloc(&w, kWorkspaceBytes));
    return w;
  }

  // Of the current GPU. Never destroyed: when a process ends, the driver may be gone before our statics are.
  static Library& current() {
    static std::mutex mutex;
    static auto& all = *new std::map<int, std::unique_ptr<Library>>();
    int device = 0;
    BF_CUDA(cudaGetDevice(&device));
    const std::lock_guard lock(mutex);
    auto& library = all[device];
    if (!library) library = std::make_unique<Library>();
    return *library;
  }

 private:
  cublasLtHandle_t handle_ = nullptr;
  std::mutex mutex_;
  std::map<Key, Plan> plans_;
  std::map<cudaStream_t, void*> workspaces_;
};

template <class T>
constexpr cudaDataType_t type_of = sizeof(T) == 4 ? CUDA_R_32F : CUDA_R_16BF;

// A sum of no terms: c = beta c.
template <class TA, class TC>
void empty_sum(const Gemm<TA, TC>& g, cudaStream_t stream) {
  if (g.beta == 1) return;
  BF_CHECK(g.beta == 0, "gemm: k 0 with beta ", g.beta);
  const auto bytes = [](std::int64_t n) { return std::size_t(n) * sizeof(TC); };
  BF_CUDA(cudaMemset2DAsync(g.c.ptr, bytes(g.c_stride()), 0, bytes(g.n), std::size_t(g.m), stream));
}

}  // namespace

template <class TA, class TC>
void gemm(const Gemm<TA, TC>& g, Stream stream) {
  check(g);
  if (g.m == 0 || g.n == 0) return;
  const auto cuda_stream = static_cast<cudaStream_t>(stream.handle);
  if (g.k == 0) return empty_sum(g, cuda_stream);
  const Key key{.m = g.m,
                .n = g.n,
                .k = g.k,
                .a_stride = g.a_stride(),
                .b_stride = g.b_stride(),
                .c_stride = g.c_stride(),
                .a_transposed = g.a_transposed,
                .b_transposed = g.b_transposed,
                .ab = type_of<TA>,
                .c = type_of<TC>,
                .products = g.products,
                .a_alignment = alignment_of(g.a.ptr, kBestAlignment),
                .b_alignment = alignment_of(g.b.ptr, kBestAlignment),
                .c_alignment = alignment_of(g.c.ptr, kBestAlignment)};
  Library& library = Library::current();
  Plan& p = library.plan(key);
  check_cublas(
      cublasLtMatmul(library.handle(), &p.product, &g.alpha, g.b.ptr, &p.b, g.a.ptr, &p.a, &g.beta, g.c.ptr, &p.c,
                     g.c.ptr, &p.c, &p.algorithm, library.workspace(cuda_stream), kWorkspaceBytes, cuda_stream),
      describe(key));
}

template void gemm(const Gemm<float, float>&, Stream);
template void gemm(const Gemm<bf16, bf16>&, Stream);
template void gemm(const Gemm<bf16, float>&, Stream);

}  // namespace bonafide::kernels::cuda
