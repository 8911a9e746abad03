//===- FastIntegerKernels.h - fast kernels of every level -------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_FASTINTEGERKERNELS_H
#define SDOPT_COMPILER_KERNELS_FASTINTEGERKERNELS_H

#include "compiler/kernels/DotPanels.h"
#include "compiler/kernels/IntegerKernels.h"

#include <span>

namespace sdopt {

/// Fast kernels of each of dotKernelLevels(), in the same order; fastKernels() is the last.
std::span<const IntegerKernels *const> fastKernelLevels();

/// The level of fast kernels; null for kernels that are not ours: tests plant faults in theirs.
const DotKernels *dotKernelsOf(const IntegerKernels &kernels);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FASTINTEGERKERNELS_H
