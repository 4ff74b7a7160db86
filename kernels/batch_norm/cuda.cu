// kernels/batch_norm/cuda.cu — batch normalisation on CUDA: what batch_norm.simt.h launches.
#include "kernels/batch_norm/batch_norm.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(batch_norm_fwd, BatchNormFwd);
BF_CUDA_PASS(batch_norm_bwd, BatchNormBwd);
