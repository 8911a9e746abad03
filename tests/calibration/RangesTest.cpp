// Scales and zero points from statistics.

#include "compiler/calibration/Statistics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace sdopt {
namespace {

ValueStatistics statisticsOf(const std::vector<float> &values) {
  ValueStatistics statistics{.name = "x",
                             .min = *std::min_element(values.begin(), values.end()),
                             .max = *std::max_element(values.begin(), values.end()),
                             .count = values.size()};
  statistics.histogram.add(values);
  return statistics;
}

TEST(ChooseRange, SixteenBitsAreSymmetricWithHeadroom) {
  CodeRange range = chooseRange(statisticsOf({-3.0f, 2.0f}), RangeEstimator::MinMax, 16);
  EXPECT_EQ(range.scale, static_cast<double>(static_cast<float>(6.0 / 32767)));
  EXPECT_EQ(range.zeroPoint, 0);
}

TEST(ChooseRange, EightBitsHaveAZeroPoint) {
  CodeRange range = chooseRange(statisticsOf({-1.0f, 3.0f}), RangeEstimator::MinMax, 8);
  EXPECT_EQ(range.scale, static_cast<double>(static_cast<float>(4.0 / 255)));
  EXPECT_EQ(range.zeroPoint, -64); // -128 + 63.75, half up
}

TEST(ChooseRange, TheRangeIncludesZero) {
  CodeRange positive = chooseRange(statisticsOf({1.0f, 2.0f}), RangeEstimator::MinMax, 8);
  EXPECT_EQ(positive.zeroPoint, -128);
  EXPECT_EQ(positive.scale, static_cast<double>(static_cast<float>(2.0 / 255)));
  CodeRange negative = chooseRange(statisticsOf({-2.0f, -1.0f}), RangeEstimator::MinMax, 8);
  EXPECT_EQ(negative.zeroPoint, 127);
}

TEST(ChooseRange, AllZeroHasScaleOne) {
  for (int bits : {8, 16})
    for (RangeEstimator estimator : {RangeEstimator::MinMax, RangeEstimator::MSE})
      EXPECT_EQ(chooseRange(statisticsOf({0.0f}), estimator, bits).scale, 1.0);
}

/// Squared error of rounding values to a code.
double lossOf(const std::vector<float> &values, CodeRange range, int bits) {
  double limit = std::ldexp(1.0, bits - 1), loss = 0;
  for (float value : values) {
    double code =
        std::clamp(std::floor(value / range.scale + 0.5) + range.zeroPoint, -limit, limit - 1);
    double error = value - range.scale * (code - range.zeroPoint);
    loss += error * error;
  }
  return loss;
}

TEST(ChooseRange, LeastErrorClipsOutliers) {
  std::mt19937 random(4);
  std::vector<float> values(20000);
  for (float &value : values)
    value = (random() >> 8) * 0x1p-23f - 0.25f;
  values[5] = 3.5f;
  ValueStatistics statistics = statisticsOf(values);
  CodeRange extremes = chooseRange(statistics, RangeEstimator::MinMax, 8);
  CodeRange least = chooseRange(statistics, RangeEstimator::MSE, 8);
  EXPECT_LT(least.scale, extremes.scale);
  EXPECT_LT(lossOf(values, least, 8), lossOf(values, extremes, 8));
}

TEST(ChooseRange, LeastErrorKeepsAUniformRange) {
  std::vector<float> values;
  for (int i = 0; i < 4096; ++i)
    values.push_back(i / 2048.0f - 1.0f);
  ValueStatistics statistics = statisticsOf(values);
  EXPECT_EQ(chooseRange(statistics, RangeEstimator::MSE, 16).scale,
            chooseRange(statistics, RangeEstimator::MinMax, 16).scale);
}

} // namespace
} // namespace sdopt
