// layers/functional/all_gather.cpp — shares may differ in size, a gather may not: each is sent in room for the largest.
#include "layers/functional/all_gather.h"

#include <algorithm>

#include "engine/autograd.h"

namespace bonafide::fn {
namespace {

struct AllGatherNode final : Node {
  std::int64_t at = 0;  // elements before the own rows
  const char* name() const override { return "all_gather_rows"; }
  void backward(const Tensor& dy) override {
    auto dx = inputs[0].grad_slot();
    if (dx.mode == GradMode::skip) return;
    BF_CHECK(dx.mode == GradMode::write, "all_gather_rows: of a tensor that others use too");
    dx.buffer.copy_from(Tensor::view(dy, at, dx.buffer.shape()));
  }
};

}  // namespace

Tensor all_gather_rows(Communicator& comm, const Tensor& x, const std::vector<std::int64_t>& first) {
  const auto rank = std::size_t(comm.rank()), world = std::size_t(comm.world());
  BF_CHECK(first.size() == world + 1 && first[0] == 0 && std::is_sorted(first.begin(), first.end()),
           "all_gather_rows: ", first.size(), " bounds of the shares of ", world, " processes");
  BF_CHECK(x.dtype() == DType::f32 && x.shape().rank() > 0 && x.shape()[0] == first[rank + 1] - first[rank],
           "all_gather_rows: ", x.shape().str(), " ", name_of(x.dtype()), " for ", first[rank + 1] - first[rank], " rows of f32");
  std::vector<std::int64_t> dims;
  for (int i = 0; i < x.shape().rank(); ++i) dims.push_back(x.shape()[i]);
  std::int64_t row = 1, largest = 0;
  for (std::size_t i = 1; i < dims.size(); ++i) row *= dims[i];
  for (std::size_t r = 0; r < world; ++r) largest = std::max(largest, first[r + 1] - first[r]);
  const auto copy = [](const Tensor& to, std::int64_t at, const Tensor& from, std::int64_t from_at, std::int64_t n) {
    if (n > 0) Tensor::view(to, at, {n}).copy_from(Tensor::view(from, from_at, {n}));
  };
  Context& ctx = x.context();
  const Tensor mine = Tensor::zeros(ctx, {largest * row}), all = Tensor::empty(ctx, {largest * row * std::int64_t(world)});
  copy(mine, 0, x, 0, x.numel());
  comm.all_gather(mine.cspan(), all.span());
  dims[0] = first[world];
  Tensor y = Tensor::empty(ctx, Shape(std::span<const std::int64_t>(dims)));
  for (std::size_t r = 0; r < world; ++r)
    copy(y, first[r] * row, all, std::int64_t(r) * largest * row, (first[r + 1] - first[r]) * row);
  if (needs_grad(ctx, x)) {
    auto n = std::make_shared<AllGatherNode>();
    n->inputs = {x};
    n->at = first[rank] * row;
    y.set_node(std::move(n));
  }
  return y;
}

}  // namespace bonafide::fn
