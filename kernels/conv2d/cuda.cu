// kernels/conv2d/cuda.cu — general convolution on CUDA: what conv2d.simt.h launches.
#include "kernels/conv2d/conv2d.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(conv2d_fwd, Conv2dFwd);
BF_CUDA_PASS(conv2d_bwd_data, Conv2dBwdData);
BF_CUDA_PASS(conv2d_bwd_weight, Conv2dBwdWeight);
