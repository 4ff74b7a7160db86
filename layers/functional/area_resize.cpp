// layers/functional/area_resize.cpp — the kernels recorded for autograd.
#include "layers/functional/area_resize.h"

#include "engine/autograd.h"
#include "kernels/area_resize/area_resize.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct AreaResizeNode final : Node {
  const char* name() const override { return "area_resize"; }
  void backward(const Tensor& dy) override {
    const Tensor& x = inputs[0];
    const Shape &s = x.shape(), &out = dy.shape();
    const auto dx = x.grad_slot();
    for_storage(name(), x.dtype(), [&]<class T>(T) {
      kernels::area_resize_bwd<T>(x.context().target(), {.dy = dy.cspan<T>(),
                                                         .dx = dx.span<T>(),
                                                         .dx_mode = dx.mode,
                                                         .N = s[0],
                                                         .H = int(s[1]),
                                                         .W = int(s[2]),
                                                         .C = int(s[3]),
                                                         .OH = int(out[1]),
                                                         .OW = int(out[2])});
    });
  }
};

}  // namespace

Tensor area_resize(const Tensor& x, int h, int w) {
  const Shape& s = x.shape();
  BF_CHECK(s.rank() == 4 && h > 0 && w > 0, "area_resize: expected [N, H, W, C] and at least 1 x 1, got ", s.str(),
           " and ", h, " x ", w);
  Tensor y = Tensor::empty(x.context(), {s[0], h, w, s[3]}, x.dtype());
  for_storage("area_resize", x.dtype(), [&]<class T>(T) {
    kernels::area_resize_fwd<T>(x.context().target(), {.x = x.cspan<T>(),
                                                       .y = y.span<T>(),
                                                       .N = s[0],
                                                       .H = int(s[1]),
                                                       .W = int(s[2]),
                                                       .C = int(s[3]),
                                                       .OH = h,
                                                       .OW = w});
  });
  if (needs_grad(x.context(), x)) {
    auto n = std::make_shared<AreaResizeNode>();
    n->inputs = {x};
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
