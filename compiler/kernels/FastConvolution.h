//===- FastConvolution.h - exact integer convolution at speed ---*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_FASTCONVOLUTION_H
#define SDOPT_COMPILER_KERNELS_FASTCONVOLUTION_H

#include "compiler/kernels/Convolve.h"
#include "compiler/kernels/DotPanels.h"
#include "compiler/kernels/IntegerKernels.h"

namespace sdopt {

/// IntegerKernels::convAccumulate with one level's inner loops.
void fastConvAccumulate(const DotKernels &kernels, const ConvTile &tile, Codes x,
                        const int8_t *weights, int64_t *acc);

/// convolveTiles() with one level's inner loops, or false without a direct way.
bool fastConvolve(const DotKernels &kernels, const ConvTile &tile, Codes x,
                  std::span<const WeightTile> weights, const ChannelParams *params,
                  CodeFormat format, void *y);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FASTCONVOLUTION_H
