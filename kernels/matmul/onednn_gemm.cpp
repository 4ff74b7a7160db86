// kernels/matmul/onednn_gemm.cpp — see gemm_tile.h: tiles by oneDNN.
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "kernels/matmul/gemm_tile.h"
#include "kernels/onednn.h"

namespace bonafide::kernels {
namespace {

using dnnl::memory;
using onednn::engine;
using onednn::OneThread;
using onednn::type_of;

struct Plan {
  std::uint64_t id = 0;  // of this plan alone, for the life of the process
  memory::desc a, b, bias, c, scratch;
  std::optional<dnnl::matmul> run;  // empty: this processor cannot
};

// The layout that oneDNN asks for when it is free to choose: the same for every number of rows that matters, so one of
// a typical tile is used for all. Empty if there is no kernel.
std::optional<memory::desc> packed_layout(std::int64_t k, std::int64_t n, memory::data_type ta, memory::data_type tc) {
  constexpr std::int64_t kRows = 112;
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const dnnl::matmul::desc desc(memory::desc({kRows, k}, ta, memory::format_tag::ab),
                                memory::desc({k, n}, ta, memory::format_tag::any),
                                memory::desc({kRows, n}, tc, memory::format_tag::ab));
  const dnnl::matmul::primitive_desc pd(desc, attributes, engine(), /*allow_empty=*/true);
  if (!pd) return {};
  return pd.weights_desc();
}

Plan make_plan(const GemmShape& s, memory::data_type ta, memory::data_type tc) {
  Plan p;
  p.a = memory::desc({s.m, s.k}, ta, {s.a_row, s.a_col});
  if (s.packed)
    p.b = packed_layout(s.k, s.n, ta, ta).value();
  else
    p.b = memory::desc({s.k, s.n}, ta, {s.b_row, s.b_col});
  p.c = memory::desc({s.m, s.n}, tc, {s.c_row, 1});
  if (s.bias) p.bias = memory::desc({1, s.n}, memory::data_type::f32, {s.n, 1});
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);  // the library's own is not shared between threads
  if (s.add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  const auto desc = s.bias ? dnnl::matmul::desc(p.a, p.b, p.bias, p.c) : dnnl::matmul::desc(p.a, p.b, p.c);
  const dnnl::matmul::primitive_desc pd(desc, attributes, engine(), /*allow_empty=*/true);
  if (pd) p.scratch = pd.scratchpad_desc(), p.run.emplace(pd);
  return p;
}

// Plans live as long as the process: a model has a few dozen shapes, a plan takes half a millisecond to make.
class Plans {
 public:
  const Plan& get(const GemmShape& s, memory::data_type ta, memory::data_type tc) {
    const Key key{s, ta, tc};
    {
      std::shared_lock lock(mutex_);
      if (const auto it = plans_.find(key); it != plans_.end()) return it->second;
    }
    std::unique_lock lock(mutex_);  // planned under the lock: a second thread that wants the same shape waits for it
    if (const auto it = plans_.find(key); it != plans_.end()) return it->second;
    Plan& p = plans_.emplace(key, make_plan(s, ta, tc)).first->second;  // a map's elements never move
    p.id = ++made_;
    return p;
  }

  void clear() {
    std::unique_lock lock(mutex_);
    plans_.clear();
  }

