// Fixed-point parameters against the real numbers they stand for.

#include "compiler/quantization/QuantizedParameters.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sdopt {
namespace {

double value(Scaling scaling) { return std::ldexp(scaling.multiplier, -scaling.shift); }

TEST(ChannelParameters, StandForBiasAndScale) {
  std::vector<float> scales = {0.01f, 1.0f, 1e-6f}, bias = {0.5f, -3.0f, 100.0f};
  std::vector<ChannelParams> params = channelParams(scales, bias, 0.001, 0.02);
  for (size_t i = 0; i < scales.size(); ++i) {
    double unit = 0.001 * scales[i];
    EXPECT_NEAR(params[i].bias * unit, bias[i], unit);
    EXPECT_NEAR(value({params[i].multiplier, params[i].shift}), unit / 0.02, unit * 1e-9 / 0.02);
  }
  EXPECT_EQ(channelParams(scales, {}, 0.001, 0.02)[0].bias, 0);
}

TEST(ChannelParameters, RoundHalfUpAndClamp) {
  std::vector<float> scales = {1.0f, 1.0f, 1e-20f, 1e-20f}, bias = {2.5f, -2.5f, 1.0f, -1.0f};
  std::vector<ChannelParams> params = channelParams(scales, bias, 1.0, 1.0);
  EXPECT_EQ(params[0].bias, 3);
  EXPECT_EQ(params[1].bias, -2);
  EXPECT_EQ(params[2].bias, kLargestBias);
  EXPECT_EQ(params[3].bias, -kLargestBias);
}

TEST(AccumulatorBound, FindsTheFirstChannel) {
  // 127 * 255 * 66311 is just above 2^31.
  std::vector<int8_t> weights(3 * 66312, 0);
  std::fill(weights.begin() + 66312, weights.end(), int8_t(-127));
  std::vector<ChannelParams> params(3);
  CodeFormat shifted{ElementType::I8, 127};
  EXPECT_EQ(firstOverflowingChannel(weights, params, shifted), 1);
  EXPECT_EQ(firstOverflowingChannel(weights, params, {ElementType::I8, 0}), std::nullopt);
  EXPECT_EQ(firstOverflowingChannel(weights, params, {ElementType::I16, 0}), std::nullopt);
  params[0].bias = -(int64_t(1) << 31);
  EXPECT_EQ(firstOverflowingChannel(weights, params, {ElementType::I8, 0}), 0);
  params[0].bias = (int64_t(1) << 31) - 1;
  EXPECT_EQ(firstOverflowingChannel(weights, params, {ElementType::I8, 0}), std::nullopt);
}

TEST(NormParameters, StandForGammaAndBeta) {
  std::vector<float> gamma = {1.0f, -0.25f, 0.0f}, beta = {0.5f, -2.0f, 7.0f};
  NormParameters norm = normParameters(gamma, beta, 12, 1e-5, 0.01, 0.001);
  EXPECT_EQ(norm.params.count, 12);
  EXPECT_NEAR(norm.params.epsilon * 0x1p-32, 1e-5 / 1e-4, 1e-9);
  for (size_t i = 0; i < gamma.size(); ++i) {
    EXPECT_NEAR(std::ldexp(norm.channels[i].gamma, 24 - norm.params.shift), gamma[i] / 0.001, 1e-3);
    EXPECT_NEAR(std::ldexp(norm.channels[i].beta, -norm.params.shift), beta[i] / 0.001, 1e-6);
  }
}

TEST(NormParameters, LeastScaleOfANormHoldsItsEpsilon) {
  constexpr uint64_t kMost = uint64_t(1) << 62;
  for (double epsilon : {1e-12, 1e-5, 0.25, 3.0}) {
    float least = leastNormScale(epsilon);
    std::vector<float> gamma{1.0f};
    uint64_t held = normParameters(gamma, {}, 1, epsilon, least, 1.0).params.epsilon;
    EXPECT_LT(held, kMost) << epsilon;
    EXPECT_GT(static_cast<double>(held), 0.999 * static_cast<double>(kMost)) << epsilon;
  }
  EXPECT_EQ(leastNormScale(0), 0);
}

TEST(NormParameters, UseAllBitsWithoutOverflow) {
  for (float gamma : {1e-9f, 0.1f, 1.0f, 77.0f, 1e6f, 1e20f})
    for (float beta : {0.0f, 1.0f, 1e9f, 1e30f}) {
      NormParameters norm = normParameters(std::vector{gamma}, std::vector{beta}, 4, 0, 1, 1e-4);
      int64_t g = norm.channels[0].gamma, b = norm.channels[0].beta;
      EXPECT_LT(std::abs(g), int64_t(1) << 24);
      EXPECT_LE(std::abs(b), int64_t(1) << 61);
      EXPECT_GE(norm.params.shift, 1);
      EXPECT_LE(norm.params.shift, 48);
      if (norm.params.shift > 1 && norm.params.shift < 48) {
        EXPECT_TRUE(g >= int64_t(1) << 23 || b > int64_t(1) << 60) << gamma << " " << beta;
      }
    }
}

TEST(AttentionParameters, StandForTheExponent) {
  AttentionParams params = attentionParams(0.01, 0.02, 0.03, 0.04, 0.125, true);
  EXPECT_NEAR(value(params.exponent), 0.01 * 0.02 * 0.125 * std::log2(std::exp(1.0)) * 4096, 1e-9);
  EXPECT_NEAR(value(params.output), 0.75, 1e-9);
  EXPECT_TRUE(params.causal);
}

TEST(EmbeddingParameters, ShareAShift) {
  std::vector<float> tokens = {0.01f, 0.5f}, positions = {0.002f};
  int32_t shift = embeddingShift(tokens, positions, 0.001);
  std::vector<int32_t> multipliers = embeddingMultipliers(tokens, 0.001, shift);
  EXPECT_GE(multipliers[1], 1 << 29);
  EXPECT_LT(multipliers[1], 1 << 30);
  EXPECT_NEAR(std::ldexp(multipliers[0], -shift), 10.0, 1e-6);
  EXPECT_NEAR(std::ldexp(embeddingMultipliers(positions, 0.001, shift)[0], -shift), 2.0, 1e-6);
}

} // namespace
} // namespace sdopt
