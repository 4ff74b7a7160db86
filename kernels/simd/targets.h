// kernels/simd/targets.h — the instruction sets a kernel is compiled for: AVX2 and AVX-512, chosen at run time.
//
// The first include of every file that uses Highway's foreach_target. Highway counts AVX2 as the baseline only where
// the compiler may also use AES, which x86-64-v3 leaves out; without this line every kernel is compiled for SSSE3 and
// SSE4 too.
#pragma once
#if defined(__AVX2__) && defined(__FMA__)
#define HWY_BASELINE_TARGETS HWY_AVX2
#endif
