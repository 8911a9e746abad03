//===- VectorLoop.h - loops compiled for several instruction sets -*- C++ -*-===//
//
// vectorLoop(count, body) calls body(0) ... body(count - 1), compiled for the vector instructions
// of the machine. Fused multiply-adds are written as std::fma and nothing is contracted, so that
// all levels compute the same bits.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_VECTORLOOP_H
#define SDOPT_COMPILER_KERNELS_VECTORLOOP_H

#include <cstdint>

/// On the parameter list of lambdas that run inside a vectorLoop(): they must be inlined there.
#define SDOPT_INLINE __attribute__((always_inline))

namespace sdopt {

enum class VectorLevel : uint8_t { Portable, Avx2, Avx512 };

/// The best level of this machine, or the one that limitVectorLevel() set if that is lower.
VectorLevel vectorLevel();

/// For tests of the lower levels.
void limitVectorLevel(VectorLevel highest);

#if defined(__x86_64__) && !defined(__clang__)

template <typename Body>
__attribute__((target("avx2,fma"))) void vectorLoopAvx2(int64_t count, Body &body) {
  for (int64_t i = 0; i < count; ++i)
    body(i);
}

template <typename Body>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512"))) void
vectorLoopAvx512(int64_t count, Body &body) {
  for (int64_t i = 0; i < count; ++i)
    body(i);
}

#endif

template <typename Body> void vectorLoop(int64_t count, Body body) {
#if defined(__x86_64__) && !defined(__clang__)
  switch (vectorLevel()) {
  case VectorLevel::Avx512:
    return vectorLoopAvx512(count, body);
  case VectorLevel::Avx2:
    return vectorLoopAvx2(count, body);
  case VectorLevel::Portable:
    break;
  }
#endif
  for (int64_t i = 0; i < count; ++i)
    body(i);
}

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_VECTORLOOP_H
