// kernels/concat/cuda.cu — concatenation on CUDA: what concat.simt.h launches.
#include "kernels/concat/concat.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(concat_fwd, ConcatFwd);
BF_CUDA_PASS(concat_bwd, ConcatBwd);
