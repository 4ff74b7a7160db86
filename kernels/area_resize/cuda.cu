// kernels/area_resize/cuda.cu — the mean of the pixels that a pixel touches on CUDA: what area_resize.simt.h launches.
#include "kernels/area_resize/area_resize.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(area_resize_fwd, AreaResizeFwd);
BF_CUDA_PASS(area_resize_bwd, AreaResizeBwd);
