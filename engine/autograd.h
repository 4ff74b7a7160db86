// engine/autograd.h — a Node is what backward() needs to know about one forward call.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/context.h"
#include "engine/tensor.h"

namespace bonafide {

class Node {
 public:
  virtual ~Node() = default;
  virtual const char* name() const = 0;         // appears in error messages
  virtual void backward(const Tensor& dy) = 0;  // fills input.grad_slot() of each input that needs a gradient
  std::vector<Tensor> inputs;                   // edges; every tensor that may receive a gradient from this node
  std::uint64_t sequence = 0;                   // creation order, set when the node is attached
};

// True if an operation on these inputs has to record a node.
template <class... Ts>
bool needs_grad(Context& ctx, const Ts&... inputs) {
  return ctx.grad_enabled() && (... || inputs.requires_grad());
}

}  // namespace bonafide
