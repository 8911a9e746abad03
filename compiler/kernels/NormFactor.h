//===- NormFactor.h - mean and 1/sigma of a group as integers ---*- C++ -*-===//
//
// The part of the norm's arithmetic that is done once for each group (IntegerKernels.h,
// NormParams).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_NORMFACTOR_H
#define SDOPT_COMPILER_KERNELS_NORMFACTOR_H

#include "compiler/kernels/IntegerKernels.h"

namespace sdopt {

/// z = (((code << 14) - mean) * mantissa) / 2^shift, rounded half up, is the normalized value with
/// 24 fraction bits.
struct NormFactor {
  int32_t mean = 0;     ///< 14 fraction bits
  int32_t mantissa = 0; ///< in [2^30, 2^31), or 0 for a constant group without epsilon
  int32_t shift = 0;    ///< in [-11, 85]
};

/// The zero point of the codes matters only where params are not centered.
NormFactor normFactor(const NormSums &sums, const NormParams &params, int32_t zeroPoint);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_NORMFACTOR_H
