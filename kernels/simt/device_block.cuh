// kernels/simt/device_block.cuh — the Block of a GPU: every method is one instruction, or nearly.
#pragma once
#include <cuda_runtime.h>

#include <cstring>

#include "kernels/simt/block.h"

namespace bonafide::simt {

struct DeviceBlock {
  __device__ int tx() const { return int(threadIdx.x); }
  __device__ int ty() const { return int(threadIdx.y); }
  __device__ int bx() const { return int(blockIdx.x); }
  __device__ int by() const { return int(blockIdx.y); }
  __device__ int dx() const { return int(blockDim.x); }
  __device__ int dy() const { return int(blockDim.y); }
  __device__ int gx() const { return int(gridDim.x); }
  __device__ int gy() const { return int(gridDim.y); }

  __device__ void sync() const { __syncthreads(); }
  __device__ void sync_warp(unsigned mask) const { __syncwarp(mask); }
  template <class T>
  __device__ T shfl(T v, int lane, unsigned mask) const {
    return __shfl_sync(mask, v, lane);
  }
  template <class T>
  __device__ T shfl_xor(T v, int lane_mask, unsigned mask) const {
    return __shfl_xor_sync(mask, v, lane_mask);
  }
  template <class T>
  __device__ T shfl_down(T v, int distance, unsigned mask) const {
    return __shfl_down_sync(mask, v, unsigned(distance));
  }

  template <class T>
  __device__ std::remove_const_t<T> load(Span<T> from, std::int64_t i) const {
    return from[i];
  }
  template <class T>
  __device__ void store(Span<T> to, std::int64_t i, std::type_identity_t<T> v) const {
    to[i] = v;
  }
  template <int N, class T>
  __device__ Vector<std::remove_const_t<T>, N> load_vector(Span<T> from, std::int64_t i) const {
    return *reinterpret_cast<const Vector<std::remove_const_t<T>, N>*>(from.ptr + i);
  }
  template <int N, class T>
  __device__ void store_vector(Span<T> to, std::int64_t i, const Vector<T, N>& v) const {
    *reinterpret_cast<Vector<T, N>*>(to.ptr + i) = v;
  }
  template <int N, class T>
  __device__ bool aligned(Span<T> s) const {
    return reinterpret_cast<std::uintptr_t>(s.ptr) % (N * sizeof(T)) == 0;
  }

  template <int N, class T>
  __device__ Fragment<N> ldmatrix(Span<T> from, std::int64_t i) const {
    static_assert(sizeof(T) == 2 && (N == 1 || N == 2 || N == 4));
    const unsigned at = unsigned(__cvta_generic_to_shared(from.ptr + i));
    Fragment<N> f;
    if constexpr (N == 1)
      asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(f[0]) : "r"(at) : "memory");
    else if constexpr (N == 2)
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(f[0]), "=r"(f[1]) : "r"(at) : "memory");
    else
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(f[0]), "=r"(f[1]), "=r"(f[2]), "=r"(f[3])
                   : "r"(at)
                   : "memory");
    return f;
  }
  template <int N, class T>
  __device__ Fragment<N> ldmatrix_t(Span<T> from, std::int64_t i) const {
    static_assert(sizeof(T) == 2 && (N == 1 || N == 2 || N == 4));
    const unsigned at = unsigned(__cvta_generic_to_shared(from.ptr + i));
    Fragment<N> f;
    if constexpr (N == 1)
      asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(f[0]) : "r"(at) : "memory");
    else if constexpr (N == 2)
      asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                   : "=r"(f[0]), "=r"(f[1])
                   : "r"(at)
                   : "memory");
    else
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                   : "=r"(f[0]), "=r"(f[1]), "=r"(f[2]), "=r"(f[3])
                   : "r"(at)
                   : "memory");
    return f;
  }
  __device__ Vector<float, 4> mma_m16n8k16(Vector<float, 4> c, const Fragment<4>& a, const Fragment<2>& b) const {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a.v[0]), "r"(a.v[1]), "r"(a.v[2]), "r"(a.v[3]), "r"(b.v[0]), "r"(b.v[1]));
    return c;
  }

  // One array per (Tag, T, N): two users can never alias each other's scratch by accident.
  template <class Tag, class T, int N>
  __device__ Span<T> shared() const {
    __shared__ alignas(16) char bytes[N * sizeof(T)];
    return {reinterpret_cast<T*>(bytes), N};
  }
  template <class T>
  __device__ Span<T> dynamic_shared(std::int64_t offset_bytes, std::int64_t n) const {
    extern __shared__ uint4 launch_bytes[];
    return {reinterpret_cast<T*>(reinterpret_cast<char*>(launch_bytes) + offset_bytes), n};
  }
};
static_assert(Block<DeviceBlock>);

}  // namespace bonafide::simt
