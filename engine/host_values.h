// engine/host_values.h — an f32 tensor's values where host code can read and write them: the tensor's own memory on the
// CPU, a copy of it for a GPU's. For weights, checkpoints and initialisation, not for the training loop.
#pragma once
#include <memory>

#include "engine/context.h"
#include "engine/safetensors.h"
#include "engine/tensor.h"

namespace bonafide {

// To read. What it points at lives as long as this object, and on the CPU changes with the tensor.
class HostValues {
 public:
  explicit HostValues(const Tensor& t) : tensor_(t) {
    if (t.context().on_gpu()) copy_ = std::make_shared<const std::vector<float>>(t.to_host());
  }
  Span<const float> span() const { return copy_ ? Span<const float>(*copy_) : tensor_.cspan<float>(); }

 private:
  Tensor tensor_;
  std::shared_ptr<const std::vector<float>> copy_;
};

// To write: calls fill(Span<float>) with memory for all of the values (the old ones are not there on a GPU).
template <class F>
void write_values(const Tensor& t, F&& fill) {
  if (!t.context().on_gpu()) return fill(t.span<float>());
  std::vector<float> values(std::size_t(t.numel()));
  fill(Span<float>(values));
  Tensor(t).copy_from_host(values);
}

// For a file, under this name and with the tensor's shape. Keeps the memory alive that it points at.
inline StoredArray stored_tensor(std::string name, const Tensor& t) {
  std::vector<std::int64_t> shape;
  for (int i = 0; i < t.shape().rank(); ++i) shape.push_back(t.shape()[i]);
  const auto values = std::make_shared<const HostValues>(t);
  StoredArray a = stored_array<float>(std::move(name), std::move(shape), values->span());
  a.owner = values;
  return a;
}

}  // namespace bonafide
