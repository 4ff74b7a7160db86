// layers/functional/patchify.cpp — the kernel recorded for autograd.
#include "layers/functional/patchify.h"

#include "engine/autograd.h"
#include "kernels/patchify/patchify.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct PatchifyNode final : Node {
  int k = 1;
  const char* name() const override { return "patchify"; }
  void backward(const Tensor& dy) override {
    const Shape& s = inputs[0].shape();
    const auto dx = inputs[0].grad_slot();
    for_storage(name(), dy.dtype(), [&]<class T>(T) {
      kernels::patchify_bwd<T>(dy.context().target(), {.dy = dy.cspan<T>(),
                                                       .dx = dx.span<T>(),
                                                       .dx_mode = dx.mode,
                                                       .N = s[0],
                                                       .H = s[1],
                                                       .W = s[2],
                                                       .C = s[3],
                                                       .k = k});
    });
  }
};

}  // namespace

Tensor patchify(const Tensor& x, int k) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() == 4 && k > 0, "patchify: expected [N, H, W, C], got ", s.str(), ", k ", k);
  Tensor y = Tensor::empty(x.context(), {s[0], s[1] / k, s[2] / k, s[3] * k * k}, x.dtype());
  for_storage("patchify", x.dtype(), [&]<class T>(T) {
    kernels::patchify_fwd<T>(
        x.context().target(), {.x = x.cspan<T>(), .y = y.span<T>(), .N = s[0], .H = s[1], .W = s[2], .C = s[3], .k = k});
  });
  if (needs_grad(x.context(), x)) {
    auto n = std::make_shared<PatchifyNode>();
    n->inputs = {x}, n->k = k;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
