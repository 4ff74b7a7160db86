// kernels/conv2d/cudnn_conv.h — convolutions by cuDNN, with results that repeat. Implemented by cudnn_conv.cpp; without
// cuDNN (BONAFIDE_CUDNN=OFF, no CUDA, the emulated GPU) there is none, and our own kernels compute (no_cudnn_conv.cpp,
// kernels/emulator/no_cudnn.cpp).
#pragma once
#include "kernels/conv2d/conv2d.h"

namespace bonafide::kernels::cuda {

bool has_cudnn();

// Arrays as in conv2d.h, weights and their gradient in the order [Cout, kernel_h, kernel_w, Cin / groups]. false: cuDNN
// has no plan for it that repeats and fits the workspace, nothing was done. Without bias.
template <class T>
bool cudnn_forward(const Conv2dShape&, F32Products, Span<const T> x, Span<const T> w, Span<T> y, Stream);
template <class T>
bool cudnn_data(const Conv2dShape&, F32Products, Span<const T> dy, Span<const T> w, Span<T> dx, bool add, Stream);
template <class T>
bool cudnn_weight(const Conv2dShape&, F32Products, Span<const T> dy, Span<const T> x, Span<float> dw, Stream);

}  // namespace bonafide::kernels::cuda
