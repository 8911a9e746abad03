//===- Convolve.h - whole layers without accumulators -----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_CONVOLVE_H
#define SDOPT_COMPILER_KERNELS_CONVOLVE_H

#include "compiler/kernels/IntegerKernels.h"

namespace sdopt {

/// What kernels.convAccumulate() into accumulators of 0 and kernels.requantize() give, y:
/// [outputHeight][outputWidth][outputChannels]. Fast kernels do both at once where they can: the
/// accumulators of a large layer cost more time than its products.
void convolve(const IntegerKernels &kernels, const ConvTile &tile, Codes x, const int8_t *weights,
              const ChannelParams *params, CodeFormat format, void *y);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_CONVOLVE_H
