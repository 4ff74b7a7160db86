// kernels/flip/cuda.cu — mirroring an image on CUDA: what flip.simt.h launches.
#include "kernels/flip/flip.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(flip, Flip);
