//===- QuantizedParameters.h - constants of the integer program -*- C++ -*-===//
//
// From real scales to the fixed-point parameters of compiler/kernels/IntegerKernels.h. The one
// definition that the evaluator, the lowering and docs/spec.md share. Free of MLIR. IEEE + - * /,
// sqrt, floor and ldexp on doubles only: the same bits on every machine.
//
// Scales are the real value of one code; "rounded" is half up, floor(x + 1/2).
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_QUANTIZATION_QUANTIZEDPARAMETERS_H
#define SDOPT_COMPILER_QUANTIZATION_QUANTIZEDPARAMETERS_H

#include "compiler/kernels/IntegerKernels.h"

#include <optional>
#include <span>
#include <vector>

namespace sdopt {

/// Largest magnitude of a bias in ChannelParams.
inline constexpr int64_t kLargestBias = int64_t(1) << 46;

/// Parameters of a convolution or linear layer, one for each output channel:
///   bias = rounded(bias / (inputScale * weightScale)), clamped to +-kLargestBias (0 if `bias` is
///   empty), {multiplier, shift} = scalingFor(inputScale * weightScale / outputScale).
std::vector<ChannelParams> channelParams(std::span<const float> weightScales,
                                         std::span<const float> bias, double inputScale,
                                         double outputScale);

/// 32 for I8 input, 48 for I16.
int accumulatorBits(CodeFormat input);

/// sum|w| of each of `channels` rows of weights.
std::vector<int64_t> magnitudeSums(std::span<const int8_t> weights, int64_t channels);

/// The first output channel whose accumulator might leave its width: sum|w| * max|x| + |bias| >=
/// 2^(accumulatorBits - 1), where x = code - zero point.
std::optional<int64_t> firstOverflowingChannel(std::span<const int64_t> magnitudeSums,
                                               std::span<const ChannelParams> params,
                                               CodeFormat input);
std::optional<int64_t> firstOverflowingChannel(std::span<const int8_t> weights,
                                               std::span<const ChannelParams> params,
                                               CodeFormat input);

/// The least input scale (a float) of a norm: epsilon / inputScale^2 stays below 2^30, the most
/// that NormParams holds.
float leastNormScale(double epsilon);

/// For a root mean square norm, params.centered is to be cleared.
struct NormParameters {
  NormParams params;
  std::vector<NormChannel> channels;
};

/// Parameters of a group or layer norm over `count` codes. The shift is the largest in [1, 48] for
/// which every |gamma| < 2^24 and |beta| <= 2^61; beta may be empty. At shift 1 values that are
/// still too large are clamped, and so is epsilon where inputScale is below leastNormScale.
NormParameters normParameters(std::span<const float> gamma, std::span<const float> beta,
                              int64_t count, double epsilon, double inputScale, double outputScale);

/// Real factor of a score difference in units of 2^-12 of a power of two: qScale * kScale *
/// softmaxScale * log2(e) * 4096. Attention needs it below kMostExponentFactor.
inline constexpr double kMostExponentFactor = 64;
double attentionExponentFactor(double queryScale, double keyScale, double softmaxScale);

AttentionParams attentionParams(double queryScale, double keyScale, double valueScale,
                                double outputScale, double softmaxScale, bool causal);

/// The gelu table of a geglu has the input's scale on both sides.
std::vector<int32_t> gegluTable(CodeFormat input, double inputScale);
GegluParams gegluParams(double inputScale, double outputScale);

/// Sum of two values.
CombineParams addParams(double lhsScale, double rhsScale, double outputScale, bool broadcastRows);
/// One value in another code; a part of a concatenation.
CombineParams requantizeParams(double inputScale, double outputScale);

/// Scales of input, scale, shift (0 if there is none) and output. The shift t is the largest in [1,
/// kLargestModulateShift] for which the multipliers stay in range; at 1 they are clamped.
ModulateParams modulateParams(double inputScale, double scaleScale, double shiftScale,
                              double outputScale, double offset);

/// Common shift of all rows of both tables: that of the largest scale / outputScale.
int32_t embeddingShift(std::span<const float> tokenScales, std::span<const float> positionScales,
                       double outputScale);
/// rounded(scale / outputScale * 2^shift) for each row, below 2^30.
std::vector<int32_t> embeddingMultipliers(std::span<const float> scales, double outputScale,
                                          int32_t shift);

} // namespace sdopt

#endif // SDOPT_COMPILER_QUANTIZATION_QUANTIZEDPARAMETERS_H
