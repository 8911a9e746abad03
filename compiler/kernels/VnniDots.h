//===- VnniDots.h - dot products in place -----------------------*- C++ -*-===//
//
// What _mm512_dpwssd_epi32 and _mm512_dpbusd_epi32 compute. GCC 12 copies the sums of the
// intrinsics from register to register and back where there are many.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_VNNIDOTS_H
#define SDOPT_COMPILER_KERNELS_VNNIDOTS_H

#include "compiler/kernels/InstructionSets.h"

#include <cstdint>
#include <cstring>

namespace sdopt {

#if defined(__x86_64__)

/// Four bytes as they stand, for every lane.
inline int32_t quadAt(const uint8_t *bytes) {
  int32_t quad;
  std::memcpy(&quad, bytes, sizeof(quad));
  return quad;
}

/// sums + two products of 16-bit integers in each lane.
SDOPT_VNNI inline __m512i addPairs(__m512i sums, __m512i a, __m512i b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sums) : "v"(a), "v"(b));
  return sums;
}

/// sums + four products of unsigned and signed bytes in each lane.
SDOPT_VNNI inline __m512i addQuads(__m512i sums, __m512i unsignedBytes, __m512i signedBytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(unsignedBytes), "v"(signedBytes));
  return sums;
}

#endif

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_VNNIDOTS_H
