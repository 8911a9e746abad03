//===- InstructionSets.cpp - what this machine can run ----------------------===//

#include "compiler/kernels/InstructionSets.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace sdopt {

#if defined(__x86_64__)

namespace {

// Bits of CPUID leaf 7, EDX.
constexpr unsigned kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
// Bits of XCR0: tile configuration and tile data.
constexpr unsigned kTileState = 3u << 17;

__attribute__((target("xsave"))) bool systemSavesTiles() {
  return (_xgetbv(0) & kTileState) == kTileState;
}

bool processMayUseTiles() {
#if defined(__linux__)
  // arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) of <asm/prctl.h>.
  return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
  return false;
#endif
}

bool findAmx() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned kOsXsave = 1u << 27;
  if (!hasVnni() || !__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & kOsXsave))
    return false;
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(edx & kAmxTile) || !(edx & kAmxInt8))
    return false;
  return systemSavesTiles() && processMayUseTiles();
}

} // namespace

bool hasAvx2() { return __builtin_cpu_supports("avx2"); }

bool hasAvx512() {
  static const bool has = __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return has;
}

bool hasVnni() { return hasAvx512() && __builtin_cpu_supports("avx512vnni"); }

bool hasAmx() {
  static const bool has = findAmx();
  return has;
}

#else

bool hasAvx2() { return false; }
bool hasAvx512() { return false; }
bool hasVnni() { return false; }
bool hasAmx() { return false; }

#endif

} // namespace sdopt
