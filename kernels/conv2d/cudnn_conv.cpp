// kernels/conv2d/cudnn_conv.cpp — see cudnn_conv.h. cuDNN 9, its graph API: what it calls legacy cannot give f32
// gradients of weights for bf16 activations. Compiled where there is cuDNN.
//
// Results repeat: the plan of a convolution is the first of cuDNN's own ranking whose engine neither is marked as
// nondeterministic nor trades precision (Winograd, FFT, inputs converted down, sums that are not f32), and it is kept.
// f32 "in full" excludes tensor cores, too. cuDNN loads the libraries behind it when the first handle is made: a
// program that never computes on a GPU never loads them.
#include "kernels/conv2d/cudnn_conv.h"

#include <cudnn.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/cuda_check.h"
#include "kernels/alignment.h"
#include "kernels/bounded_cache.h"

namespace bonafide::kernels::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t(64) << 20;  // of a stream
enum class Pass : std::uint8_t { forward, data, weight };

// What a plan may depend on.
struct Key {
  Pass pass;
  std::int64_t N, H, W, Cin, Cout;
  int groups, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
  bool half, add;  // bf16; to what is in dx
  F32Products products;
  std::int64_t x_alignment, w_alignment, y_alignment;
  friend auto operator<=>(const Key&, const Key&) = default;
};
std::string describe(const Key& k) {
  return str(k.pass == Pass::forward ? "forward"
             : k.pass == Pass::data  ? "data"
                                     : "weight",
             " pass, ", k.Cin, " to ", k.Cout, " channels, ", k.kernel_h, " x ", k.kernel_w,
             k.half ? ", bf16" : ", f32");
}

void check_cudnn(cudnnStatus_t s, const std::string& what) {
  if (s == CUDNN_STATUS_SUCCESS) return;
  char more[256] = "";
  cudnnGetLastErrorString(more, sizeof more);
  throw Error(str("cuDNN, ", what, ": ", cudnnGetErrorString(s), *more ? ": " : "", more));
}

// An object of the graph API. Copies share it: what refers to it keeps it alive.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(cudnnBackendDescriptorType_t type) {
    cudnnBackendDescriptor_t d = nullptr;
    check_cudnn(cudnnBackendCreateDescriptor(type, &d), "a descriptor");
    owned_ = std::make_shared<Owned>(d);
  }
  cudnnBackendDescriptor_t get() const { return owned_->d; }

  template <class V>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const std::vector<V>& values) {
    check_cudnn(cudnnBackendSetAttribute(get(), name, type, std::int64_t(values.size()), values.data()),
                str("attribute ", int(name)));
    return *this;
  }
  template <class V>
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, V value) {
    return set(name, type, std::vector<V>{value});
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    owned_->parts.push_back(other);
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::vector<cudnnBackendDescriptor_t>{other.get()});
  }
  // At most `most` values.
  template <class V>
  std::vector<V> ask(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, std::int64_t most) const {
    std::vector<V> values(static_cast<std::size_t>(most));
    std::int64_t count = 0;
    check_cudnn(cudnnBackendGetAttribute(get(), name, type, most, &count, values.data()), str("attribute ", int(name)));
    values.resize(std::size_t(std::min(count, most)));
    return values;
  }
  cudnnStatus_t try_finalize() { return cudnnBackendFinalize(get()); }
  Descriptor& finalize(const std::string& what) {
    check_cudnn(try_finalize(), what);
    return *this;
  }

 private:
  struct Owned {
    explicit Owned(cudnnBackendDescriptor_t of) : d(of) {}
    ~Owned() { cudnnBackendDestroyDescriptor(d); }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    cudnnBackendDescriptor_t d;
    std::vector<Descriptor> parts;
  };
  std::shared_ptr<Owned> owned_;
};

enum Id : std::int64_t { kX = 1, kW, kY };

// [a, c, h, w] in cuDNN's order of axes, c innermost in memory.
Descriptor tensor(Id id, cudnnDataType_t type, std::int64_t alignment, std::int64_t a, std::int64_t c, std::int64_t h,
                  std::int64_t w) {
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, std::int64_t(id));
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type);
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, alignment);
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, std::vector<std::int64_t>{a, c, h, w});
  d.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, std::vector<std::int64_t>{h * w * c, 1, w * c, c});
  return d.finalize("a tensor");
}

