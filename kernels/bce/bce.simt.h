// kernels/bce/bce.simt.h — binary cross-entropy, the bodies of its CUDA kernels: one block sums a batch's few logits.
#pragma once
#include "kernels/bce/bce.h"
#include "kernels/bce/terms.h"
#include "kernels/simt/collectives.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const BceFwd& a, F&& f) {
  f("z", a.z), f("y", a.y), f("loss", a.loss);
}
template <class F>
void for_each_array(const BceBwd& a, F&& f) {
  f("dloss", a.dloss), f("z", a.z), f("y", a.y), f("dz", a.dz);
}

namespace simt_bodies {
using namespace simt;

struct BceFwdKernel {
  static constexpr const char* kName = "bce_fwd";
  static constexpr int kMaxThreads = 256;
  struct Sum;
  static LaunchShape shape(const BceFwd&) { return {.grid = {1}, .block = {kMaxThreads}}; }
  template <Block B>
  BF_DEVICE static void run(B& block, const BceFwd& a) {
    double sum = 0;
    for (std::int64_t i = block.tx(); i < a.z.len; i += kMaxThreads)
      sum += bce_term(block.load(a.z, i), block.load(a.y, i), a.smoothing);
    sum = block_sum<Sum>(block, sum);
    if (block.tx() == 0) block.store(a.loss, 0, float(sum / double(a.z.len)));
  }
};

struct BceBwdKernel {
  static constexpr const char* kName = "bce_bwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  static LaunchShape shape(const BceBwd& a) { return elementwise_shape<1>(a.z.len); }
  template <Block B>
  BF_DEVICE static void run(B& block, const BceBwd& a) {
    const double share = double(block.load(a.dloss, 0)) / double(a.z.len);
    for_own_elements<1>(block, a.z.len, false, [&](std::int64_t i, auto) {
      const double slope = bce_slope(block.load(a.z, i), block.load(a.y, i), a.smoothing);
      store_gradient<1>(block, a.dz_mode, a.dz, i, [&](int) { return float(share * slope); });
    });
  }
};

template <class Launch>
void bce_fwd(Launch&& launch, const BceFwd& a) {
  check(a);
  launch(BceFwdKernel(), a);
}
template <class Launch>
void bce_bwd(Launch&& launch, const BceBwd& a) {
  check(a);
  if (a.dz_mode != GradMode::skip) launch(BceBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
