// kernels/prelu/cuda.cu — PReLU on CUDA: what prelu.simt.h launches.
#include "kernels/prelu/prelu.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(prelu_fwd, PreluFwd);
BF_CUDA_PASS(prelu_bwd, PreluBwd);
