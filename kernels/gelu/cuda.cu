// kernels/gelu/cuda.cu — GELU on CUDA: what gelu.simt.h launches.
#include "kernels/gelu/gelu.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(gelu_fwd, GeluFwd);
BF_CUDA_PASS(gelu_bwd, GeluBwd);
