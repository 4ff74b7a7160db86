// kernels/conv2d/onednn_conv.cpp — see conv_piece.h: pieces by oneDNN's direct convolutions, or, where it has none (bf16
// without AVX-512), by products of patches.
#include <algorithm>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>

#include "kernels/bounded_cache.h"
#include "kernels/conv2d/patches.h"
#include "kernels/onednn.h"
#include "kernels/thread_scratch.h"

namespace bonafide::kernels {
namespace {

using dnnl::memory;
using onednn::engine;
using onednn::OneThread;
using onednn::type_of;
using Type = memory::data_type;
constexpr auto kAny = memory::format_tag::any, kNhwc = memory::format_tag::nhwc;

enum class Pass : std::uint8_t { forward, data, weight };

struct Scratchpad;
struct ReorderScratchpad;
struct OwnFilter;

struct Key {
  Pass pass;
  ConvPiece piece;
  Type type, result;  // of x, dy and w; of what is computed
  bool bias;
  friend auto operator<=>(const Key&, const Key&) = default;
};

// A primitive and what it reads and writes. `filter` is in memory, `own` what the primitive wants: another order only where
// a piece is unlike the one that the packed order was asked for, and for weight gradients, whose result must be PyTorch's.
struct Plan {
  memory::desc in, filter, own, bias, out, scratch, reorder_scratch;  // in: x, or dy; out: y, dx or dy
  dnnl::primitive run, reorder;
  bool reorders() const { return filter != own; }
};

memory::desc activations(std::int64_t images, std::int64_t C, std::int64_t h, std::int64_t w, Type t) {
  return {{images, C, h, w}, t, kNhwc};
}
memory::desc filter_desc(const ConvFilter& f, Type t, bool plain) {
  if (f.groups == 1) return {{f.Cout, f.Cin, f.kernel_h, f.kernel_w}, t, plain ? memory::format_tag::oihw : kAny};
  return {{f.groups, f.out_group(), f.in_group(), f.kernel_h, f.kernel_w}, t, plain ? memory::format_tag::goihw : kAny};
}

dnnl::primitive_attr own_scratchpad() {
  dnnl::primitive_attr a;
  a.set_scratchpad_mode(dnnl::scratchpad_mode::user);  // the library's own is not shared between threads
  return a;
}

// The reference code of oneDNN is a thousand times slower than anything here.
template <class PD>
bool usable(const PD& pd) {
  return pd && std::string_view(pd.impl_info_str()).substr(0, 3) != "ref";
}

// Makes the primitive's descriptor with weights in the order `filter` and gives it to f, if there is one.
template <class F>
void describe(const Key& key, const memory::desc& filter, F&& f) {
  const ConvPiece& s = key.piece;
  const ConvFilter& k = s.filter;
  const auto in = [&](Type t) { return activations(s.images, k.Cin, s.in_h, s.in_w, t); };
  const auto out = activations(s.images, k.Cout, s.out_h, s.out_w, key.type);
  const memory::dims stride{k.stride_h, k.stride_w}, before{s.top, s.left};
  const memory::dims after{std::max<std::int64_t>(0, (s.out_h - 1) * k.stride_h + k.kernel_h - s.in_h - s.top),
                           std::max<std::int64_t>(0, (s.out_w - 1) * k.stride_w + k.kernel_w - s.in_w - s.left)};
  const auto direct = dnnl::algorithm::convolution_direct;
  const auto attributes = own_scratchpad();
  const auto forward = [&](const memory::desc& w, bool bias) {
    using desc = dnnl::convolution_forward::desc;
    const auto training = dnnl::prop_kind::forward_training;
    const memory::desc b({k.Cout}, Type::f32, memory::format_tag::a);
    return dnnl::convolution_forward::primitive_desc(
        bias ? desc(training, direct, in(key.type), w, b, out, stride, before, after)
             : desc(training, direct, in(key.type), w, out, stride, before, after),
        attributes, engine(), /*allow_empty=*/true);
  };
  if (key.pass == Pass::forward) {
    if (const auto pd = forward(filter, key.bias); usable(pd)) f(pd, pd.weights_desc());
    return;
  }
  const auto hint = forward(filter_desc(k, key.type, false), false);
  if (!hint) return;
  if (key.pass == Pass::data) {
    const dnnl::convolution_backward_data::primitive_desc pd({direct, in(key.result), filter, out, stride, before, after},
                                                             attributes, engine(), hint, true);
    if (usable(pd)) f(pd, pd.weights_desc());
  } else {
    const dnnl::convolution_backward_weights::primitive_desc pd({direct, in(key.type), filter, out, stride, before, after},
                                                                attributes, engine(), hint, true);
    if (usable(pd)) f(pd, pd.diff_weights_desc());
  }
}

// The order of weights that oneDNN asks for when it is free to choose, for a piece of 16 x 16 pixels. It depends on the
// filter alone. Empty: there is no kernel.
struct Order {
  std::optional<memory::desc> filter;
};
using OrderKey = std::tuple<ConvPass, ConvFilter, Type>;
BoundedCache<OrderKey, Order>& orders() {
  static BoundedCache<OrderKey, Order> cache(256);
  return cache;
}
std::shared_ptr<const Order> order_of(ConvPass pass, const ConvFilter& f, Type type) {
  return orders().get({pass, f, type}, [&] {
    const ConvPiece typical{.filter = f,
                            .images = 1,
                            .in_h = 15 * f.stride_h + f.kernel_h,
                            .in_w = 15 * f.stride_w + f.kernel_w,
                            .out_h = 16,
                            .out_w = 16};
    Order order;
    describe({pass == ConvPass::forward ? Pass::forward : Pass::data, typical, type, type, pass == ConvPass::forward},
             filter_desc(f, type, false), [&](const auto&, const memory::desc& filter) { order.filter = filter; });
    return order;
  });
}

Plan make_plan(const Key& key, const memory::desc& filter) {
  const ConvPiece& s = key.piece;
  Plan p;
  p.filter = filter;
  const memory::desc in = activations(s.images, s.filter.Cin, s.in_h, s.in_w, key.pass == Pass::data ? key.result : key.type);
  const memory::desc out = activations(s.images, s.filter.Cout, s.out_h, s.out_w, key.type);
  p.in = in, p.out = out;
  if (key.bias) p.bias = memory::desc({s.filter.Cout}, Type::f32, memory::format_tag::a);
  const auto take = [&](const auto& pd, const memory::desc& own) {
    p.own = own, p.scratch = pd.scratchpad_desc(), p.run = dnnl::primitive(pd.get());
  };
  if (key.pass != Pass::weight) describe(key, filter, take);  // as it is packed, if there is a kernel for that
  if (!p.run) describe(key, filter_desc(s.filter, key.pass == Pass::weight ? Type::f32 : key.type, false), take);
  if (p.run && p.reorders()) {
    const bool weight = key.pass == Pass::weight;
    const dnnl::reorder::primitive_desc pd(engine(), weight ? p.own : p.filter, engine(), weight ? p.filter : p.own, own_scratchpad());
    p.reorder_scratch = pd.scratchpad_desc(), p.reorder = dnnl::reorder(pd);
  }
  return p;
}

// A pyramid of images of one size needs some 30 plans, each training step of a face network about 150.
BoundedCache<Key, Plan>& plans() {
  static BoundedCache<Key, Plan> cache(512);
  return cache;
}

template <class Tag>
memory scratch_memory(const memory::desc& d) {
  return {d, engine(), thread_scratch<Tag>(d.get_size())};
}
using Arguments = std::unordered_map<int, memory>;

dnnl::stream& stream() {
  static thread_local dnnl::stream s(engine());
  return s;
}
void execute(const Plan& p, Arguments a) {
  if (p.scratch.get_size() > 0) a.emplace(DNNL_ARG_SCRATCHPAD, scratch_memory<Scratchpad>(p.scratch));
  p.run.execute(stream(), a);
}
void reorder(const Plan& p, const memory& from, const memory& to) {
  Arguments a{{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
  if (p.reorder_scratch.get_size() > 0)
    a.emplace(DNNL_ARG_SCRATCHPAD, scratch_memory<ReorderScratchpad>(p.reorder_scratch));
  p.reorder.execute(stream(), a);
}
memory at(const memory::desc& d, const void* p) { return {d, engine(), const_cast<void*>(p)}; }

// The packed weights as the plan's primitive reads them.
memory weights(const Plan& p, const void* packed) {
  const memory as_packed = at(p.filter, packed);
  if (!p.reorders()) return as_packed;
  const memory own = scratch_memory<OwnFilter>(p.own);
  reorder(p, as_packed, own);
  return own;
}

// oneDNN's errors as ours; one thread.
template <class F>
auto guarded(const char* what, const ConvFilter& f, F&& run) {
  const OneThread guard;
  try {
    return run();
  } catch (const dnnl::error& e) {
    throw Error(str("oneDNN, ", what, " ", f.Cin, " to ", f.Cout, " channels, ", f.kernel_h, " x ", f.kernel_w, ": ", e.what()));
  }
}

}  // namespace

template <class T>
std::int64_t packed_bytes(ConvPass pass, const ConvFilter& f) {
  return guarded("weights of", f, [&]() -> std::int64_t {
    const auto order = order_of(pass, f, type_of<T>);
    return order->filter ? std::int64_t(order->filter->get_size()) : patches::packed_bytes<T>(f);
  });
}

template <class T>
void pack(ConvPass pass, const ConvFilter& f, const T* w, void* packed) {
  guarded("packing", f, [&] {
    const auto order = order_of(pass, f, type_of<T>);
    if (!order->filter) return patches::pack(f, w, packed);
    memory from = at(filter_desc(f, type_of<T>, true), w), to = at(*order->filter, packed);
    dnnl::reorder(from, to).execute(stream(), from, to);
  });
}

template <class T>
void conv_forward(const ConvPiece& s, const T* x, const void* packed, const float* b, T* y) {
  guarded("convolution", s.filter, [&] {
    const auto order = order_of(ConvPass::forward, s.filter, type_of<T>);
    if (!order->filter) return patches::conv_forward(s, x, packed, b, y);
    const Key key{Pass::forward, s, type_of<T>, type_of<T>, b != nullptr};
    const auto p = plans().get(key, [&] { return make_plan(key, *order->filter); });
    BF_CHECK(p->run, "oneDNN has no convolution of ", s.in_h, " x ", s.in_w, " by ", s.filter.kernel_h, " x ", s.filter.kernel_w);
    Arguments a{{DNNL_ARG_SRC, at(p->in, x)}, {DNNL_ARG_WEIGHTS, weights(*p, packed)}, {DNNL_ARG_DST, at(p->out, y)}};
    if (b) a.emplace(DNNL_ARG_BIAS, at(p->bias, b));
    execute(*p, std::move(a));
  });
}

template <class T, class TR>
void conv_data(const ConvPiece& s, const T* dy, const void* packed, TR* dx) {
  guarded("data gradient", s.filter, [&] {
    const auto order = order_of(ConvPass::data, s.filter, type_of<T>);
    if (!order->filter) return patches::conv_data(s, dy, packed, dx);
    const Key key{Pass::data, s, type_of<T>, type_of<TR>, false};
    const auto p = plans().get(key, [&] { return make_plan(key, *order->filter); });
    BF_CHECK(p->run, "oneDNN has no data gradient of ", s.in_h, " x ", s.in_w, " by ", s.filter.kernel_h, " x ", s.filter.kernel_w);
    execute(*p, {{DNNL_ARG_DIFF_DST, at(p->out, dy)}, {DNNL_ARG_WEIGHTS, weights(*p, packed)}, {DNNL_ARG_DIFF_SRC, at(p->in, dx)}});
  });
}

template <class T>
void conv_weight(const ConvPiece& s, const T* dy, const T* x, float* dw) {
  guarded("weight gradient", s.filter, [&] {
    const Key key{Pass::weight, s, type_of<T>, Type::f32, false};
    const auto p = plans().get(key, [&] { return make_plan(key, filter_desc(s.filter, Type::f32, true)); });
    if (!p->run) return patches::conv_weight(s, dy, x, dw);
    const memory result = at(p->filter, dw), own = p->reorders() ? scratch_memory<OwnFilter>(p->own) : result;
    execute(*p, {{DNNL_ARG_SRC, at(p->in, x)}, {DNNL_ARG_DIFF_DST, at(p->out, dy)}, {DNNL_ARG_DIFF_WEIGHTS, own}});
    if (p->reorders()) reorder(*p, own, result);
  });
}

void forget_conv_plans() { orders().clear(), plans().clear(); }

template std::int64_t packed_bytes<float>(ConvPass, const ConvFilter&);
template std::int64_t packed_bytes<bf16>(ConvPass, const ConvFilter&);
template void pack(ConvPass, const ConvFilter&, const float*, void*);
template void pack(ConvPass, const ConvFilter&, const bf16*, void*);
template void conv_forward(const ConvPiece&, const float*, const void*, const float*, float*);
template void conv_forward(const ConvPiece&, const bf16*, const void*, const float*, bf16*);
template void conv_data(const ConvPiece&, const float*, const void*, float*);
template void conv_data(const ConvPiece&, const bf16*, const void*, bf16*);
template void conv_data(const ConvPiece&, const bf16*, const void*, float*);
template void conv_weight(const ConvPiece&, const float*, const float*, float*);
template void conv_weight(const ConvPiece&, const bf16*, const bf16*, float*);

}  // namespace bonafide::kernels
