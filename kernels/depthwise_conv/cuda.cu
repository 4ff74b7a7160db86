// kernels/depthwise_conv/cuda.cu — depthwise 7x7 on CUDA: what depthwise_conv.simt.h launches.
#include "kernels/depthwise_conv/depthwise_conv.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(depthwise_conv_fwd, DepthwiseConvFwd);
BF_CUDA_PASS(depthwise_conv_bwd_data, DepthwiseConvBwdData);
BF_CUDA_PASS(depthwise_conv_bwd_weight, DepthwiseConvBwdWeight);
