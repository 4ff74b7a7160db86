// kernels/l2_normalize/cuda.cu — unit rows on CUDA: what l2_normalize.simt.h launches.
#include "kernels/l2_normalize/l2_normalize.simt.h"
#include "kernels/simt/launch.h"

BF_CUDA_PASS_PLAIN(l2_normalize_fwd, L2NormalizeFwd);
BF_CUDA_PASS_PLAIN(l2_normalize_bwd, L2NormalizeBwd);
