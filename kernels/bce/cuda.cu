// kernels/bce/cuda.cu — binary cross-entropy on CUDA: what bce.simt.h launches.
#include "kernels/bce/bce.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(bce_fwd, BceFwd);
BF_CUDA_PASS_PLAIN(bce_bwd, BceBwd);
