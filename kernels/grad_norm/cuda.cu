// kernels/grad_norm/cuda.cu — the gradient norm on CUDA: what grad_norm.simt.h launches.
#include "kernels/grad_norm/grad_norm.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(grad_norm, GradNorm);
