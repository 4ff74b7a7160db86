// kernels/residual/cuda.cu — the scaled sum on CUDA: what residual.simt.h launches.
#include "kernels/residual/residual.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(residual_fwd, ResidualFwd);
BF_CUDA_PASS(residual_bwd, ResidualBwd);
