// kernels/simt/block.h — what the body of a CUDA kernel is written against: the Block concept and launch shapes.
//
// A kernel is a struct (in kernels/<op>/<op>.simt.h):
//
//   struct NameKernel {
//     static constexpr const char* kName = "name";
//     static constexpr int kMaxThreads = 128;                                      // its launch bounds
//     static constexpr int kMinBlocks = 2;       // optional: blocks that must fit a multiprocessor with their registers
//     static LaunchShape shape(const Args& a);                                     // grid, block, dynamic shared
//     memory template <Block B> BF_DEVICE static void run(B& block, const Args& a);       // what one thread does
//   };
//
// `run` is one text for every Block: nvcc would compile it with a block of intrinsics, kernels/emulator runs it on
// fibers and watches every access. It therefore touches memory only through its block:
//
//   tx ty bx by dx dy gx gy         indices and extents of thread, block and grid, as CUDA has them
//   sync()                          barrier of the whole block: never under a condition, never below a return
//   sync_warp(mask)                 barrier of the lanes in the mask; orders their accesses to memory. Shuffles do not
//   shfl, shfl_xor, shfl_down       a value of another lane: (value, lane | lane mask | distance, mask of the lanes
//   taking part) load(span, i), store(span, i, v)                     one element, of global or of shared memory
//   load_vector<N>(span, i), store_vector(span, i, v)    N elements in one access; the address a multiple of its size
//   aligned<N>(span)                                     whether element 0 may be accessed so
//   ldmatrix<N>(span, i), ldmatrix_t<N>(span, i)         N = 1, 2, 4 matrices of 8 x 8 elements of 16 bits from shared
//                                                        memory, as fragments; lane 8 m + r says where row r of matrix m
//                                                        begins. Register m of lane l: elements 2 (l % 4) and the next of
//                                                        row l / 4; _t: of column l / 4
//   mma_m16n8k16(c, a, b)                                c + a b of the tensor cores, a [16, 16], b [16, 8] bf16, c f32
//                                                        [16, 8], by fragments (below). All lanes must come to these three
//   shared<Tag, T, N>()             static shared array: one per Tag, so that two users never alias
//   dynamic_shared<T>(offset_bytes, n)                   a part of the shared memory that the launch asked for
//
// The arrays of an argument struct are named for the emulator by for_each_array(args, f), which calls f("x", args.x),
// ...
#pragma once
#include <concepts>

#include "engine/base.h"
#include "engine/bf16.h"

// Before a loop that must be unrolled, because it indexes registers; or must not be, because its body is long.
#if defined(__CUDA_ARCH__)
#define BF_UNROLL _Pragma("unroll")
#define BF_UNROLL_NOT _Pragma("unroll 1")
#else
#define BF_UNROLL
#define BF_UNROLL_NOT
#endif

namespace bonafide::simt {

inline constexpr unsigned kFullMask = 0xffffffffu;
inline constexpr int kWarp = 32;

struct Dim {
  std::int64_t x = 1, y = 1;
};
// A grid with no blocks is not launched.
struct LaunchShape {
  Dim grid, block;
  int dynamic_shared_bytes = 0;
};

// N elements that travel together: one access of up to 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
  static_assert(sizeof(T) * N <= 16 && (N & (N - 1)) == 0);
  T v[N];
  BF_HD T& operator[](int i) { return v[i]; }
  BF_HD const T& operator[](int i) const { return v[i]; }
};
template <class T>
inline constexpr int kWidest = int(16 / sizeof(T));  // elements of the widest access
// Whether element 0 of an array may be accessed with N - 1 others: for launches that choose a kernel by it.
template <int N, class T>
bool aligned(Span<T> s) {
  return reinterpret_cast<std::uintptr_t>(s.ptr) % (N * sizeof(T)) == 0;
}

// Fragments of mma_m16n8k16, lane l, g = l / 4, t = l % 4 (PTX, "Matrix fragments for mma.m16n8k16"); a register holds two
// neighbours along k, the first in its lower half:
//   a[0] = A[g][2t, 2t+1]   a[1] = A[g+8][2t, 2t+1]   a[2] = A[g][2t+8, 2t+9]   a[3] = A[g+8][2t+8, 2t+9]
//   b[0] = B[2t, 2t+1][g]   b[1] = B[2t+8, 2t+9][g]
//   c[0], c[1] = C[g][2t], C[g][2t+1]     c[2], c[3] = C[g+8][2t], C[g+8][2t+1]
template <int N>
using Fragment = Vector<std::uint32_t, N>;

template <class B>
concept Block = requires(B& b, Span<const float> in, Span<float> out, std::int64_t i, float v, Vector<float, 4> four,
                         Span<const bf16> halves, Fragment<2> two) {
  { b.tx() } -> std::same_as<int>;
  { b.ty() } -> std::same_as<int>;
  { b.bx() } -> std::same_as<int>;
  { b.by() } -> std::same_as<int>;
  { b.dx() } -> std::same_as<int>;
  { b.dy() } -> std::same_as<int>;
  { b.gx() } -> std::same_as<int>;
  { b.gy() } -> std::same_as<int>;
  b.sync();
  b.sync_warp(kFullMask);
  { b.shfl(v, 0, kFullMask) } -> std::same_as<float>;
  { b.shfl_xor(v, 1, kFullMask) } -> std::same_as<float>;
  { b.shfl_down(v, 1, kFullMask) } -> std::same_as<float>;
  { b.load(in, i) } -> std::same_as<float>;
  b.store(out, i, v);
  { b.template load_vector<4>(in, i) } -> std::same_as<Vector<float, 4>>;
  b.store_vector(out, i, four);
  { b.template aligned<4>(in) } -> std::same_as<bool>;
  { b.template ldmatrix<4>(halves, i) } -> std::same_as<Fragment<4>>;
  { b.template ldmatrix_t<2>(halves, i) } -> std::same_as<Fragment<2>>;
  { b.mma_m16n8k16(four, b.template ldmatrix<4>(halves, i), two) } -> std::same_as<Vector<float, 4>>;
  { b.template shared<struct AnyTag, float, 8>() } -> std::same_as<Span<float>>;
  { b.template dynamic_shared<float>(0, i) } -> std::same_as<Span<float>>;
};

}  // namespace bonafide::simt
