// kernels/normalize/cuda.cu — bytes to network input on CUDA: what normalize.simt.h launches.
#include "kernels/normalize/normalize.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(normalize, Normalize);
