// kernels/conv2d/onednn_conv.cpp — see conv_piece.h: pieces by oneDNN's direct convolutions, or, where it has none
// (bf16 without AVX-512), by products of patches.
#include <algorithm>
#include <cstring>
#include <string_view>
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
struct NoBias;

struct Key {
  Pass pass;
  ConvPiece piece;
  Type type;  // of x, y and dy, and of the weights that are read
  friend auto operator<=>(const Key&, const Key&) = default;
  Type in() const { return pass == Pass::data ? Type::f32 : type; }        // x or dx
  Type filter() const { return pass == Pass::weight ? Type::f32 : type; }  // w or dw
};

// A primitive, what it reads and writes, and how weight gradients come from its order into PyTorch's.
struct Plan {
  memory::desc in, filter, bias, out, scratch, reorder_scratch;  // in: x or dx; out: y or dy
  dnnl::primitive run, reorder;                                  // run: empty where oneDNN has no kernel
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

Plan make_plan(const Key& key) {
  const ConvPiece& s = key.piece;
  const ConvFilter& k = s.filter;
  const auto in = [&](Type t) { return activations(s.images, k.Cin, s.in_h, s.in_w, t); };
  const auto out = activations(s.images, k.Cout, s.out_h, s.out_w, key.type);
  const memory::dims stride{k.stride_h, k.stride_w}, before{s.top, s.left};
  const memory::dims after{std::max<std::int64_t>(0, (s.out_h - 1) * k.stride_h + k.kernel_h - s.in_h - s.top),
                           std::max<std::int64_t>(0, (s.out_w - 1) * k.stride_w + k.kernel_w - s.in_w - s.left)};
  const auto direct = dnnl::algorithm::convolution_direct;
  const auto attributes = own_scratchpad();
  Plan p{.in = in(key.in()), .bias = {{k.Cout}, Type::f32, memory::format_tag::a}, .out = out};
  const auto take = [&](const auto& pd, const memory::desc& filter) {
    if (usable(pd)) p.filter = filter, p.scratch = pd.scratchpad_desc(), p.run = dnnl::primitive(pd.get());
  };

  const dnnl::convolution_forward::primitive_desc forward(
      {dnnl::prop_kind::forward_training, direct, in(key.type), filter_desc(k, key.type, false), p.bias, out, stride,
       before, after},
      attributes, engine(), /*allow_empty=*/true);
  if (!forward) return p;  // backward passes ask for it
  if (key.pass == Pass::forward) {
    take(forward, forward.weights_desc());
  } else if (key.pass == Pass::data) {
    const dnnl::convolution_backward_data::primitive_desc pd(
        {direct, p.in, filter_desc(k, key.filter(), false), out, stride, before, after}, attributes, engine(), forward,
        true);
    if (pd) take(pd, pd.weights_desc());
  } else {
    const dnnl::convolution_backward_weights::primitive_desc pd(
        {direct, p.in, filter_desc(k, key.filter(), false), out, stride, before, after}, attributes, engine(), forward,
        true);
    if (!pd) return p;
    take(pd, pd.diff_weights_desc());
    const memory::desc plain = filter_desc(k, key.filter(), true);
    if (p.run && p.filter != plain) {
      const dnnl::reorder::primitive_desc to(engine(), p.filter, engine(), plain, attributes);
      p.reorder_scratch = to.scratchpad_desc(), p.reorder = dnnl::reorder(to);
    }
  }
  return p;
}

// A pyramid of images of one size needs some 30 plans, each training step of a face network about 150.
BoundedCache<Key, Plan>& plans() {
  static BoundedCache<Key, Plan> cache(512);
  return cache;
}
std::shared_ptr<const Plan> plan(Pass pass, const ConvPiece& s, Type type) {
  const Key key{pass, s, type};
  return plans().get(key, [&] { return make_plan(key); });
}
Pass pass_of(ConvPass pass) { return pass == ConvPass::forward ? Pass::forward : Pass::data; }

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
memory at(const memory::desc& d, const void* p) { return {d, engine(), const_cast<void*>(p)}; }

// oneDNN's errors as ours; one thread.
template <class F>
auto guarded(const char* what, const ConvFilter& f, F&& run) {
  const OneThread guard;
  try {
    return run();
  } catch (const dnnl::error& e) {
    throw Error(str("oneDNN, ", what, " ", f.Cin, " to ", f.Cout, " channels, ", f.kernel_h, " x ", f.kernel_w, ": ",
                    e.what()));
  }
}

}  // namespace

