// kernels/brightness_contrast/cuda.cu — brightness and contrast on CUDA: what brightness_contrast.simt.h launches.
#include "kernels/brightness_contrast/brightness_contrast.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(brightness_contrast, BrightnessContrast);
