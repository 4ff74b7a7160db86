// kernels/convnext_mlp/packed.cpp
#include "kernels/convnext_mlp/packed.h"

#include <algorithm>

#include "kernels/convnext_mlp/products.h"

namespace bonafide::kernels {

std::vector<ColumnChunk> column_chunks(std::int64_t columns) {
  constexpr std::int64_t kWidest = 384, kStep = 16;
  const std::int64_t width = ceil_div(ceil_div(columns, ceil_div(columns, kWidest)), kStep) * kStep;
  std::vector<ColumnChunk> chunks;
  for (std::int64_t c = 0; c < columns; c += width) chunks.push_back({c, std::min(width, columns - c)});
  return chunks;
}

template <class T>
ConvNeXtMlpPacked<T>::ConvNeXtMlpPacked(Span<const T> w1, Span<const T> w2, std::int64_t C) {
  BF_CHECK(w1.len == 4 * C * C && w2.len == 4 * C * C, "w1 and w2 have ", w1.len, " and ", w2.len,
           " elements, expected ", 4 * C * C);
  auto first = convnext_mlp_cpu::fwd_w1(w1.ptr, C), second = convnext_mlp_cpu::fwd_w2(w2.ptr, C);
  first.pack(), second.pack();
  w1_ = std::move(first.own), w2_ = std::move(second.own);
}

template class ConvNeXtMlpPacked<float>;
template class ConvNeXtMlpPacked<bf16>;

}  // namespace bonafide::kernels
