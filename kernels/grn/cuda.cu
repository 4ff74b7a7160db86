// kernels/grn/cuda.cu — GRN on CUDA: what grn.simt.h launches.
#include "kernels/grn/grn.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(grn_fwd, GrnFwd);
BF_CUDA_PASS(grn_bwd, GrnBwd);
