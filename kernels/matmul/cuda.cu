// kernels/matmul/cuda.cu — linear layers on CUDA: what matmul.simt.h launches.
#include "kernels/matmul/matmul.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(linear_fwd, LinearFwd);
BF_CUDA_PASS(linear_bwd_data, LinearBwdData);
BF_CUDA_PASS(linear_bwd_weight, LinearBwdWeight);
