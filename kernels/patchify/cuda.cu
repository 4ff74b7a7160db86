// kernels/patchify/cuda.cu — patchify on CUDA: what patchify.simt.h launches.
#include "kernels/patchify/patchify.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(patchify_fwd, PatchifyFwd);
BF_CUDA_PASS(patchify_bwd, PatchifyBwd);
