//===- QuantizedParameters.cpp - constants of the integer program ------------===//

#include "compiler/quantization/QuantizedParameters.h"

#include "compiler/kernels/KernelThreads.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sdopt {

namespace {

constexpr double kLog2E = 0x1.71547652b82fep+0;

/// Half up, clamped to [-limit, limit]; NaN gives 0.
int64_t rounded(double value, int64_t limit) {
  double bound = static_cast<double>(limit);
  double result = std::floor(value + 0.5);
  if (result >= bound)
    return limit;
  if (result <= -bound)
    return -limit;
  return result == result ? static_cast<int64_t>(result) : 0;
}

double largestMagnitude(std::span<const float> values) {
  double largest = 0;
  for (float value : values)
    largest = std::max(largest, std::fabs(static_cast<double>(value)));
  return largest;
}

constexpr int64_t kLargestGamma = (int64_t(1) << 24) - 1;
constexpr int64_t kLargestBeta = int64_t(1) << 61;

bool shiftFits(int32_t shift, double gamma, double beta) {
  return std::floor(std::ldexp(gamma, shift - 24) + 0.5) <= static_cast<double>(kLargestGamma) &&
         std::floor(std::ldexp(beta, shift) + 0.5) <= static_cast<double>(kLargestBeta);
}

} // namespace

std::vector<ChannelParams> channelParams(std::span<const float> weightScales,
                                         std::span<const float> bias, double inputScale,
                                         double outputScale) {
  std::vector<ChannelParams> params(weightScales.size());
  for (size_t i = 0; i < params.size(); ++i) {
    double unit = inputScale * static_cast<double>(weightScales[i]);
    Scaling scaling = scalingFor(unit / outputScale);
    params[i] = {.bias = bias.empty() ? 0 : rounded(bias[i] / unit, kLargestBias),
                 .multiplier = scaling.multiplier,
                 .shift = scaling.shift};
  }
  return params;
}

int accumulatorBits(CodeFormat input) { return input.type == ElementType::I8 ? 32 : 48; }

std::vector<int64_t> magnitudeSums(std::span<const int8_t> weights, int64_t channels) {
  std::vector<int64_t> sums(channels);
  int64_t inputs = channels > 0 ? static_cast<int64_t>(weights.size()) / channels : 0;
  parallelFor(channels, [&](int64_t channel, int) {
    const int8_t *row = weights.data() + channel * inputs;
    // Parts whose sums fit 32 bits become vector instructions.
    constexpr int64_t kPart = 1 << 20;
    for (int64_t first = 0; first < inputs; first += kPart) {
      int32_t sum = 0;
      for (int64_t i = first; i < std::min(inputs, first + kPart); ++i)
        sum += std::abs(row[i]);
      sums[channel] += sum;
    }
  });
  return sums;
}

std::optional<int64_t> firstOverflowingChannel(std::span<const int64_t> magnitudeSums,
                                               std::span<const ChannelParams> params,
                                               CodeFormat input) {
  int64_t largest =
      std::max(int64_t(input.max()) - input.zeroPoint, int64_t(input.zeroPoint) - input.min());
  int64_t limit = int64_t(1) << (accumulatorBits(input) - 1);
  for (size_t channel = 0; channel < params.size(); ++channel) {
    int64_t bias = params[channel].bias;
    if (magnitudeSums[channel] * largest + (bias < 0 ? -bias : bias) >= limit)
      return static_cast<int64_t>(channel);
  }
  return std::nullopt;
}

std::optional<int64_t> firstOverflowingChannel(std::span<const int8_t> weights,
                                               std::span<const ChannelParams> params,
                                               CodeFormat input) {
  return firstOverflowingChannel(magnitudeSums(weights, static_cast<int64_t>(params.size())),
                                 params, input);
}

float leastNormScale(double epsilon) {
  float scale = static_cast<float>(std::sqrt(std::ldexp(epsilon, -30)));
  return epsilon > 0 ? std::nextafter(scale, std::numeric_limits<float>::infinity()) : 0.0f;
}

