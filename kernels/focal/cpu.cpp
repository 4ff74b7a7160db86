// kernels/focal/cpu.cpp — one thread: a batch is a few dozen logits.
#include "kernels/focal/focal.h"

#include "kernels/focal/terms.h"
#include "kernels/grad_store.h"

namespace bonafide::kernels {
namespace {

template <class A>
void check_common(const A& a, std::int64_t scalar) {
  BF_CHECK(a.z.len > 0, "focal: the mean of no logits");
  BF_CHECK(a.y.len == a.z.len, "focal: ", a.y.len, " labels for ", a.z.len, " logits");
  BF_CHECK(scalar == 1, "focal: the loss has ", scalar, " elements, expected 1");
  BF_CHECK(a.alpha >= 0 && a.alpha <= 1 && a.gamma >= 0, "focal: alpha ", a.alpha, ", gamma ", a.gamma);
}

double label_sum(Span<const float> y) {
  double sum = 0;
  for (const float v : y) sum += double(v);
  return sum;
}

}  // namespace

void check(const FocalFwd& a) { check_common(a, a.loss.len); }
void check(const FocalBwd& a) {
  check_common(a, a.dloss.len);
  BF_CHECK(a.dz_mode == GradMode::skip || a.dz.len == a.z.len, "focal: dz has ", a.dz.len, " elements, z has ",
           a.z.len);
}

namespace cpu {

void focal_fwd(const FocalFwd& a) {
  check(a);
  double sum = 0;
  for (std::int64_t i = 0; i < a.z.len; ++i) sum += focal_term(a, a.z[i], a.y[i]);
  a.loss[0] = float(batch_weight(a, label_sum(a.y)) * sum / double(a.z.len));
}

void focal_bwd(const FocalBwd& a) {
  check(a);
  if (a.dz_mode == GradMode::skip) return;
  const double share = batch_weight(a, label_sum(a.y)) * double(a.dloss[0]) / double(a.z.len);
  store_gradient(a.dz_mode, a.dz, 0, a.z.len,
                 [&](std::int64_t i) { return float(share * focal_slope(a, a.z[i], a.y[i])); });
}

}  // namespace cpu
}  // namespace bonafide::kernels
