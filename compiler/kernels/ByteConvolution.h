//===- ByteConvolution.h - convolution by products of bytes -----*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_BYTECONVOLUTION_H
#define SDOPT_COMPILER_KERNELS_BYTECONVOLUTION_H

#include "compiler/kernels/ByteBlocks.h"
#include "compiler/kernels/Convolve.h"

namespace sdopt {

/// False for a sum that may leave int32 or for codes out of range; DotPanels has room for both.
bool fitsByteConvolution(const ConvTile &tile, CodeFormat format);

/// IntegerKernels::convAccumulate; no dimension is 0.
void byteConvAccumulate(const ByteKernels &kernels, const ConvTile &tile, Codes x,
                        const int8_t *weights, int64_t *acc);

/// convAccumulate() into accumulators of 0 and requantize() of them at once, without accumulators
/// in memory. The parameters are in the ranges of Scaling and biases below 2^52.
void byteConvolve(const ByteKernels &kernels, const ConvTile &tile, Codes x,
                  std::span<const WeightTile> weights, const ChannelParams *params,
                  CodeFormat format, void *y);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_BYTECONVOLUTION_H
