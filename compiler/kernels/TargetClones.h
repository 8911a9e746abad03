//===- TargetClones.h - one body, several instruction sets ------*- C++ -*-===//
//
// For loops that the compiler turns into vector instructions by itself. Nothing is reordered and no
// multiply-add is fused, so that all clones give the same bits; what sums must do so in lanes of
// its own.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_TARGETCLONES_H
#define SDOPT_COMPILER_KERNELS_TARGETCLONES_H

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
#define SDOPT_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SDOPT_CLONES
#endif

#endif // SDOPT_COMPILER_KERNELS_TARGETCLONES_H
