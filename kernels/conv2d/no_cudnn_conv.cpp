// kernels/conv2d/no_cudnn_conv.cpp — a build without cuDNN: our own kernels compute every convolution.
#include "kernels/conv2d/cudnn_conv.h"

namespace bonafide::kernels::cuda {

bool has_cudnn() { return false; }

template <class T>
bool cudnn_forward(const Conv2dShape&, F32Products, Span<const T>, Span<const T>, Span<T>, Stream) {
  return false;
}
template <class T>
bool cudnn_data(const Conv2dShape&, F32Products, Span<const T>, Span<const T>, Span<T>, bool, Stream) {
  return false;
}
template <class T>
bool cudnn_weight(const Conv2dShape&, F32Products, Span<const T>, Span<const T>, Span<float>, Stream) {
  return false;
}

template bool cudnn_forward(const Conv2dShape&, F32Products, Span<const float>, Span<const float>, Span<float>, Stream);
template bool cudnn_forward(const Conv2dShape&, F32Products, Span<const bf16>, Span<const bf16>, Span<bf16>, Stream);
template bool cudnn_data(const Conv2dShape&, F32Products, Span<const float>, Span<const float>, Span<float>, bool,
                         Stream);
template bool cudnn_data(const Conv2dShape&, F32Products, Span<const bf16>, Span<const bf16>, Span<bf16>, bool, Stream);
template bool cudnn_weight(const Conv2dShape&, F32Products, Span<const float>, Span<const float>, Span<float>, Stream);
template bool cudnn_weight(const Conv2dShape&, F32Products, Span<const bf16>, Span<const bf16>, Span<float>, Stream);

}  // namespace bonafide::kernels::cuda
