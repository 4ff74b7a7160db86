// kernels/avg_pool/cuda.cu — the mean over pixels on CUDA: what avg_pool.simt.h launches.
#include "kernels/avg_pool/avg_pool.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(avg_pool_fwd, AvgPoolFwd);
BF_CUDA_PASS(avg_pool_bwd, AvgPoolBwd);
