// kernels/relu/cuda.cu — ReLU on CUDA: what relu.simt.h launches.
#include "kernels/relu/relu.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(relu_fwd, ReluFwd);
BF_CUDA_PASS(relu_bwd, ReluBwd);
