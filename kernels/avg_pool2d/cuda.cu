// kernels/avg_pool2d/cuda.cu — the mean of each window on CUDA: what avg_pool2d.simt.h launches.
#include "kernels/avg_pool2d/avg_pool2d.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(avg_pool2d_fwd, AvgPool2dFwd);
BF_CUDA_PASS(avg_pool2d_bwd, AvgPool2dBwd);
