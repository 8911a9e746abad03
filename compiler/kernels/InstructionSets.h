//===- InstructionSets.h - what this machine can run ------------*- C++ -*-===//
//
// Functions marked with one of the attributes may only be called where the check of the same name
// holds. DotPanels.cpp makes the levels from them.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_INSTRUCTIONSETS_H
#define SDOPT_COMPILER_KERNELS_INSTRUCTIONSETS_H

#if defined(__x86_64__)
#include <immintrin.h>

#define SDOPT_AVX2 __attribute__((target("avx2")))
#define SDOPT_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#define SDOPT_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define SDOPT_AMX                                                                                  \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")))
#endif

namespace sdopt {

bool hasAvx2();
/// AVX-512 F, BW, DQ and VL.
bool hasAvx512();
/// The former and VNNI.
bool hasVnni();
/// The former and int8 tiles, which the system must let the process use: the first call asks.
bool hasAmx();

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_INSTRUCTIONSETS_H