// The operation of a key. The groups are what the channels of x and of w say.
Descriptor operation(const Key& k) {
  const cudnnDataType_t type = k.half ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
  const std::int64_t out_h = window_out(k.H, k.kernel_h, k.stride_h, k.pad_h, false),
                     out_w = window_out(k.W, k.kernel_w, k.stride_w, k.pad_w, false);
  const Descriptor x = tensor(kX, type, k.x_alignment, k.N, k.Cin, k.H, k.W);
  const Descriptor w = tensor(kW, k.pass == Pass::weight ? CUDNN_DATA_FLOAT : type, k.w_alignment, k.Cout,
                              k.Cin / k.groups, k.kernel_h, k.kernel_w);
  const Descriptor y = tensor(kY, type, k.y_alignment, k.N, k.Cout, out_h, out_w);

  const std::vector<std::int64_t> pad{k.pad_h, k.pad_w}, one{1, 1};
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::int64_t(2));
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  convolution.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
  convolution.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, pad);
  convolution.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, pad);
  convolution.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, one);
  convolution.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64,
                  std::vector<std::int64_t>{k.stride_h, k.stride_w});
  convolution.finalize("a convolution");

  struct Names {
    cudnnBackendDescriptorType_t operation;
    cudnnBackendAttributeName_t x, w, y, convolution, alpha, beta;
  };
  static constexpr Names kNames[] = {
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};
  const Names& names = kNames[int(k.pass)];
  Descriptor op(names.operation);
  op.set(names.x, x).set(names.w, w).set(names.y, y).set(names.convolution, convolution);
  op.set(names.alpha, CUDNN_TYPE_FLOAT, 1.0f).set(names.beta, CUDNN_TYPE_FLOAT, k.add ? 1.0f : 0.0f);
  return op.finalize(describe(k));
}

// Whether an engine gives the same f32 sums every time.
bool acceptable(const Descriptor& engine, const Key& k) {
  const auto notes = engine.ask<cudnnBackendNumericalNote_t>(
      CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  return std::none_of(notes.begin(), notes.end(), [&](cudnnBackendNumericalNote_t n) {
    switch (n) {
      case CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP:
        return false;
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        return !k.half && k.products == F32Products::full;
      default:
        return true;
    }
  });
}

struct Plan {
  Descriptor plan;  // empty: there is none
  bool found = false;
};

Plan make_plan(cudnnHandle_t handle, const Key& key) {
  const Descriptor op = operation(key);
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, op);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, handle);
  if (graph.try_finalize() != CUDNN_STATUS_SUCCESS) return {};  // not supported
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    Descriptor ranking(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    ranking.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    ranking.set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
    if (ranking.try_finalize() != CUDNN_STATUS_SUCCESS) continue;
    constexpr std::int64_t kMost = 32;
    std::vector<Descriptor> configurations;
    std::vector<cudnnBackendDescriptor_t> handles;
    for (std::int64_t i = 0; i < kMost; ++i) {
      configurations.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
      handles.push_back(configurations.back().get());
    }
    std::int64_t count = 0;
    check_cudnn(cudnnBackendGetAttribute(ranking.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                         kMost, &count, handles.data()),
                describe(key));
    for (std::int64_t i = 0; i < std::min(count, kMost); ++i) {
      const Descriptor& configuration = configurations[std::size_t(i)];
      const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
      cudnnBackendDescriptor_t into = engine.get();
      std::int64_t one = 0;
      check_cudnn(cudnnBackendGetAttribute(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE,
                                           CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &one, &into),
                  describe(key));
      if (!acceptable(engine, key)) continue;
      Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, handle);
      if (plan.try_finalize() != CUDNN_STATUS_SUCCESS) continue;
      const auto bytes = plan.ask<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1);
      if (bytes.empty() || bytes[0] > std::int64_t(kWorkspaceBytes)) continue;
      return {plan, true};
    }
  }
  return {};
}

// What is kept for a stream: cuDNN's handle, which no two threads may use at once, workspace, plans.
class Library {
 public:
  explicit Library(cudaStream_t stream) : plans_(512) {
    check_cudnn(cudnnCreate(&handle_), "starting");
    check_cudnn(cudnnSetStream(handle_, stream), "a stream");
    BF_CUDA(cudaMalloc(&workspace_, kWorkspaceBytes));
  }

