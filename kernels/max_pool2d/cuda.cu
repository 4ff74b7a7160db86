// kernels/max_pool2d/cuda.cu — the largest value of each window on CUDA: what max_pool2d.simt.h launches.
#include "kernels/max_pool2d/max_pool2d.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(max_pool2d_fwd, MaxPool2dFwd);
BF_CUDA_PASS(max_pool2d_bwd, MaxPool2dBwd);
