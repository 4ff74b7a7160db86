// kernels/onednn.h — what the files that call oneDNN share. oneDNN 2.6: the v2 API, where a primitive is made from a
// descriptor and an engine.
#pragma once
#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>

namespace bonafide::kernels::onednn {

// oneDNN asks OpenMP how many threads there are, both when a primitive is planned and when it runs. The setting is
// per thread; it is put back at the end.
class OneThread {
 public:
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

inline dnnl::engine& engine() {
  static dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}

template <class T>
constexpr dnnl::memory::data_type type_of = sizeof(T) == 4 ? dnnl::memory::data_type::f32
                                                           : dnnl::memory::data_type::bf16;

}  // namespace bonafide::kernels::onednn