  bool run(const Key& key, const void* x, const void* w, const void* y) {
    const std::lock_guard lock(mutex_);
    const auto plan = plans_.get(key, [&] { return make_plan(handle_, key); });
    if (!plan->found) return false;
    Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, std::vector<std::int64_t>{kX, kW, kY});
    pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
             std::vector<void*>{const_cast<void*>(x), const_cast<void*>(w), const_cast<void*>(y)});
    pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace_);
    pack.finalize("arguments");
    check_cudnn(cudnnBackendExecute(handle_, plan->plan.get(), pack.get()), describe(key));
    return true;
  }

  // Never destroyed: when a process ends, the driver may be gone before our statics are.
  static Library& of(Stream stream) {
    static std::mutex mutex;
    static auto& all = *new std::map<std::pair<int, void*>, std::unique_ptr<Library>>();
    int device = 0;
    BF_CUDA(cudaGetDevice(&device));
    const std::lock_guard lock(mutex);
    auto& library = all[{device, stream.handle}];
    if (!library) library = std::make_unique<Library>(static_cast<cudaStream_t>(stream.handle));
    return *library;
  }

 private:
  cudnnHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::mutex mutex_;
  BoundedCache<Key, Plan> plans_;
};

constexpr std::uint32_t kBestAlignment = 16;  // more is of no use to cuDNN

template <class T>
bool run(Pass pass, const Conv2dShape& s, F32Products products, bool add, const void* x, const void* w, const void* y,
         Stream stream) {
  const Window2d& k = s.window;
  const Key key{.pass = pass,
                .N = s.N,
                .H = s.H,
                .W = s.W,
                .Cin = s.Cin,
                .Cout = s.Cout,
                .groups = s.groups,
                .kernel_h = k.kernel_h,
                .kernel_w = k.kernel_w,
                .stride_h = k.stride_h,
                .stride_w = k.stride_w,
                .pad_h = k.pad_h,
                .pad_w = k.pad_w,
                .half = sizeof(T) == 2,
                .add = add,
                .products = products,
                .x_alignment = alignment_of(x, kBestAlignment),
                .w_alignment = alignment_of(w, kBestAlignment),
                .y_alignment = alignment_of(y, kBestAlignment)};
  return Library::of(stream).run(key, x, w, y);
}

}  // namespace

bool has_cudnn() { return true; }

template <class T>
bool cudnn_forward(const Conv2dShape& s, F32Products products, Span<const T> x, Span<const T> w, Span<T> y,
                   Stream stream) {
  return run<T>(Pass::forward, s, products, false, x.ptr, w.ptr, y.ptr, stream);
}
template <class T>
bool cudnn_data(const Conv2dShape& s, F32Products products, Span<const T> dy, Span<const T> w, Span<T> dx, bool add,
                Stream stream) {
  return run<T>(Pass::data, s, products, add, dx.ptr, w.ptr, dy.ptr, stream);
}
template <class T>
bool cudnn_weight(const Conv2dShape& s, F32Products products, Span<const T> dy, Span<const T> x, Span<float> dw,
                  Stream stream) {
  return run<T>(Pass::weight, s, products, false, x.ptr, dw.ptr, dy.ptr, stream);
}

template bool cudnn_forward(const Conv2dShape&, F32Products, Span<const float>, Span<const float>, Span<float>, Stream);
template bool cudnn_forward(const Conv2dShape&, F32Products, Span<const bf16>, Span<const bf16>, Span<bf16>, Stream);
template bool cudnn_data(const Conv2dShape&, F32Products, Span<const float>, Span<const float>, Span<float>, bool,
                         Stream);
template bool cudnn_data(const Conv2dShape&, F32Products, Span<const bf16>, Span<const bf16>, Span<bf16>, bool, Stream);
template bool cudnn_weight(const Conv2dShape&, F32Products, Span<const float>, Span<const float>, Span<float>, Stream);
template bool cudnn_weight(const Conv2dShape&, F32Products, Span<const bf16>, Span<const bf16>, Span<float>, Stream);

}  // namespace bonafide::kernels::cuda
