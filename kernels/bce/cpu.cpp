// kernels/bce/cpu.cpp — one thread: a batch is a few dozen logits.
#include "kernels/bce/bce.h"

#include "kernels/bce/terms.h"
#include "kernels/grad_store.h"

namespace bonafide::kernels {
namespace {

void check_common(Span<const float> z, Span<const float> y, std::int64_t scalar, float smoothing) {
  BF_CHECK(z.len > 0, "bce: the mean of no logits");
  BF_CHECK(y.len == z.len, "bce: ", y.len, " labels for ", z.len, " logits");
  BF_CHECK(scalar == 1, "bce: the loss has ", scalar, " elements, expected 1");
  BF_CHECK(smoothing >= 0 && smoothing <= 1, "bce: smoothing ", smoothing, ", expected [0, 1]");
}

}  // namespace

void check(const BceFwd& a) { check_common(a.z, a.y, a.loss.len, a.smoothing); }
void check(const BceBwd& a) {
  check_common(a.z, a.y, a.dloss.len, a.smoothing);
  BF_CHECK(a.dz_mode == GradMode::skip || a.dz.len == a.z.len, "bce: dz has ", a.dz.len, " elements, z has ", a.z.len);
}

namespace cpu {

void bce_fwd(const BceFwd& a) {
  check(a);
  double sum = 0;
  for (std::int64_t i = 0; i < a.z.len; ++i) sum += bce_term(a.z[i], a.y[i], a.smoothing);
  a.loss[0] = float(sum / double(a.z.len));
}

void bce_bwd(const BceBwd& a) {
  check(a);
  if (a.dz_mode == GradMode::skip) return;
  const double share = double(a.dloss[0]) / double(a.z.len);
  store_gradient(a.dz_mode, a.dz, 0, a.z.len,
                 [&](std::int64_t i) { return float(share * bce_slope(a.z[i], a.y[i], a.smoothing)); });
}

}  // namespace cpu
}  // namespace bonafide::kernels
