// engine/tensor.cpp — handles, views, and the backward walk.
#include "engine/tensor.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "engine/autograd.h"
#include "engine/context.h"

namespace bonafide {

const char* name_of(DType t) {
  switch (t) {
    case DType::f32: return "f32";
    case DType::bf16: return "bf16";
    case DType::i32: return "i32";
    case DType::u8: return "u8";
  }
  return "?";
}

struct Tensor::Impl {
  Context* ctx = nullptr;
  Shape shape;
  DType dtype{};
  std::shared_ptr<void> data;
  Tensor compute_copy;
  Tensor grad;
  bool grad_written = false;
  bool requires_grad = false;
  bool fixed_grad = false;  // the buffer belongs to an arena: keep it, only forget what is in it
  std::shared_ptr<Node> node;
  std::function<void(Tensor&)> hook;
};

// ---------------------------------------------------------------- Shape

Shape::Shape(std::span<const std::int64_t> d) : rank_(int(d.size())) {
  BF_CHECK(rank_ <= kMaxRank, "rank ", rank_, ", at most ", kMaxRank);
  std::copy(d.begin(), d.end(), dims_.begin());
  for (int i = 0; i < rank_; ++i) BF_CHECK(dims_[std::size_t(i)] >= 0, "negative extent in ", str());
}
std::int64_t Shape::operator[](int a) const {
  const int i = a < 0 ? a + rank_ : a;
  BF_CHECK(i >= 0 && i < rank_, "axis ", a, " of ", str());
  return dims_[std::size_t(i)];
}
std::int64_t Shape::numel() const {
  std::int64_t n = 1;
  for (int i = 0; i < rank_; ++i) n *= dims_[std::size_t(i)];
  return n;
}
Shape Shape::with_last(std::int64_t n) const {
  Shape s = *this;
  BF_CHECK(rank_ > 0, "a scalar has no last axis");
  s.dims_[std::size_t(rank_ - 1)] = n;
  return s;
}
std::string Shape::str() const {
  std::string s = "[";
  for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string(dims_[std::size_t(i)]);
  return s + "]";
}

// ---------------------------------------------------------------- making tensors

Tensor Tensor::with_data(Context& ctx, Shape shape, DType t, std::shared_ptr<void> data) {
  Tensor r;
  r.impl_ = std::make_shared<Impl>();
  r.impl_->ctx = &ctx, r.impl_->shape = shape, r.impl_->dtype = t, r.impl_->data = std::move(data);
  return r;
}
Tensor Tensor::empty(Context& ctx, Shape shape, DType t, const char* name) {
  const std::size_t bytes = std::size_t(shape.numel() * size_of(t));
  CachingAllocator* allocator = &ctx.allocator();
  void* p = allocator->allocate(bytes, name);
#if BF_CHECKED
  ctx.set_bytes(p, 0xff, bytes);  // all ones is a NaN in f32 and in bf16
#endif
  return with_data(ctx, shape, t, {p, [allocator, bytes, name](void* q) { allocator->release(q, bytes, name); }});
}
Tensor Tensor::zeros(Context& ctx, Shape shape, DType t, const char* name) {
  Tensor r = empty(ctx, shape, t, name);
  r.set_to_zero();
  return r;
}
Tensor Tensor::full(Context& ctx, Shape shape, float value, DType t, const char* name) {
  return from_host(ctx, shape, std::vector<float>(std::size_t(shape.numel()), value), t, name);
}
Tensor Tensor::from_host(Context& ctx, Shape shape, std::span<const float> v, DType t, const char* name) {
  Tensor r = empty(ctx, shape, t, name);
  r.copy_from_host(v);
  return r;
}
template <class T>
static Tensor copy_of(Context& ctx, Shape shape, std::span<const T> v) {
  BF_CHECK(shape.numel() == std::int64_t(v.size()), v.size(), " values for shape ", shape.str());
  Tensor r = Tensor::empty(ctx, shape, dtype_of<T>());
  ctx.upload(r.span<T>().ptr, v.data(), v.size_bytes());
  return r;
}
Tensor Tensor::from_host(Context& ctx, Shape shape, std::span<const std::int32_t> v) { return copy_of(ctx, shape, v); }
Tensor Tensor::from_host(Context& ctx, Shape shape, std::span<const std::uint8_t> v) { return copy_of(ctx, shape, v); }
Tensor Tensor::view(const Tensor& arena, std::int64_t offset, Shape shape) {
  BF_CHECK(offset >= 0 && offset + shape.numel() <= arena.numel(), "view ", shape.str(), " at ", offset, " of ",
           arena.shape().str());
  char* p = static_cast<char*>(arena.impl_->data.get()) + offset * size_of(arena.dtype());
  return with_data(arena.context(), shape, arena.dtype(), std::shared_ptr<void>(arena.impl_->data, p));
}

// ---------------------------------------------------------------- asking

const Shape& Tensor::shape() const {
  BF_CHECK(impl_, "empty tensor");
  return impl_->shape;
}
DType Tensor::dtype() const {
  BF_CHECK(impl_, "empty tensor");
  return impl_->dtype;
}
Context& Tensor::context() const {
  BF_CHECK(impl_, "empty tensor");
  return *impl_->ctx;
}
void* Tensor::raw(DType want) const {
  BF_CHECK(dtype() == want, "tensor of ", name_of(dtype()), " read as ", name_of(want));
  return impl_->data.get();
}
template <class T>
static std::vector<float> widened(Context& ctx, Span<const T> s) {
  std::vector<T> copy;
  if (ctx.on_gpu()) {
    copy.resize(std::size_t(s.len));
    ctx.download(copy.data(), s.ptr, copy.size() * sizeof(T));
    if constexpr (std::is_same_v<T, float>) return copy;
    s = copy;
  }
  std::vector<float> v(std::size_t(s.len));
  for (std::int64_t i = 0; i < s.len; ++i) v[std::size_t(i)] = float(s[i]);
  return v;
}
std::vector<float> Tensor::to_host() const {
  switch (dtype()) {
    case DType::f32: return widened(context(), cspan<float>());
    case DType::bf16: return widened(context(), cspan<bf16>());
    case DType::i32: return widened(context(), cspan<std::int32_t>());
    case DType::u8: return widened(context(), cspan<std::uint8_t>());
  }
  return {};
}
float Tensor::item() const {
  BF_CHECK(numel() == 1, "item() of shape ", shape().str());
  return to_host()[0];
}
void Tensor::copy_from_host(std::span<const float> v) {
  BF_CHECK(numel() == std::int64_t(v.size()), v.size(), " values for shape ", shape().str());
  if (dtype() == DType::f32) return context().upload(raw(DType::f32), v.data(), v.size_bytes());
  const auto narrow = [&](Span<bf16> d) {
    for (std::int64_t i = 0; i < d.len; ++i) d[i] = bf16(v[std::size_t(i)]);
  };
  if (!context().on_gpu()) return narrow(span<bf16>());
  std::vector<bf16> low(v.size());
  narrow(low);
  context().upload(raw(DType::bf16), low.data(), low.size() * sizeof(bf16));
}
void Tensor::copy_from(const Tensor& o) {
  BF_CHECK(o.shape() == shape() && o.dtype() == dtype(), o.shape().str(), " ", name_of(o.dtype()), " into ", shape().str(), " ",
           name_of(dtype()));
  BF_CHECK(&o.context() == &context(), "copy_from() between contexts");
  context().copy(raw(dtype()), o.raw(dtype()), std::size_t(numel() * size_of(dtype())));
}
void Tensor::set_to_zero() { context().set_bytes(raw(dtype()), 0, std::size_t(numel() * size_of(dtype()))); }
void Tensor::set_compute_copy(const Tensor& copy) {
  BF_CHECK(copy.shape() == shape(), "compute copy ", copy.shape().str(), " for ", shape().str());
  impl_->compute_copy = copy;
}
Tensor Tensor::as(DType t) const {
  if (dtype() == t) return *this;
  if (impl_->compute_copy && impl_->compute_copy.dtype() == t) return impl_->compute_copy;
  BF_CHECK(t == DType::f32 || t == DType::bf16, "as(", name_of(t), ")");
  return from_host(context(), shape(), to_host(), t, "compute copy");
}
bool Tensor::shares_memory_with(const Tensor& o) const { return impl_ && o.impl_ && impl_->data == o.impl_->data; }

// ---------------------------------------------------------------- autograd

Tensor& Tensor::require_grad(bool on) {
  BF_CHECK(impl_ && !impl_->node, "only a leaf can be told to require a gradient");
  BF_CHECK(dtype() == DType::f32 || dtype() == DType::bf16, "no gradients for ", name_of(dtype()));
  impl_->requires_grad = on;
  return *this;
}
bool Tensor::requires_grad() const { return impl_ && (impl_->requires_grad || impl_->node); }
bool Tensor::grad_written() const { return impl_ && impl_->grad_written; }
Tensor Tensor::grad() const { return grad_written() ? impl_->grad : Tensor(); }
void Tensor::set_grad_buffer(const Tensor& buffer, bool holds_gradient) {
  BF_CHECK(buffer.shape() == shape(), "gradient buffer ", buffer.shape().str(), " for ", shape().str());
  impl_->grad = buffer, impl_->fixed_grad = true, impl_->grad_written = holds_gradient;
}
void Tensor::zero_grad() {
  BF_CHECK(impl_, "empty tensor");
  if (!impl_->fixed_grad) impl_->grad = {};
  impl_->grad_written = false;
}
void Tensor::set_grad_hook(std::function<void(Tensor&)> hook) { impl_->hook = std::move(hook); }
Tensor Tensor::detach() const { return with_data(context(), shape(), dtype(), impl_->data); }
Tensor& Tensor::set_node(std::shared_ptr<Node> n) {
  n->sequence = impl_->ctx->next_sequence();
  impl_->node = std::move(n);
  return *this;
}

Tensor::GradSlot Tensor::grad_slot() const {
  if (!requires_grad()) return {};
  if (impl_->grad_written) return {impl_->grad, GradMode::add};
  if (!impl_->grad) impl_->grad = empty(*impl_->ctx, impl_->shape, impl_->dtype, "gradient");
  impl_->grad_written = true;
  return {impl_->grad, GradMode::write};
}

namespace {
struct ReshapeNode final : Node {
  const char* name() const override { return "reshape"; }
  void backward(const Tensor& dy) override {
    Tensor::GradSlot dx = inputs[0].grad_slot();
    if (dx.mode == GradMode::skip) return;
    if (dx.mode == GradMode::write) return dx.buffer.copy_from(Tensor::view(dy, 0, dx.buffer.shape()));
    // What is used by others too: no model does that, and the engine has no kernels. Through the host.
    std::vector<float> sum = dx.buffer.to_host();
    const std::vector<float> more = dy.to_host();
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
    dx.buffer.copy_from_host(sum);
  }
};
}  // namespace

Tensor Tensor::reshape(Shape s) const {
  BF_CHECK(s.numel() == numel(), shape().str(), " cannot become ", s.str());
  Tensor r = with_data(context(), s, dtype(), impl_->data);
  if (needs_grad(context(), *this)) {
    auto n = std::make_shared<ReshapeNode>();
    n->inputs = {*this};
    r.set_node(std::move(n));
  }
  return r;
}

void Tensor::backward() {
  BF_CHECK(numel() == 1, "backward() starts from a scalar, not ", shape().str());
  backward(full(context(), shape(), 1.0f, dtype(), "gradient"));
}
void Tensor::backward(const Tensor& seed) {
  BF_CHECK(impl_->node, "backward() from a tensor that no recorded operation made");
  BF_CHECK(seed.shape() == shape() && seed.dtype() == dtype(), "seed ", seed.shape().str(), " for ", shape().str());
  impl_->grad = seed, impl_->grad_written = true;
  backward_walk(true);
}
void backward_nested(const Tensor& output, const Tensor& seed) {
  BF_CHECK(output.impl_->node, "backward_nested() from a tensor that no recorded operation made");
  Tensor t = output;
  t.impl_->grad = seed, t.impl_->grad_written = true;
  t.backward_walk(false);
}

void Tensor::backward_walk(bool hooks) {
  NoGrad guard(context());
  // How many uses of each hooked leaf lie behind this tensor: its hook runs when the last of them has been walked.
  std::unordered_map<Impl*, int> uses;
  std::vector<Tensor> hooked;  // in order of discovery, so that what is left at the end runs in a fixed order
  if (hooks) {
    std::unordered_set<Node*> seen;
    std::vector<Node*> stack{impl_->node.get()};
    while (!stack.empty()) {
      Node* n = stack.back();
      stack.pop_back();
      if (!seen.insert(n).second) continue;
      for (const Tensor& in : n->inputs) {
        if (!in.impl_) continue;
        if (in.impl_->hook && ++uses[in.impl_.get()] == 1) hooked.push_back(in);
        if (in.impl_->node) stack.push_back(in.impl_->node.get());
      }
    }
  }
  // Newest operation first: creation order is a topological order, so no recursion and no sorting of the graph.
  std::map<std::uint64_t, Tensor, std::greater<>> todo;
  todo.emplace(impl_->node->sequence, *this);
  while (!todo.empty()) {
    Tensor t = todo.extract(todo.begin()).mapped();
    const std::shared_ptr<Node> node = std::move(t.impl_->node);  // frees what forward saved as we go
    t.impl_->node = nullptr;
    BF_CHECK(t.impl_->grad_written, "no gradient reached the output of ", node->name());
    {
      const ProfilerRange range(context(), node->name());
      node->backward(t.impl_->grad);
    }
    t.zero_grad();  // gradients of intermediate results die here; leaves keep theirs
    for (Tensor& in : node->inputs) {
      if (!in.impl_) continue;
      if (in.impl_->node && in.impl_->grad_written) todo.emplace(in.impl_->node->sequence, in);
      if (hooks && in.impl_->hook && --uses[in.impl_.get()] == 0) in.impl_->hook(in);
    }
  }
  for (Tensor& leaf : hooked)  // a node may send nothing to an input: whoever waits for the leaf must still hear of it
    if (uses[leaf.impl_.get()] > 0) leaf.impl_->hook(leaf);
}

}  // namespace bonafide
