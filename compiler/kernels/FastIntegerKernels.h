//===- FastIntegerKernels.h - fast kernels of every level -------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_FASTINTEGERKERNELS_H
#define SDOPT_COMPILER_KERNELS_FASTINTEGERKERNELS_H

#include "compiler/kernels/IntegerKernels.h"

#include <span>

namespace sdopt {

/// Fast kernels of each of dotKernelLevels(), in the same order; fastKernels() is the last.
std::span<const IntegerKernels *const> fastKernelLevels();

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FASTINTEGERKERNELS_H