NormParameters normParameters(std::span<const float> gamma, std::span<const float> beta,
                              int64_t count, double epsilon, double inputScale,
                              double outputScale) {
  double largestGamma = largestMagnitude(gamma) / outputScale;
  double largestBeta = largestMagnitude(beta) / outputScale;
  int32_t shift = 48;
  while (shift > 1 && !shiftFits(shift, largestGamma, largestBeta))
    --shift;
  NormParameters result;
  int64_t fixedEpsilon =
      rounded(std::ldexp(epsilon / (inputScale * inputScale), 32), int64_t(1) << 62);
  result.params = {.count = count, .epsilon = static_cast<uint64_t>(fixedEpsilon), .shift = shift};
  for (size_t i = 0; i < gamma.size(); ++i) {
    double g = gamma[i] / outputScale, b = beta.empty() ? 0.0 : beta[i] / outputScale;
    result.channels.push_back(
        {.beta = rounded(std::ldexp(b, shift), kLargestBeta),
         .gamma = static_cast<int32_t>(rounded(std::ldexp(g, shift - 24), kLargestGamma))});
  }
  return result;
}

double attentionExponentFactor(double queryScale, double keyScale, double softmaxScale) {
  return queryScale * keyScale * softmaxScale * kLog2E * 4096.0;
}

AttentionParams attentionParams(double queryScale, double keyScale, double valueScale,
                                double outputScale, double softmaxScale, bool causal) {
  return {.exponent = scalingFor(attentionExponentFactor(queryScale, keyScale, softmaxScale)),
          .output = scalingFor(valueScale / outputScale),
          .causal = causal};
}

std::vector<int32_t> gegluTable(CodeFormat input, double inputScale) {
  return makeTable(TableFunction::GELU, input, inputScale, inputScale);
}

GegluParams gegluParams(double inputScale, double outputScale) {
  return {.scaling = scalingFor(inputScale * inputScale / 256.0 / outputScale)};
}

CombineParams addParams(double lhsScale, double rhsScale, double outputScale, bool broadcastRows) {
  return {.scaling = pairScalingFor(lhsScale / outputScale, rhsScale / outputScale),
          .broadcastRows = broadcastRows};
}

CombineParams requantizeParams(double inputScale, double outputScale) {
  return {.scaling = pairScalingFor(inputScale / outputScale, 0.0)};
}

ModulateParams modulateParams(double inputScale, double scaleScale, double shiftScale,
                              double outputScale, double offset) {
  double ratio = inputScale / outputScale;
  double gain = ratio * scaleScale, unit = ratio * offset, plus = shiftScale / outputScale;
  auto fits = [](double value, int32_t shift, int64_t limit) {
    return std::floor(std::ldexp(value, shift) + 0.5) <= static_cast<double>(limit);
  };
  int32_t shift = kLargestModulateShift;
  while (shift > 1 &&
         !(fits(gain, shift, kLargestScaleMultiplier) && fits(unit, shift, kLargestModulation) &&
           fits(plus, shift, kLargestModulation)))
    --shift;
  return {.scaleMultiplier = rounded(std::ldexp(gain, shift), kLargestScaleMultiplier),
          .unit = rounded(std::ldexp(unit, shift), kLargestModulation),
          .shiftMultiplier = rounded(std::ldexp(plus, shift), kLargestModulation),
          .shift = shift};
}

int32_t embeddingShift(std::span<const float> tokenScales, std::span<const float> positionScales,
                       double outputScale) {
  double largest = std::max(largestMagnitude(tokenScales), largestMagnitude(positionScales));
  return pairScalingFor(largest / outputScale, 0.0).shift;
}

std::vector<int32_t> embeddingMultipliers(std::span<const float> scales, double outputScale,
                                          int32_t shift) {
  std::vector<int32_t> multipliers;
  for (float scale : scales)
    multipliers.push_back(static_cast<int32_t>(
        rounded(std::ldexp(scale / outputScale, shift), (int64_t(1) << 30) - 1)));
  return multipliers;
}

} // namespace sdopt
