// kernels/focal/focal.simt.h — the focal loss, the bodies of its CUDA kernels: one block sums a batch's few logits.
#pragma once
#include "kernels/focal/focal.h"
#include "kernels/focal/terms.h"
#include "kernels/simt/collectives.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const FocalFwd& a, F&& f) {
  f("z", a.z), f("y", a.y), f("loss", a.loss);
}
template <class F>
void for_each_array(const FocalBwd& a, F&& f) {
  f("dloss", a.dloss), f("z", a.z), f("y", a.y), f("dz", a.dz);
}

namespace simt_bodies {
using namespace simt;

struct FocalFwdKernel {
  static constexpr const char* kName = "focal_fwd";
  static constexpr int kMaxThreads = 256;
  struct Sum;
  static LaunchShape shape(const FocalFwd&) { return {.grid = {1}, .block = {kMaxThreads}}; }
  template <Block B>
  BF_DEVICE static void run(B& block, const FocalFwd& a) {
    double sum = 0, labels = 0;
    for (std::int64_t i = block.tx(); i < a.z.len; i += kMaxThreads) {
      const float y = block.load(a.y, i);
      sum += focal_term(a, block.load(a.z, i), y), labels += double(y);
    }
    sum = block_sum<Sum>(block, sum), labels = block_sum<Sum>(block, labels);
    if (block.tx() == 0) block.store(a.loss, 0, float(batch_weight(a, labels) * sum / double(a.z.len)));
  }
};

// Every block sums all labels: they are few, and who wants the published form's weight needs them all.
struct FocalBwdKernel {
  static constexpr const char* kName = "focal_bwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  struct Sum;
  static LaunchShape shape(const FocalBwd& a) { return elementwise_shape<1>(a.z.len); }
  template <Block B>
  BF_DEVICE static void run(B& block, const FocalBwd& a) {
    double labels = 0;
    for (std::int64_t i = block.tx(); i < a.y.len; i += kMaxThreads) labels += double(block.load(a.y, i));
    labels = block_sum<Sum>(block, labels);
    const double share = batch_weight(a, labels) * double(block.load(a.dloss, 0)) / double(a.z.len);
    for_own_elements<1>(block, a.z.len, false, [&](std::int64_t i, auto) {
      const double slope = focal_slope(a, block.load(a.z, i), block.load(a.y, i));
      store_gradient<1>(block, a.dz_mode, a.dz, i, [&](int) { return float(share * slope); });
    });
  }
};

template <class Launch>
void focal_fwd(Launch&& launch, const FocalFwd& a) {
  check(a);
  launch(FocalFwdKernel(), a);
}
template <class Launch>
void focal_bwd(Launch&& launch, const FocalBwd& a) {
  check(a);
  if (a.dz_mode != GradMode::skip) launch(FocalBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
