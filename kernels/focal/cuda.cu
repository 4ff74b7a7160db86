// kernels/focal/cuda.cu — the focal loss on CUDA: what focal.simt.h launches.
#include "kernels/focal/focal.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(focal_fwd, FocalFwd);
BF_CUDA_PASS_PLAIN(focal_bwd, FocalBwd);
