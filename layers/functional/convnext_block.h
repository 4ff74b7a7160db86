// layers/functional/convnext_block.h — a whole ConvNeXt-V2 block behind one call and one autograd node.
//
//   u = depthwise7x7(x) + b;  n = LayerNorm(u);  h = n W1^T + b1;  z = GELU(h);  a = GRN(z);  y = x + s_n (a W2^T + b2)
//
// x, y: [N, H, W, C]; s: per-sample stochastic-depth factor (Woo et al. 2023, ConvNeXt V2; no layer scale).
#pragma once
#include <memory>

#include "engine/tensor.h"

namespace bonafide::fn {

class PackedBlock;

struct ConvNeXtBlockParameters {
  Tensor dw_weight, dw_bias;      // [C,1,7,7], [C]
  Tensor norm_weight, norm_bias;  // [C]
  Tensor fc1_weight, fc1_bias;    // [4C,C] (or [4C,C,1,1]), [4C]
  Tensor grn_weight, grn_bias;    // [4C]
  Tensor fc2_weight, fc2_bias;    // [C,4C] (or [C,4C,1,1]), [C]
};

enum class BlockImplementation : std::uint8_t {
  composed,  // from the single operations: the definition
  fused,     // what follows the depthwise convolution is one kernel (kernels/convnext_mlp), which keeps a third as much
};

// The matrices of a block, ordered for the fused forward pass. Right as long as the weights stay what they were.
std::shared_ptr<const PackedBlock> pack_block(const ConvNeXtBlockParameters& p, DType compute);

// packed: of these parameters, or null (the composed implementation has no use for it).
// drop_scale: [N] f32, 0 or 1/(1-p) for each sample; an empty Tensor means 1.
Tensor convnext_block(const Tensor& x, const ConvNeXtBlockParameters& p, const Tensor& drop_scale = {},
                      BlockImplementation implementation = BlockImplementation::fused,
                      const PackedBlock* packed = nullptr);

}  // namespace bonafide::fn
