// kernels/hue_saturation_value/cuda.cu — hue, saturation and value on CUDA: what hue_saturation_value.simt.h launches.
#include "kernels/hue_saturation_value/hue_saturation_value.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(hue_saturation_value, HueSaturationValue);
