//===- WeightQuantization.h - int8 codes and a scale per channel -*- C++ -*-===//
//
// The meaning of sd.quantize_weight (docs/spec.md). Free of MLIR, streaming: beside the result it
// needs the memory of one channel. A function of the values only: the same codes on every machine.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_QUANTIZATION_WEIGHTQUANTIZATION_H
#define SDOPT_COMPILER_QUANTIZATION_WEIGHTQUANTIZATION_H

#include "compiler/kernels/FixedPoint.h"
#include "compiler/recipe/Recipe.h"

#include <span>
#include <vector>

namespace sdopt {

/// Scale of one channel. MinMax: max|w| / 127 in float32. MSE: of the 71 candidates
/// (max|w| * p / 100) / 127, p = 100 ... 30, the one with the least error; of equal ones the
/// largest. 1 if all weights are zero or so small that the scale would be subnormal.
///
/// The error of a candidate s, in float32 with r = 1 / s: for v = w * r and c = trunc(clamp(v,
/// -127, 127) + 128.5) - 128, the squares of v - c are summed in 16 interleaved partial sums for
/// each 256 weights; those sums are added up in double and multiplied by s * s.
float weightScale(std::span<const float> weights, RangeEstimator range);

/// codes[i] = clamp(floor(weights[i] / scale + 1/2), -127, 127), the quotient being exact enough
/// that no code differs from that of real numbers.
void quantizeChannel(std::span<const float> weights, float scale, std::span<int8_t> codes);

/// Makes the rounding errors of a group cancel: while the sum of w / scale - code is at least 1/2
/// in magnitude, the code with the largest error of that sign, strictly within -127 and 127, goes
/// to its other neighbour; of equal ones the first, each once at most. A convolution's input hardly
/// changes within a kernel and other inputs have a mean, so what is common to the errors weighs
/// most. After C. Guo et al., "SQuant: On-the-Fly Data-Free Quantization via Diagonal Hessian
/// Approximation", ICLR 2022, section 3.
void balanceCodes(std::span<const float> weights, float scale, std::span<int8_t> codes);

struct QuantizedWeights {
  Tensor codes;  ///< I8, the shape of the weights
  Tensor scales; ///< F32 [channels]
  /// I8 [channels][groupTaps * groups] (WeightStream.h), for forms that have them.
  Tensor groupScales = {}, zeroPoints = {};
  /// I8 [palettes][2^bits], of codes that are indices of its entries.
  Tensor palettes = {};
  /// F32 [channels]: sums of (weight - scale * code) * mean, if there are means.
  Tensor correction = {};
  /// Flat index of the first NaN or infinity, or -1. The rest is meaningless if there is one.
  int64_t firstNonFinite = -1;
};

/// Quantizes F32 weights channel by channel along `axis`. Groups for balanceCodes are the kernels
/// [kh][kw] of [co][ci][kh][kw] along axis 0 with kh * kw > 1, else whole channels. With
/// `knownScales`, which an earlier call gave, they are not searched again. `means` (axis 0 only)
/// is F32 with one mean for each of dimension 1, and asks for the correction.
QuantizedWeights quantizeWeights(const Tensor &weights, int64_t axis, RangeEstimator range,
                                 const Tensor *knownScales = nullptr,
                                 const Tensor *means = nullptr);

/// Flat index of the first NaN or infinity of F32 weights, or -1.
int64_t firstNonFiniteWeight(const Tensor &weights);

/// The one scale that weightScale() gives for all weights together, for each of dimension `axis`.
Tensor commonWeightScale(const Tensor &weights, int64_t axis, RangeEstimator range);

/// The mean of each weight's input, for a channel of `channelSize` weights [inputs][taps...].
std::vector<double> weightMeans(const Tensor &means, int64_t channelSize);
/// What int8 weights lack of a channel's real ones, weighted by the means of their inputs.
float weightCorrection(std::span<const float> weights, std::span<const int8_t> decoded,
                       std::span<const double> means, double scale);

} // namespace sdopt

#endif // SDOPT_COMPILER_QUANTIZATION_WEIGHTQUANTIZATION_H
