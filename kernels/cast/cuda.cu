// kernels/cast/cuda.cu — casts on CUDA: what cast.simt.h launches.
#include "kernels/cast/cast.simt.h"
#include "kernels/simt/launch.h"

namespace bonafide::kernels::cuda {

template <class From, class To>
void cast(const Cast<From, To>& a, Stream stream) {
  simt_bodies::cast(simt::Launch("cast", stream), a);
}

template void cast(const Cast<float, bf16>&, Stream);
template void cast(const Cast<bf16, float>&, Stream);

}  // namespace bonafide::kernels::cuda
