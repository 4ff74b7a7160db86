// kernels/backends.h — the line that gives a pass of an operation its implementations and the call that chooses.
//
//   BF_PASS(gelu_fwd, GeluFwd);      declares  cpu::gelu_fwd<T>(args)              in cpu.cpp
//                                              cuda::gelu_fwd<T>(args, stream)     in cuda.cu
//                                              gelu_fwd<T>(target, args)           what layers call
//   BF_PASS_PLAIN(bce_fwd, BceFwd);  the same where the arguments have one type only
#pragma once
#include "engine/device.h"

#define BF_PASS(name, Args)                                             \
  namespace cpu {                                                       \
  template <class T>                                                    \
  void name(const Args<T>&);                                            \
  }                                                                     \
  namespace cuda {                                                      \
  template <class T>                                                    \
  void name(const Args<T>&, Stream = {});                               \
  }                                                                     \
  template <class T>                                                    \
  void name(Target target, const Args<T>& a) {                          \
    target.kind == Device::cuda ? cuda::name(a, target.stream) : cpu::name(a); \
  }                                                                     \
  static_assert(true)

#define BF_PASS_PLAIN(name, Args)                                       \
  namespace cpu {                                                       \
  void name(const Args&);                                               \
  }                                                                     \
  namespace cuda {                                                      \
  void name(const Args&, Stream = {});                                  \
  }                                                                     \
  inline void name(Target target, const Args& a) {                      \
    target.kind == Device::cuda ? cuda::name(a, target.stream) : cpu::name(a); \
  }                                                                     \
  static_assert(true)
