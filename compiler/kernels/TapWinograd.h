//===- TapWinograd.h - lossy convolutions, fewer products still -*- C++ -*-===//
//
// F(4x4, 3x3) in integers with a power of two for each of its 36 products ("taps"; docs/spec.md,
// section 8): 36 products for each 4x4 outputs and pair of channels instead of 144. Transformed
// codes and weights are rounded to what a multiplier of 11 x 12 bits takes, by shifts that belong
// to the layer (R. Andri et al., "Going Further With Winograd Convolutions: Tap-Wise Quantization
// on Efficient 4x4 Tiles", MICRO 2022, section III). Sums are kTapScale times those of the
// convolution, about: what they lack is the price, and is measured.
//
// Codes are transformed minus their zero point, 0 outside the picture. 16-bit codes are rounded to
// 22 bits once they are transformed, 2048 h + l, with products of h and of l.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_TAPWINOGRAD_H
#define SDOPT_COMPILER_KERNELS_TAPWINOGRAD_H

#include "compiler/kernels/IntegerKernels.h"

#include <array>
#include <span>
#include <vector>

namespace sdopt {

/// Outputs and inputs of a tile in one dimension, and its products in two.
inline constexpr int64_t kTapOutputs = 4, kTapInputs = 6, kTapProducts = kTapInputs * kTapInputs;
/// Bits of a factor of the products, with the sign: part of a transformed code, transformed weight.
inline constexpr int64_t kTapCodeBits = 11, kTapWeightBits = 12;
/// What the upper factors of wide codes count.
inline constexpr int64_t kTapWidePlane = int64_t{1} << kTapCodeBits;
/// Of the sums: 24^2.
inline constexpr int64_t kTapScale = 576;
/// The largest shift: transformed codes minus zero points have 24 bits at most.
inline constexpr int64_t kMostTapShift = 15;

/// Bits to the right of each transformed code and weight, [row][column], 0 to kMostTapShift; half
/// up, and saturated at the bits of a factor (codes of 16 bits: -2^21 to 2^21 - 1025).
struct TapShifts {
  std::array<uint8_t, kTapProducts> codes = {}, weights = {};
  friend bool operator==(const TapShifts &, const TapShifts &) = default;
};

/// How the products of a 3x3 convolution are made.
enum class WinogradForm : uint8_t {
  None = 0,
  F2x2 = 1, ///< F(2x2, 3x3), to the same bits (IntegerWinograd.h)
  F4x4 = 2, ///< F(4x4, 3x3), rounded by TapShifts
};

/// acc += kTapScale times the convolution without the zero point, about. Tiles of 4x4 outputs begin
/// at the first output; what the last ones have to spare is not kept, and codes beyond the input
/// count as its zero point, which is a code (0 for I16). The window is 3x3 of stride and dilation
/// 1. The same bits from all kernels; fast ones where they are those of fastKernelLevels().
void tapAccumulate(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                   const int8_t *weights, const TapShifts &shifts, int64_t *acc);

/// The same in plain loops that mirror docs/spec.md. Returns the multiplications done.
int64_t naiveTapAccumulate(const ConvTile &tile, Codes x, const int8_t *weights,
                           const TapShifts &shifts, int64_t *acc);

/// A bound of |acc| for each output channel, without the bias: whatever the codes, and whichever
/// input channels are in the sum. `weights` are [outputChannels][3][3][inputChannels], `x` is the
/// format of the codes. The bound is the lesser of two, at the worst of 16 outputs of a tile, each
/// transformed code at its worst:
///
///   sum of |A| 2^exponent |U 2^s| |V 2^t|
///   kTapScale sum|w| max|d| + sum of |A| 2^exponent (|U 2^s - F w F'| max|B' d B| + |U 2^s| e)
///
/// A: the factor in A' m A; s, t: the shifts; e: the most that V 2^t is off, by rounding and
/// saturation. The second one is close to the plain convolution's where nothing saturates.
std::vector<int64_t> tapAccumulatorBound(std::span<const int8_t> weights, int64_t outputChannels,
                                         CodeFormat x, const TapShifts &shifts);

/// What tapAccumulate() into accumulators of 0 and kernels.requantize() give, y:
/// [outputHeight][outputWidth][outputChannels]; `params` are for sums kTapScale times as large.
void tapConvolve(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                 const int8_t *weights, const TapShifts &shifts, const ChannelParams *params,
                 CodeFormat format, void *y);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_TAPWINOGRAD_H
