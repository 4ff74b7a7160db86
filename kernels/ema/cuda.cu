// kernels/ema/cuda.cu — the moving average on CUDA: what ema.simt.h launches.
#include "kernels/ema/ema.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(ema, EmaStep);
