//===- NormAvx512.h - norms by vectors --------------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_NORMAVX512_H
#define SDOPT_COMPILER_KERNELS_NORMAVX512_H

#include "compiler/kernels/PointwiseKernels.h"

namespace sdopt::avx512 {

NormSums sums(Codes x, int64_t count);
void channelSums(Codes x, int64_t rows, int64_t channels, NormSums *sums);
bool areModest(const NormChannel *params, int64_t channels);
void normApply(const NormRows &rows, CodeFormat format, void *y);

} // namespace sdopt::avx512

#endif // SDOPT_COMPILER_KERNELS_NORMAVX512_H
