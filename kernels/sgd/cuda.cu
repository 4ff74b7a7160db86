// kernels/sgd/cuda.cu — SGD with momentum on CUDA: what sgd.simt.h launches.
#include "kernels/sgd/sgd.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(sgd, SgdStep);
