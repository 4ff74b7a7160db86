// layers/functional/concat.cpp — the kernel recorded for autograd.
#include "layers/functional/concat.h"

#include <algorithm>

#include "engine/autograd.h"
#include "kernels/concat/concat.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {
namespace {

struct ConcatNode final : Node {
  const char* name() const override { return "concat"; }
  void backward(const Tensor& dy) override {
    std::int64_t at = 0;
    for (const Tensor& x : inputs) {
      const std::int64_t C = x.shape()[-1];
      const auto dx = x.grad_slot();
      for_storage(name(), dy.dtype(), [&]<class T>(T) {
        kernels::concat_bwd<T>(dy.context().target(), {.dy = dy.cspan<T>(),
                                                       .dx = dx.span<T>(),
                                                       .dx_mode = dx.mode,
                                                       .rows = dy.shape().rows(),
                                                       .C = C,
                                                       .total = dy.shape()[-1],
                                                       .at = at});
      });
      at += C;
    }
  }
};

}  // namespace

Tensor concat(const std::vector<Tensor>& xs) {
  BF_CHECK(!xs.empty(), "concat: of no tensors");
  const Tensor& first = xs.front();
  BF_CHECK(first.shape().rank() > 0, "concat: of a tensor without axes");
  std::int64_t total = 0;
  for (const Tensor& x : xs) {
    BF_CHECK(x.shape().rank() > 0 && x.shape().with_last(1) == first.shape().with_last(1) && x.dtype() == first.dtype(),
             "concat: ", x.shape().str(), " ", name_of(x.dtype()), " beside ", first.shape().str(), " ",
             name_of(first.dtype()));
    total += x.shape()[-1];
  }
  Tensor y = Tensor::empty(first.context(), first.shape().with_last(total), first.dtype());
  std::int64_t at = 0;
  for (const Tensor& x : xs) {
    const std::int64_t C = x.shape()[-1];
    for_storage("concat", x.dtype(), [&]<class T>(T) {
      kernels::concat_fwd<T>(
          first.context().target(),
          {.x = x.cspan<T>(), .y = y.span<T>(), .rows = y.shape().rows(), .C = C, .total = total, .at = at});
    });
    at += C;
  }
  if (first.context().grad_enabled() &&
      std::any_of(xs.begin(), xs.end(), [](const Tensor& x) { return x.requires_grad(); })) {
    auto n = std::make_shared<ConcatNode>();
    n->inputs = xs;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
