// Codes and scales against plain loops that follow docs/spec.md.

#include "compiler/quantization/WeightQuantization.h"

#include "compiler/kernels/FloatKernels.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <random>

namespace sdopt {
namespace {

std::vector<float> gaussian(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float &value : values) {
    float sum = 0;
    for (int i = 0; i < 12; ++i)
      sum += static_cast<float>(random() >> 8) * 0x1p-24f;
    value = sum - 6;
  }
  return values;
}

/// The search without its early outs.
float plainSearch(const std::vector<float> &weights) {
  float largest = 0;
  for (float w : weights)
    largest = std::max(largest, std::fabs(w));
  double best = std::numeric_limits<double>::infinity();
  float chosen = 0;
  for (int p = 100; p >= 30; --p) {
    float scale = largest * static_cast<float>(p) / 100.0f / 127.0f, reciprocal = 1.0f / scale;
    double total = 0;
    for (size_t block = 0; block < weights.size(); block += 256) {
      float lanes[16] = {};
      for (size_t i = block; i < std::min(block + 256, weights.size()); ++i) {
        float v = weights[i] * reciprocal;
        int code = static_cast<int>(std::min(std::max(v, -127.0f), 127.0f) + 128.5f) - 128;
        float error = v - static_cast<float>(code);
        lanes[(i - block) % 16] += error * error;
      }
      double blockSum = 0;
      for (float lane : lanes)
        blockSum += lane;
      total += blockSum;
    }
    double error = total * (static_cast<double>(scale) * scale);
    if (error < best) {
      best = error;
      chosen = scale;
    }
  }
  return chosen;
}

TEST(WeightScale, MinMax) {
  std::vector<float> weights = {0.5f, -2.54f, 1.0f};
  EXPECT_EQ(weightScale(weights, RangeEstimator::MinMax), 2.54f * 100.0f / 100.0f / 127.0f);
}

TEST(WeightScale, SearchEqualsPlainSearch) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::vector<float> weights = gaussian(1 + seed * 37 % 700, seed);
    if (seed % 3 == 0)
      weights[weights.size() / 2] = seed % 2 ? 20.0f : -9.0f; // an outlier
    if (seed % 5 == 0)
      for (float &weight : weights)
        weight *= 1e-12f;
    EXPECT_EQ(weightScale(weights, RangeEstimator::MSE), plainSearch(weights)) << seed;
  }
}

TEST(WeightScale, ClippingHelps) {
  std::vector<float> weights = gaussian(4096, 3);
  weights[17] = 12.0f;
  EXPECT_LT(weightScale(weights, RangeEstimator::MSE),
            weightScale(weights, RangeEstimator::MinMax));
}

TEST(WeightScale, ZeroAndSubnormalChannelsHaveScaleOne) {
  EXPECT_EQ(weightScale(std::vector<float>(5, 0.0f), RangeEstimator::MSE), 1.0f);
  EXPECT_EQ(weightScale(std::vector<float>(5, 1e-42f), RangeEstimator::MSE), 1.0f);
  EXPECT_EQ(weightScale(std::vector<float>(5, 1e-42f), RangeEstimator::MinMax), 1.0f);
  EXPECT_GT(weightScale(std::vector<float>(5, 2e-36f), RangeEstimator::MSE), 0.0f);
}

TEST(QuantizeChannel, RoundsHalfUpAndClamps) {
  std::vector<float> weights = {0.5f, -0.5f, 1.5f, -1.5f, 200.0f, -200.0f, 0.49999997f};
  std::vector<int8_t> codes(weights.size());
  quantizeChannel(weights, 1.0f, codes);
  EXPECT_EQ(codes, (std::vector<int8_t>{1, 0, 2, -1, 127, -127, 0}));
}

TEST(BalanceCodes, MovesTheLargestErrors) {
  // Errors 3/8 1/4 -1/8 1/4 3/8 add up to 9/8: one code moves, the first of the two largest.
  std::vector<float> weights = {1.375f, 2.25f, 0.875f, -0.75f, 3.375f};
  std::vector<int8_t> codes = {1, 2, 1, -1, 3};
  balanceCodes(weights, 1.0f, codes);
  EXPECT_EQ(codes, (std::vector<int8_t>{2, 2, 1, -1, 3}));
  std::vector<float> negative = {-1.375f, -2.4375f, -0.25f};
  codes = {-1, -2, 0};
  balanceCodes(negative, 1.0f, codes);
  EXPECT_EQ(codes, (std::vector<int8_t>{-1, -3, 0}));
}

TEST(BalanceCodes, NeverLeavesTheRange) {
  std::vector<float> weights = {200.0f, -150.0f, 126.9f, 0.25f};
  std::vector<int8_t> codes = {127, -127, 127, 0};
  balanceCodes(weights, 1.0f, codes);
  EXPECT_EQ(codes, (std::vector<int8_t>{127, -127, 127, 1}));
}

TEST(BalanceCodes, SumsAreNearestAndErrorsBelowOne) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    std::vector<float> weights = gaussian(1 + seed * 13 % 97, seed);
    float scale = weightScale(weights, RangeEstimator::MinMax);
    std::vector<int8_t> codes(weights.size());
    quantizeChannel(weights, scale, codes);
    balanceCodes(weights, scale, codes);
    double sum = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      double error = static_cast<double>(weights[i]) / scale - codes[i];
      EXPECT_LT(std::fabs(error), 1.0) << seed;
      sum += error;
    }
    EXPECT_LE(std::fabs(sum), 0.5 + 1e-9) << seed;
  }
}

