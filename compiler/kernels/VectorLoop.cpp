//===- VectorLoop.cpp - loops compiled for several instruction sets ---------===//

#include "compiler/kernels/VectorLoop.h"
#include "compiler/kernels/InstructionSets.h"

#include <algorithm>
#include <atomic>

namespace sdopt {

namespace {

VectorLevel detect() {
#if defined(__x86_64__)
  if (hasAvx512())
    return VectorLevel::Avx512;
  if (hasAvx2() && __builtin_cpu_supports("fma"))
    return VectorLevel::Avx2;
#endif
  return VectorLevel::Portable;
}

std::atomic<VectorLevel> limit{VectorLevel::Avx512};

} // namespace

VectorLevel vectorLevel() {
  static const VectorLevel detected = detect();
  return std::min(detected, limit.load(std::memory_order_relaxed));
}

void limitVectorLevel(VectorLevel highest) { limit = highest; }

} // namespace sdopt
