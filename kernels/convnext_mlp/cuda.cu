// kernels/convnext_mlp/cuda.cu — the block behind its depthwise convolution on CUDA: what convnext_mlp.simt.h launches.
#include "kernels/convnext_mlp/convnext_mlp.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(convnext_mlp_fwd, ConvNeXtMlpFwd);
BF_CUDA_PASS(convnext_mlp_bwd, ConvNeXtMlpBwd);
