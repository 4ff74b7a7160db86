// kernels/simt/collectives.h — sums over a warp and over a block, in an order that the shape of the block alone fixes.
#pragma once
#include "kernels/simt/block.h"

namespace bonafide::simt {

// Sum over the 32 lanes; every lane gets it, with the same bits (a butterfly adds the same pairs in every lane).
template <Block B>
BF_DEVICE float warp_sum(B& block, float v) {
  for (int step = kWarp / 2; step > 0; step /= 2) v += block.shfl_xor(v, step, kFullMask);
  return v;
}

// Sum over all threads of the block (whole warps, all of them calling); every thread gets it. Ends with a barrier,
// because its scratch is still being read when the first warp may come back with the next sum.
template <class Tag, Block B>
BF_DEVICE float block_sum(B& block, float v) {
  const auto scratch = block.template shared<Tag, float, kWarp>();
  const int thread = block.ty() * block.dx() + block.tx(), warps = block.dx() * block.dy() / kWarp;
  v = warp_sum(block, v);
  if (thread % kWarp == 0) block.store(scratch, thread / kWarp, v);
  block.sync();
  v = warp_sum(block, thread % kWarp < warps ? block.load(scratch, thread % kWarp) : 0.0f);
  block.sync();
  return v;
}

}  // namespace bonafide::simt