template <class T>
std::int64_t packed_bytes(ConvPass pass, const ConvPiece& s) {
  return guarded("weights of", s.filter, [&]() -> std::int64_t {
    const auto p = plan(pass_of(pass), s, type_of<T>);
    return p->run ? std::int64_t(p->filter.get_size()) : patches::packed_bytes<T>(s.filter);
  });
}

template <class T>
bool same_order(ConvPass pass, const ConvPiece& a, const ConvPiece& b) {
  return guarded("weights of", a.filter, [&] {
    const auto p = plan(pass_of(pass), a, type_of<T>), q = plan(pass_of(pass), b, type_of<T>);
    return bool(p->run) == bool(q->run) && (!p->run || p->filter == q->filter);
  });
}

template <class T>
void pack(ConvPass pass, const ConvPiece& s, const T* w, void* packed) {
  guarded("packing", s.filter, [&] {
    const auto p = plan(pass_of(pass), s, type_of<T>);
    if (!p->run) return patches::pack(s.filter, w, packed);
    memory from = at(filter_desc(s.filter, type_of<T>, true), w), to = at(p->filter, packed);
    dnnl::reorder(from, to).execute(stream(), from, to);
  });
}

template <class T>
void conv_forward(const ConvPiece& s, const T* x, const void* packed, const float* b, T* y) {
  guarded("convolution", s.filter, [&] {
    const auto p = plan(Pass::forward, s, type_of<T>);
    if (!p->run) return patches::conv_forward(s, x, packed, b, y);
    if (!b) {  // one plan for both: the order of the weights must not hang on it
      const std::size_t bytes = std::size_t(s.filter.Cout) * sizeof(float);
      b = static_cast<const float*>(std::memset(thread_scratch<NoBias>(bytes), 0, bytes));
    }
    execute(*p, {{DNNL_ARG_SRC, at(p->in, x)},
                 {DNNL_ARG_WEIGHTS, at(p->filter, packed)},
                 {DNNL_ARG_BIAS, at(p->bias, b)},
                 {DNNL_ARG_DST, at(p->out, y)}});
  });
}

template <class T>
void conv_data(const ConvPiece& s, const T* dy, const void* packed, float* dx) {
  guarded("data gradient", s.filter, [&] {
    const auto p = plan(Pass::data, s, type_of<T>);
    if (!p->run) return patches::conv_data(s, dy, packed, dx);
    execute(*p, {{DNNL_ARG_DIFF_DST, at(p->out, dy)},
                 {DNNL_ARG_WEIGHTS, at(p->filter, packed)},
                 {DNNL_ARG_DIFF_SRC, at(p->in, dx)}});
  });
}

template <class T>
void conv_weight(const ConvPiece& s, const T* dy, const T* x, float* dw) {
  guarded("weight gradient", s.filter, [&] {
    const auto p = plan(Pass::weight, s, type_of<T>);
    if (!p->run) return patches::conv_weight(s, dy, x, dw);
    const memory own = p->reorder ? scratch_memory<OwnFilter>(p->filter) : at(p->filter, dw);
    execute(*p, {{DNNL_ARG_SRC, at(p->in, x)}, {DNNL_ARG_DIFF_DST, at(p->out, dy)}, {DNNL_ARG_DIFF_WEIGHTS, own}});
    if (!p->reorder) return;
    Arguments a{{DNNL_ARG_FROM, own}, {DNNL_ARG_TO, at(filter_desc(s.filter, Type::f32, true), dw)}};
    if (p->reorder_scratch.get_size() > 0)
      a.emplace(DNNL_ARG_SCRATCHPAD, scratch_memory<ReorderScratchpad>(p->reorder_scratch));
    p->reorder.execute(stream(), a);
  });
}

void forget_conv_plans() { plans().clear(); }

template std::int64_t packed_bytes<float>(ConvPass, const ConvPiece&);
template std::int64_t packed_bytes<bf16>(ConvPass, const ConvPiece&);
template bool same_order<float>(ConvPass, const ConvPiece&, const ConvPiece&);
template bool same_order<bf16>(ConvPass, const ConvPiece&, const ConvPiece&);
template void pack(ConvPass, const ConvPiece&, const float*, void*);
template void pack(ConvPass, const ConvPiece&, const bf16*, void*);
template void conv_forward(const ConvPiece&, const float*, const void*, const float*, float*);
template void conv_forward(const ConvPiece&, const bf16*, const void*, const float*, bf16*);
template void conv_data(const ConvPiece&, const float*, const void*, float*);
template void conv_data(const ConvPiece&, const bf16*, const void*, float*);
template void conv_weight(const ConvPiece&, const float*, const float*, float*);
template void conv_weight(const ConvPiece&, const bf16*, const bf16*, float*);

}  // namespace bonafide::kernels
