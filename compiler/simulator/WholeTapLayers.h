//===- WholeTapLayers.h - whole layers by F(4x4, 3x3) -----------*- C++ -*-===//

#ifndef SDOPT_COMPILER_SIMULATOR_WHOLETAPLAYERS_H
#define SDOPT_COMPILER_SIMULATOR_WHOLETAPLAYERS_H

#include "compiler/kernels/Convolve.h"
#include "compiler/kernels/TapWinograd.h"

#include <span>

namespace sdopt {

/// tapConvolve() of one picture, of weights in tiles. False if a shift of the parameters is out of
/// range, and y is as it was.
bool convolveTapWise(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                     std::span<const WeightTile> weights, const TapShifts &taps,
                     const ChannelParams *params, CodeFormat format, std::byte *y);

} // namespace sdopt

#endif // SDOPT_COMPILER_SIMULATOR_WHOLETAPLAYERS_H
