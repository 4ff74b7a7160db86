// kernels/matmul/no_cublaslt_gemm.cpp — matrix products on CUDA in a build without it: an error.
#include "kernels/matmul/cublaslt_gemm.h"

namespace bonafide::kernels::cuda {

template <class TA, class TC>
void gemm(const Gemm<TA, TC>&, Stream) {
  throw Error("gemm: this build has no CUDA");
}

template void gemm(const Gemm<float, float>&, Stream);
template void gemm(const Gemm<bf16, bf16>&, Stream);
template void gemm(const Gemm<bf16, float>&, Stream);

}  // namespace bonafide::kernels::cuda
