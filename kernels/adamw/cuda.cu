// kernels/adamw/cuda.cu — AdamW on CUDA: what adamw.simt.h launches.
#include "kernels/adamw/adamw.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(adamw, AdamWStep);
