// kernels/convnext_mlp/packed.h — the matrices of a block, packed for its products on the CPU.
#pragma once
#include <vector>

#include "kernels/convnext_mlp/convnext_mlp.h"
#include "kernels/matmul/gemm_tile.h"

namespace bonafide::kernels {

// Columns [begin, begin + width) of a product's right-hand side: narrow enough for a tile of the result to stay in the
// second-level cache.
struct ColumnChunk {
  std::int64_t begin = 0, width = 0;
};
std::vector<ColumnChunk> column_chunks(std::int64_t columns);

// W1^T [C, 4C] and W2^T [4C, C], one operand per chunk of columns. Operands are empty where the processor has no kernel
// for packed ones.
template <class T>
class ConvNeXtMlpPacked {
 public:
  ConvNeXtMlpPacked(Span<const T> w1, Span<const T> w2, std::int64_t C);
  const std::vector<PackedOperand<T>>& w1() const { return w1_; }
  const std::vector<PackedOperand<T>>& w2() const { return w2_; }

 private:
  std::vector<PackedOperand<T>> w1_, w2_;
};

}  // namespace bonafide::kernels