/// One step at a time.
std::vector<int8_t> plainBalance(const std::vector<float> &weights, std::vector<int8_t> codes) {
  std::vector<double> errors(weights.size());
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i)
    sum += errors[i] = static_cast<double>(weights[i]) - codes[i];
  int direction = sum > 0 ? 1 : -1;
  for (auto left = std::llround(std::fabs(sum)); left > 0; --left) {
    size_t chosen = weights.size();
    for (size_t i = 0; i < weights.size(); ++i)
      if (direction * errors[i] > (chosen < weights.size() ? direction * errors[chosen] : 0.0) &&
          std::abs(codes[i]) < 127)
        chosen = i;
    if (chosen == weights.size())
      break;
    codes[chosen] = static_cast<int8_t>(codes[chosen] + direction);
    errors[chosen] = 0;
  }
  return codes;
}

TEST(BalanceCodes, EqualsPlainSteps) {
  std::mt19937 random(3);
  for (int round = 0; round < 400; ++round) {
    // Errors of many kinds: spread, all small, all alike, on one side, at the ends of the range.
    std::vector<float> weights(1 + random() % 300);
    float spread = std::array{1.0f, 0.2f, 0.0f, 0.5f}[round % 4];
    for (float &weight : weights)
      weight = static_cast<float>(static_cast<int>(random() % 257) - 128) + (round % 3) * 0.125f +
               spread * (static_cast<float>(random() % 1024) / 1024.0f - 0.5f);
    std::vector<int8_t> codes(weights.size());
    quantizeChannel(weights, 1.0f, codes);
    std::vector<int8_t> expected = plainBalance(weights, codes);
    balanceCodes(weights, 1.0f, codes);
    ASSERT_EQ(codes, expected) << round;
  }
}

TEST(QuantizeWeights, AnyNumberOfThreadsAndBlocks) {
  std::vector<float> values = gaussian(331 * 101 * 4, 6);
  for (int64_t axis : {0, 1, 2}) {
    Tensor weights = Tensor::of<float>({331, 101, 4}, std::span<const float>(values));
    QuantizedWeights one = quantizeWeights(weights, axis, RangeEstimator::MinMax);
    setKernelThreads(3);
    QuantizedWeights three = quantizeWeights(weights, axis, RangeEstimator::MinMax);
    setKernelThreads(1);
    EXPECT_TRUE(one.codes.sameBits(three.codes)) << axis;
    EXPECT_TRUE(one.scales.sameBits(three.scales)) << axis;
  }
}

TEST(QuantizeWeights, BalancesEachKernel) {
  std::vector<float> values = gaussian(4 * 3 * 9, 5);
  Tensor weights = Tensor::of<float>({4, 3, 3, 3}, std::span<const float>(values));
  QuantizedWeights result = quantizeWeights(weights, 0, RangeEstimator::MinMax);
  for (int64_t kernel = 0; kernel < 12; ++kernel) {
    double sum = 0;
    for (int64_t i = kernel * 9; i < kernel * 9 + 9; ++i)
      sum += static_cast<double>(values[i]) / result.scales.values<float>()[kernel / 3] -
             result.codes.values<int8_t>()[i];
    EXPECT_LE(std::fabs(sum), 0.5 + 1e-9) << kernel;
  }
}

/// Kernels are balanced side by side, some of them with a code at the limit.
TEST(QuantizeWeights, KernelsAreBalancedAsIfAlone) {
  for (int64_t taps : {4, 9, 15, 25}) {
    const int64_t inputs = 43;
    const std::vector<float> values = gaussian(2 * inputs * taps, static_cast<unsigned>(taps));
    const QuantizedWeights result =
        quantizeWeights(Tensor::of<float>({2, inputs, 1, taps}, std::span<const float>(values)), 0,
                        RangeEstimator::MSE);
    for (int64_t kernel = 0; kernel < 2 * inputs; ++kernel) {
      const float scale = result.scales.values<float>()[kernel / inputs];
      const auto weights = std::span(values).subspan(kernel * taps, taps);
      std::vector<int8_t> codes(taps);
      quantizeChannel(weights, scale, codes);
      balanceCodes(weights, scale, codes);
      const auto found = result.codes.values<int8_t>().subspan(kernel * taps, taps);
      EXPECT_TRUE(std::ranges::equal(codes, found)) << taps << " " << kernel;
    }
  }
}

TEST(QuantizeWeights, AnyAxisEqualsTransposedFirstAxis) {
  Tensor weights = Tensor::of<float>({3, 5, 2}, std::span<const float>(gaussian(30, 9)));
  QuantizedWeights middle = quantizeWeights(weights, 1, RangeEstimator::MSE);
  for (int64_t c = 0; c < 5; ++c) {
    std::vector<float> channel;
    std::vector<int8_t> codes(6), found;
    for (int64_t o = 0; o < 3; ++o)
      for (int64_t i = 0; i < 2; ++i) {
        channel.push_back(weights.values<float>()[(o * 5 + c) * 2 + i]);
        found.push_back(middle.codes.values<int8_t>()[(o * 5 + c) * 2 + i]);
      }
    float scale = weightScale(channel, RangeEstimator::MSE);
    quantizeChannel(channel, scale, codes);
    balanceCodes(channel, scale, codes);
    EXPECT_EQ(middle.scales.values<float>()[c], scale);
    EXPECT_EQ(found, codes);
  }
}

TEST(QuantizeWeights, ReportsTheFirstNonFiniteWeight) {
  std::vector<float> values = {1, 2, std::numeric_limits<float>::infinity(), std::nanf("")};
  Tensor weights = Tensor::of<float>({2, 2}, std::span<const float>(values));
  EXPECT_EQ(quantizeWeights(weights, 0, RangeEstimator::MinMax).firstNonFinite, 2);
}

} // namespace
} // namespace sdopt
