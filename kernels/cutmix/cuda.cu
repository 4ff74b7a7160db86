// kernels/cutmix/cuda.cu — CutMix on CUDA: what cutmix.simt.h launches.
#include "kernels/cutmix/cutmix.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS(cutmix, CutMix);
BF_CUDA_PASS_PLAIN(cutmix_labels, CutMixLabels);
template void bonafide::kernels::cuda::cutmix(const CutMix<std::uint8_t>&, Stream);
