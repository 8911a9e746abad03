//===- TapTransforms.h - Winograd with a scale for each product -*- C++ -*-===//
//
// F(4x4, 3x3) makes 16 outputs of 36 products, but its transforms are too wide to be exact: 15 bits
// of codes and more of weights. Here transformed codes and weights are rounded to what a multiplier
// takes, with a power of two of its own for each of the n x n products ("taps"), since their ranges
// differ by far (R. Andri et al., "Going Further With Winograd Convolutions: Tap-Wise Quantization
// on Efficient 4x4 Tiles", MICRO 2022, section III). Everything stays in integers:
//
//   U = shifted(F w F'),  V = shifted(B' d B)               right shifts, half up, saturated
//   Y = A' [ sum of U * V << (exponents + shifts) ] A        scale^2 times the convolution, about
//
// What that loses is measured, layer by layer.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_WINOGRAD_TAPTRANSFORMS_H
#define SDOPT_COMPILER_WINOGRAD_TAPTRANSFORMS_H

#include "compiler/kernels/IntegerKernels.h"
#include "compiler/winograd/WinogradBounds.h"

namespace sdopt {

/// One dimension in integers: row j of the filter side counts 2^exponents[j] times, and the result
/// is `scale` times the convolution. F(4, 3) of 0, 1, -1, 2, -2:
///
///        3  0  0            1
///       -1 -1 -1            2
///   F = -1  1 -1   2 to the 2      scale 24
///        1  2  4            0
///        1 -2  4            0
///        0  0  3            3
struct TapTransforms : Transforms<int64_t> {
  std::vector<int64_t> exponents;
  int64_t scale = 1;
};

/// OUT_OF_RANGE if an entry or the scale leaves 63 bits.
absl::StatusOr<TapTransforms> tapTransforms(const RationalTransforms &transforms);

/// As for the other forms.
bool convolves(const TapTransforms &transforms);

/// Bits to the right for each product, [n][n].
struct TapShiftMatrices {
  Matrix<int64_t> codes, weights;
};

/// The least shifts after which numbers of these ranges fit so many bits with the sign, one for
/// each product.
Matrix<int64_t> leastShifts(const Matrix<Interval> &ranges, int64_t bits);

/// What the transforms of one picture's codes and of a layer's weights reach, product by product.
/// The window is square, of `taps` taps, stride and dilation 1.
Matrix<Interval> observedCodes(const TapTransforms &transforms, const ConvTile &tile, Codes x);
Matrix<Interval> observedWeights(const TapTransforms &transforms, const ConvTile &tile,
                                 const int8_t *weights);

/// Y of the whole tile, [outputHeight][outputWidth][outputChannels], without the zero point; with
/// shifts of 0 exactly scale^2 times convAccumulate(). Codes and weights saturate at `codeBits` and
/// `weightBits`.
struct TapConvolution {
  const TapTransforms &transforms;
  const TapShiftMatrices &shifts;
  int64_t codeBits = 11, weightBits = 12;
};
std::vector<int64_t> tapConvolve(const TapConvolution &convolution, const ConvTile &tile, Codes x,
                                 const int8_t *weights);

/// 10 log10 of the power of the exact sums over that of Y / scale^2 - sums; infinite if they are
/// equal.
double tapSqnr(const TapConvolution &convolution, const ConvTile &tile, Codes x,
               const int8_t *weights);

} // namespace sdopt

#endif // SDOPT_COMPILER_WINOGRAD_TAPTRANSFORMS_H
