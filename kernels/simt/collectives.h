// kernels/simt/collectives.h — sums and maxima over a warp and over a block, in an order that the shape of the block alone
// fixes.
#pragma once
#include "kernels/simt/block.h"

namespace bonafide::simt {

// f (which must commute) over the 32 lanes; every lane gets it, with the same bits: a butterfly combines the same pairs in
// every lane.
template <Block B, class T, class F>
BF_DEVICE T warp_reduce(B& block, T v, F&& f) {
  for (int step = kWarp / 2; step > 0; step /= 2) v = f(v, block.shfl_xor(v, step, kFullMask));
  return v;
}

// f over all threads of the block (whole warps, all of them calling); every thread gets it; f(v, none) is v. Ends with a
// barrier, because its scratch is still being read when the first warp may come back with the next reduction.
template <class Tag, Block B, class T, class F>
BF_DEVICE T block_reduce(B& block, T v, T none, F&& f) {
  const auto scratch = block.template shared<Tag, T, kWarp>();
  const int thread = block.ty() * block.dx() + block.tx(), warps = block.dx() * block.dy() / kWarp;
  v = warp_reduce(block, v, f);
  if (thread % kWarp == 0) block.store(scratch, thread / kWarp, v);
  block.sync();
  v = warp_reduce(block, thread % kWarp < warps ? block.load(scratch, thread % kWarp) : none, f);
  block.sync();
  return v;
}

template <Block B, class T>
BF_DEVICE T warp_sum(B& block, T v) {
  return warp_reduce(block, v, [](T a, T b) { return a + b; });
}
template <class Tag, Block B, class T>
BF_DEVICE T block_sum(B& block, T v) {
  return block_reduce<Tag>(block, v, T(0), [](T a, T b) { return a + b; });
}
// A NaN loses against any number.
template <class Tag, Block B, class T>
BF_DEVICE T block_max(B& block, T v) {
  return block_reduce<Tag>(block, v, v, [](T a, T b) { return a > b ? a : b > a ? b : a == a ? a : b; });
}

}  // namespace bonafide::simt
