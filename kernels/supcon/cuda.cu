// kernels/supcon/cuda.cu — the contrastive loss on CUDA: what supcon.simt.h launches.
#include "kernels/supcon/supcon.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(supcon_fwd, SupConFwd);
BF_CUDA_PASS_PLAIN(supcon_mean, SupConMean);
BF_CUDA_PASS_PLAIN(supcon_bwd, SupConBwd);
