//===- Convolve.h - whole layers without accumulators -----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_CONVOLVE_H
#define SDOPT_COMPILER_KERNELS_CONVOLVE_H

#include "compiler/kernels/IntegerKernels.h"

#include <span>

namespace sdopt {

/// What kernels.convAccumulate() into accumulators of 0 and kernels.requantize() give, y:
/// [outputHeight][outputWidth][outputChannels]. Fast kernels do both at once where they can: the
/// accumulators of a large layer cost more time than its products.
void convolve(const IntegerKernels &kernels, const ConvTile &tile, Codes x, const int8_t *weights,
              const ChannelParams *params, CodeFormat format, void *y);

/// Weights of some channels: [outputs][kernelHeight][kernelWidth][inputs].
struct WeightTile {
  int64_t firstOutput = 0, outputs = 0, firstInput = 0, inputs = 0;
  const int8_t *weights = nullptr;
};

/// convolve() with weights in tiles that cover each pair of an output and an input channel once, in
/// ascending order of input channels; false without a direct way, and y is as it was.
bool convolveTiles(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                   std::span<const WeightTile> weights, const ChannelParams *params,
                   CodeFormat format, void *y);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_CONVOLVE_H
