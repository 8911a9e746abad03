//===- FastRequantize.h - accumulators to codes at speed --------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_FASTREQUANTIZE_H
#define SDOPT_COMPILER_KERNELS_FASTREQUANTIZE_H

#include "compiler/kernels/IntegerKernels.h"

namespace sdopt {

/// IntegerKernels::requantize; the parameters must be in the ranges of Scaling.
void fastRequantize(const int64_t *acc, int64_t rows, int64_t channels, const ChannelParams *params,
                    CodeFormat format, void *y);

/// The level below it, for machines without AVX-512; tests compare the two.
void portableRequantize(const int64_t *acc, int64_t rows, int64_t channels,
                        const ChannelParams *params, CodeFormat format, void *y);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FASTREQUANTIZE_H
