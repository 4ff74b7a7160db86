// kernels/layer_norm/cuda.cu — LayerNorm on CUDA: what layer_norm.simt.h launches.
#include "kernels/layer_norm/layer_norm.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(layer_norm_fwd, LayerNormFwd);
BF_CUDA_PASS(layer_norm_bwd, LayerNormBwd);
