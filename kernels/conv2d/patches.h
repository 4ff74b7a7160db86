// kernels/conv2d/patches.h — pieces of a convolution as matrix products: the input of each sum, gathered into a row,
// times the weights. The functions are those of conv_piece.h.
#pragma once
#include "kernels/conv2d/conv_piece.h"

namespace bonafide::kernels::patches {

template <class T>
std::int64_t packed_bytes(const ConvFilter&);
template <class T>
void pack(const ConvFilter&, const T* w, void* packed);  // [Cout, kernel_h, kernel_w, Cin / groups], for both passes
template <class T>
void conv_forward(const ConvPiece&, const T* x, const void* packed, const float* b, T* y);
template <class T>
void conv_data(const ConvPiece&, const T* dy, const void* packed, float* dx);
template <class T>
void conv_weight(const ConvPiece&, const T* dy, const T* x, float* dw);

}  // namespace bonafide::kernels::patches
