// kernels/crop_resize/cuda.cu — bilinear resize on CUDA: what crop_resize.simt.h launches.
#include "kernels/crop_resize/crop_resize.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(crop_resize, CropResize);
