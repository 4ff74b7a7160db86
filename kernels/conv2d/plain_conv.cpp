// kernels/conv2d/plain_conv.cpp — see conv_piece.h: pieces without oneDNN, all of them products of patches.
#include "kernels/conv2d/patches.h"

namespace bonafide::kernels {

template <class T>
std::int64_t packed_bytes(ConvPass, const ConvPiece& s) {
  return patches::packed_bytes<T>(s.filter);
}
template <class T>
bool same_order(ConvPass, const ConvPiece&, const ConvPiece&) {
  return true;
}
template <class T>
void pack(ConvPass, const ConvPiece& s, const T* w, void* packed) {
  patches::pack(s.filter, w, packed);
}
template <class T>
void conv_forward(const ConvPiece& s, const T* x, const void* packed, const float* b, T* y) {
  patches::conv_forward(s, x, packed, b, y);
}
template <class T>
void conv_data(const ConvPiece& s, const T* dy, const void* packed, float* dx) {
  patches::conv_data(s, dy, packed, dx);
}
template <class T>
void conv_weight(const ConvPiece& s, const T* dy, const T* x, float* dw) {
  patches::conv_weight(s, dy, x, dw);
}
void forget_conv_plans() {}  // there are none

template std::int64_t packed_bytes<float>(ConvPass, const ConvPiece&);
template std::int64_t packed_bytes<bf16>(ConvPass, const ConvPiece&);
template bool same_order<float>(ConvPass, const ConvPiece&, const ConvPiece&);
template bool same_order<bf16>(ConvPass, const ConvPiece&, const ConvPiece&);
template void pack(ConvPass, const ConvPiece&, const float*, void*);
template void pack(ConvPass, const ConvPiece&, const bf16*, void*);
template void conv_forward(const ConvPiece&, const float*, const void*, const float*, float*);
template void conv_forward(const ConvPiece&, const bf16*, const void*, const float*, bf16*);
template void conv_data(const ConvPiece&, const float*, const void*, float*);
template void conv_data(const ConvPiece&, const bf16*, const void*, float*);
template void conv_weight(const ConvPiece&, const float*, const float*, float*);
template void conv_weight(const ConvPiece&, const bf16*, const bf16*, float*);

}  // namespace bonafide::kernels
