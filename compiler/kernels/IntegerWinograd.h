//===- IntegerWinograd.h - exact convolutions, fewer products ---*- C++ -*-===//
//
// F(2x2, 3x3) in integers (docs/spec.md, section 7): the same accumulators as
// IntegerKernels::convAccumulate, bit for bit, with 16 products for each 2x2 outputs and pair of
// channels instead of 36. The filter side takes 2 G, the result is 4 times the convolution.
//
// Codes are transformed as they are stored, with the zero point's code as padding: minus their
// zero point, sums of 2,560 channels could leave 32 bits. What that adds is the same for all
// outputs of a channel, zero point times the sum of its weights, and is taken off at the end.
// 16-bit codes are two planes of bytes, x = 256 h + (l + 128), each with a convolution of its own.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_INTEGERWINOGRAD_H
#define SDOPT_COMPILER_KERNELS_INTEGERWINOGRAD_H

#include "compiler/kernels/IntegerKernels.h"

namespace sdopt {

/// Outputs and inputs of a tile in one dimension, and its products in two.
inline constexpr int64_t kWinogradOutputs = 2, kWinogradInputs = 4;
inline constexpr int64_t kWinogradProducts = kWinogradInputs * kWinogradInputs;
/// Bits of transformed codes and weights, with the sign, and the most input channels whose sums
/// modulo 2^32 are exact: as winogradBounds() has them.
inline constexpr int64_t kWinogradCodeBits = 10, kWinogradWeightBits = 12;
inline constexpr int64_t kWinogradChannels = 3640;

/// Is it a 3x3 convolution of stride and dilation 1?
bool hasWinogradForm(const ConvTile &tile);

/// Tiles of 2x2 outputs; at an odd height or width the last ones have outputs to spare.
int64_t winogradTiles(const ConvTile &tile);

/// Multiplications of one plane of bytes: 16 for each tile and pair of channels.
int64_t winogradMultiplications(const ConvTile &tile);

/// What kernels.convAccumulate(tile, x, weights, acc) gives; by transforms and products where the
/// tile has the form, the zero point is a code (0 for I16) and the kernels are naiveKernels() or
/// those of fastKernelLevels(). Any number of channels; more than kWinogradChannels in parts.
void winogradAccumulate(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                        const int8_t *weights, int64_t *acc);

/// The same in plain loops that mirror docs/spec.md, in 32 bits that wrap. Returns the
/// multiplications done, of all planes.
int64_t naiveWinogradAccumulate(const ConvTile &tile, Codes x, const int8_t *weights, int64_t *acc);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_INTEGERWINOGRAD_H
