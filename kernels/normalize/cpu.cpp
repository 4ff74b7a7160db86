// kernels/normalize/cpu.cpp — bytes to network input on the CPU.
#include "kernels/normalize/normalize.h"

#include <cmath>

#include "engine/parallel.h"

namespace bonafide::kernels {

template <class T>
void check(const Normalize<T>& a) {
  BF_CHECK(a.x.size() == a.y.size() && a.x.size() % 3 == 0, "normalize: ", a.x.size(), " bytes of RGB for ", a.y.size(),
           " values");
  for (int c = 0; c < 3; ++c)
    BF_CHECK(a.std[std::size_t(c)] > 0 && std::isfinite(a.mean[std::size_t(c)]), "normalize: channel ", c, " has mean ",
             a.mean[std::size_t(c)], " and std ", a.std[std::size_t(c)]);
}

namespace cpu {
namespace {

constexpr int kBlock = 48;  // a multiple of 3 channels and of any vector

template <class T>
void store(T* y, float v) {
  if constexpr (sizeof(T) == 2)
    y->bits = bf16(v).bits;  // g++ 12 does not vectorise an assignment of structs
  else
    *y = v;
}

}  // namespace

template <class T>
void normalize(const Normalize<T>& a) {
  check(a);
  float mean[kBlock], std[kBlock];
  for (int j = 0; j < kBlock; ++j) mean[j] = a.mean[std::size_t(j % 3)], std[j] = a.std[std::size_t(j % 3)];
  parallel_ranges(a.x.size(), 1024 * kBlock, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t i = begin;
    for (; i + kBlock <= end; i += kBlock) {
      const std::uint8_t* x = a.x.ptr + i;
      T* y = a.y.ptr + i;
#pragma omp simd
      for (int j = 0; j < kBlock; ++j) store(y + j, (float(x[j]) / 255.0f - mean[j]) / std[j]);
    }
    for (int j = 0; i < end; ++i, ++j) store(a.y.ptr + i, (float(a.x.ptr[i]) / 255.0f - mean[j]) / std[j]);
  });
}

template void normalize(const Normalize<float>&);
template void normalize(const Normalize<bf16>&);

}  // namespace cpu

template void check(const Normalize<float>&);
template void check(const Normalize<bf16>&);

}  // namespace bonafide::kernels
