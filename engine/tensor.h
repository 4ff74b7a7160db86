// engine/tensor.h — Tensor: a contiguous, row-major, typed block of memory on one device, plus an optional place in
// the autograd graph. Copying a Tensor copies a handle, never the data. Images are [N, H, W, C].
#pragma once
#include <array>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base.h"
#include "engine/bf16.h"

namespace bonafide {

enum class DType : std::uint8_t { f32, bf16, i32, u8 };
constexpr std::int64_t size_of(DType t) { return t == DType::u8 ? 1 : t == DType::bf16 ? 2 : 4; }
const char* name_of(DType t);
template <class T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::f32;
  else if constexpr (std::is_same_v<T, bf16>) return DType::bf16;
  else if constexpr (std::is_same_v<T, std::int32_t>) return DType::i32;
  else {
    static_assert(std::is_same_v<T, std::uint8_t>, "no DType for this C++ type");
    return DType::u8;
  }
}

class Shape {
 public:
  static constexpr int kMaxRank = 5;
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const std::int64_t> dims);
  int rank() const { return rank_; }
  std::int64_t operator[](int axis) const;  // negative counts from the end
  std::int64_t numel() const;
  std::int64_t rows() const { return rank_ && (*this)[-1] ? numel() / (*this)[-1] : 0; }  // product of all but the last
  Shape with_last(std::int64_t n) const;  // the same leading axes, another last one
  std::string str() const;                // "[8, 14, 14, 320]"
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

class Context;
class Node;

class Tensor {
 public:
  Tensor() = default;  // empty handle: operator bool is false

  // ---- make. Memory comes from the context's caching allocator and returns to it with the last handle.
  // `name` (a string literal) groups the allocator's statistics.
  static Tensor empty(Context&, Shape, DType = DType::f32, const char* name = "activation");  // garbage; NaN if checked
  static Tensor zeros(Context&, Shape, DType = DType::f32, const char* name = "activation");
  static Tensor full(Context&, Shape, float value, DType = DType::f32, const char* name = "activation");
  // Converts to `t` when it is bf16.
  static Tensor from_host(Context&, Shape, std::span<const float>, DType t = DType::f32, const char* name = "activation");
  static Tensor from_host(Context&, Shape, std::span<const std::int32_t>);
  static Tensor from_host(Context&, Shape, std::span<const std::uint8_t>);
  // A window of `arena` (its elements [offset, offset + shape.numel())) that shares its memory.
  static Tensor view(const Tensor& arena, std::int64_t offset, Shape shape);

  // ---- ask
  explicit operator bool() const { return impl_ != nullptr; }
  const Shape& shape() const;
  DType dtype() const;
  Context& context() const;
  std::int64_t numel() const { return shape().numel(); }
  std::vector<float> to_host() const;  // f32, bf16, i32 and u8 alike; waits for the device: keep out of the loop
  float item() const;                  // the same for one element
  void copy_from_host(std::span<const float>);  // overwrites the data (f32, bf16); does not wait for the device
  void copy_from(const Tensor&);                // the same from a tensor of the same context, shape and dtype
  void set_to_zero();
  bool shares_memory_with(const Tensor&) const;

  // ---- precision. A parameter is an f32 master; matrix products read it through as(), which answers with the master
  // itself, with the low-precision copy that the optimiser keeps, or, where there is none, with a fresh conversion.
  void set_compute_copy(const Tensor& copy);
  Tensor as(DType) const;

  // ---- hand to a kernel. Throws if T is not this tensor's dtype. On a GPU this is device memory, which the host must not
  // touch: host code reads and writes through to_host(), copy_from_host() and engine/host_values.h.
  template <class T = float>
  Span<T> span() const {
    return {static_cast<T*>(raw(dtype_of<T>())), numel()};
  }
  template <class T = float>
  Span<const T> cspan() const {
    return span<T>();
  }

  // ---- autograd
  Tensor& require_grad(bool on = true);
  bool requires_grad() const;  // a leaf that wants a gradient, or the result of a recorded operation
  Tensor grad() const;         // empty until backward() has reached this tensor
  // Gradients of this leaf go to `buffer` (an arena's slice); `holds_gradient`: add to what is there already.
  void set_grad_buffer(const Tensor& buffer, bool holds_gradient = false);
  void zero_grad();            // marks the gradient as not written: the next backward writes instead of adding
  bool grad_written() const;
  // Called during backward() once this leaf's gradient is final, whatever its number of uses.
  void set_grad_hook(std::function<void(Tensor&)>);
  Tensor detach() const;  // the same data, outside the graph
  Tensor reshape(Shape) const;  // the same data under another shape, same number of elements; differentiable

  // From a scalar (seed 1) or from any tensor with its gradient given. Frees the graph behind it.
  void backward();
  void backward(const Tensor& seed);

  // ---- for authors of operations: where does the gradient go, and is it written or added?
  struct GradSlot;  // { Tensor buffer; GradMode mode; } buffer is empty when mode is skip
  GradSlot grad_slot() const;
  Tensor& set_node(std::shared_ptr<Node>);

 private:
  friend class Node;
  struct Impl;
  std::shared_ptr<Impl> impl_;
  void* raw(DType expected) const;
  static Tensor with_data(Context&, Shape, DType, std::shared_ptr<void>);
  void backward_walk(bool hooks);
  friend void backward_nested(const Tensor& output, const Tensor& seed);
};

struct Tensor::GradSlot {
  Tensor buffer;
  GradMode mode = GradMode::skip;
  template <class T = float>
  Span<T> span() const {
    return buffer ? buffer.span<T>() : Span<T>();
  }
};

// backward() of a graph recorded inside one node of an outer graph: hooks stay silent, the outer walk calls them.
void backward_nested(const Tensor& output, const Tensor& seed);

}  // namespace bonafide
