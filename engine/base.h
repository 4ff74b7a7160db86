// engine/base.h — what every file may include: BF_CHECK, Error, Span, GradMode, Cost, ceil_div.
#pragma once
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#ifdef __CUDACC__
#define BF_HD __host__ __device__
#define BF_DEVICE __device__ __forceinline__
#else
#define BF_HD
#define BF_DEVICE inline
#endif

// BF_CHECKED turns on bounds checks in Span and NaN-filled allocations. The test preset sets it; Release does not.
#ifndef BF_CHECKED
#define BF_CHECKED 0
#endif

namespace bonafide {

// Base of every error this library throws. The message is meant for a person: what was expected, what arrived, where.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Ts>
std::string str(const Ts&... parts) {
  std::ostringstream o;
  (o << ... << parts);
  return o.str();
}

// A contract of the library, always on. Say what was expected AND what arrived. For errors in the user's own input
// (files, configuration) throw bonafide::Error with a message that names the file and line instead.
#define BF_CHECK(cond, ...)                                                                               \
  do {                                                                                                    \
    if (!(cond)) [[unlikely]]                                                                             \
      throw ::bonafide::Error(::bonafide::str(__FILE__, ":", __LINE__, ": ", #cond, ": ", __VA_ARGS__)); \
  } while (0)

template <class T>
BF_HD constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

// What a kernel may do with a gradient buffer. Decided by autograd, obeyed by kernels.
enum class GradMode : std::uint8_t { skip, write, add };

// What an operation must move and compute: stated by a constexpr function beside the operation, executed by bench/.
struct Cost {
  double bytes_read = 0, bytes_written = 0, flops = 0;
  constexpr double bytes() const { return bytes_read + bytes_written; }
};

// A pointer that knows its length (in elements). The check costs nothing in Release.
template <class T>
struct Span {
  T* ptr = nullptr;
  std::int64_t len = 0;

  Span() = default;
  BF_HD constexpr Span(T* p, std::int64_t n) : ptr(p), len(n) {}
  template <class U>
    requires(std::is_same_v<const U, T> && !std::is_const_v<U>)
  BF_HD constexpr Span(Span<U> s) : ptr(s.ptr), len(s.len) {}
  template <class A>
  Span(std::vector<std::remove_const_t<T>, A>& v) : ptr(v.data()), len(std::int64_t(v.size())) {}
  template <class A>
  Span(const std::vector<std::remove_const_t<T>, A>& v)
    requires std::is_const_v<T>
      : ptr(v.data()), len(std::int64_t(v.size())) {}

  BF_HD T& operator[](std::int64_t i) const {
#if BF_CHECKED
    if (i < 0 || i >= len) out_of_range(i, len);
#endif
    return ptr[i];
  }
  BF_HD constexpr explicit operator bool() const { return ptr != nullptr; }
  BF_HD constexpr T* begin() const { return ptr; }
  BF_HD constexpr T* end() const { return ptr + len; }
  BF_HD constexpr std::int64_t size() const { return len; }
  BF_HD Span slice(std::int64_t at, std::int64_t n) const {
#if BF_CHECKED
    if (at < 0 || n < 0 || at + n > len) out_of_range(at + n, len);
#endif
    return {ptr + at, n};
  }

 private:
  BF_HD static void out_of_range([[maybe_unused]] std::int64_t i, [[maybe_unused]] std::int64_t n) {
#if defined(__CUDA_ARCH__)
    __trap();
#else
    throw Error(str("Span index ", i, " out of range [0, ", n, ")"));
#endif
  }
};

}  // namespace bonafide