 private:
  using Key = std::tuple<GemmShape, memory::data_type, memory::data_type>;
  std::shared_mutex mutex_;
  std::map<Key, Plan> plans_;
  std::uint64_t made_ = 0;
};
Plans& plans() {
  static Plans p;
  return p;
}

struct Scratchpad;
struct Widened;

// A thread's arguments of a plan: made once, since handles and their map take as long to make as a small product.
struct Arguments {
  std::uint64_t plan = 0;
  memory a, b, bias, c, scratch;
  std::unordered_map<int, memory> map;  // shares the handles above
  explicit Arguments(const Plan& p)
      : plan(p.id), a(p.a, engine(), nullptr), b(p.b, engine(), nullptr), c(p.c, engine(), nullptr) {
    map = {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}};
    if (p.bias.get_size() > 0) map.emplace(DNNL_ARG_BIAS, bias = memory(p.bias, engine(), nullptr));
    if (p.scratch.get_size() > 0) map.emplace(DNNL_ARG_SCRATCHPAD, scratch = memory(p.scratch, engine(), nullptr));
  }
};

void execute(const Plan& p, const void* a, const void* b, const float* bias, void* c) {
  thread_local dnnl::stream stream(engine());
  thread_local std::unordered_map<const Plan*, Arguments> known;
  auto it = known.find(&p);
  if (it != known.end() && it->second.plan != p.id) known.erase(it), it = known.end();  // another plan at this address
  if (it == known.end()) it = known.emplace(&p, p).first;
  const Arguments& args = it->second;
  args.a.set_data_handle(const_cast<void*>(a));
  args.b.set_data_handle(const_cast<void*>(b));
  args.c.set_data_handle(c);
  if (bias) args.bias.set_data_handle(const_cast<float*>(bias));
  if (const std::size_t bytes = p.scratch.get_size(); bytes > 0) args.scratch.set_data_handle(thread_scratch<Scratchpad>(bytes));
  p.run->execute(stream, args.map);
}

// The tile in f32: widened copies of a and b, row-major, and a c that is rounded at the end.
template <class TC>
void widened_tile(GemmShape s, const bf16* a, const bf16* b, const float* bias, TC* c) {
  auto* wide = static_cast<float*>(thread_scratch<Widened>(std::size_t(s.m * s.k + s.k * s.n + s.m * s.n) * sizeof(float)));
  float *wa = wide, *wb = wa + s.m * s.k, *wc = wb + s.k * s.n;
  const auto copy = [](float* to, const bf16* from, std::int64_t rows, std::int64_t cols, std::int64_t row,
                       std::int64_t col) {
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < cols; ++j) to[i * cols + j] = float(from[i * row + j * col]);
  };
  copy(wa, a, s.m, s.k, s.a_row, s.a_col);
  copy(wb, b, s.k, s.n, s.b_row, s.b_col);
  if (s.add)
    for (std::int64_t i = 0; i < s.m; ++i)
      for (std::int64_t j = 0; j < s.n; ++j) wc[i * s.n + j] = to_f32(c[i * s.c_row + j]);
  GemmShape f = s;
  f.a_row = s.k, f.a_col = 1, f.b_row = s.n, f.b_col = 1, f.c_row = s.n;
  gemm_tile<float, float>(f, wa, wb, bias, wc);
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t j = 0; j < s.n; ++j) c[i * s.c_row + j] = from_f32<TC>(wc[i * s.n + j]);
}

}  // namespace

template <class TA, class TC>
void gemm_tile(const GemmShape& s, const TA* a, const TA* b, const float* bias, TC* c) {
  BF_CHECK(s.m > 0 && s.n > 0 && s.k > 0 && s.bias == (bias != nullptr), "tile ", s.m, " x ", s.n, " x ", s.k);
  const OneThread guard;
  try {
    const Plan& p = plans().get(s, type_of<TA>, type_of<TC>);
    if (p.run) return execute(p, a, b, bias, c);
  } catch (const dnnl::error& e) {
    throw Error(str("oneDNN, ", s.m, " x ", s.n, " x ", s.k, ": ", e.what()));
  }
  BF_CHECK(!s.packed, "a packed operand, and no kernel for it");
  if constexpr (sizeof(TA) == 2) return widened_tile(s, a, b, bias, c);
  throw Error(str("oneDNN cannot multiply ", s.m, " x ", s.k, " by ", s.k, " x ", s.n, " in f32"));
}

template <class T>
PackedOperand<T>::PackedOperand(const T* b, std::int64_t k, std::int64_t n, std::int64_t b_row, std::int64_t b_col) {
  const OneThread guard;
  try {
    const auto layout = packed_layout(k, n, type_of<T>, type_of<T>);
    if (!layout) return;
    memory_ = AlignedMemory(layout->get_size());
    memory from(memory::desc({k, n}, type_of<T>, {b_row, b_col}), engine(), const_cast<T*>(b));
    memory to(*layout, engine(), memory_.get());
    dnnl::stream stream(engine());
    dnnl::reorder(from, to).execute(stream, from, to);
  } catch (const dnnl::error& e) {
    throw Error(str("oneDNN, packing ", k, " x ", n, ": ", e.what()));
  }
}

void forget_gemm_plans() { plans().clear(); }

template class PackedOperand<float>;
template class PackedOperand<bf16>;
template void gemm_tile<float, float>(const GemmShape&, const float*, const float*, const float*, float*);
template void gemm_tile<bf16, bf16>(const GemmShape&, const bf16*, const bf16*, const float*, bf16*);
template void gemm_tile<bf16, float>(const GemmShape&, const bf16*, const bf16*, const float*, float*);

}  // namespace bonafide::kernels
