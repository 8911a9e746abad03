// Scales and zero points from statistics.

#include "compiler/calibration/Ranges.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace sdopt {
namespace {

constexpr ActivationRange kMinMax{ActivationEstimator::MinMax};
constexpr ActivationRange kLeastError{ActivationEstimator::MSE};

ValueStatistics statisticsOf(const std::vector<float> &values) {
  ValueStatistics statistics{.name = "x",
                             .min = *std::min_element(values.begin(), values.end()),
                             .max = *std::max_element(values.begin(), values.end()),
                             .count = values.size()};
  statistics.histogram.add(values);
  return statistics;
}

TEST(ChooseRange, SixteenBitsAreSymmetricWithHeadroom) {
  CodeRange range = chooseRange(statisticsOf({-3.0f, 2.0f}), kMinMax, 16);
  EXPECT_EQ(range.scale, static_cast<double>(static_cast<float>(6.0 / 32767)));
  EXPECT_EQ(range.zeroPoint, 0);
}

TEST(ChooseRange, EightBitsHaveAZeroPoint) {
  CodeRange range = chooseRange(statisticsOf({-1.0f, 3.0f}), kMinMax, 8);
  EXPECT_EQ(range.scale, static_cast<double>(static_cast<float>(4.0 / 255)));
  EXPECT_EQ(range.zeroPoint, -64); // -128 + 63.75, half up
}

TEST(ChooseRange, TheRangeIncludesZero) {
  CodeRange positive = chooseRange(statisticsOf({1.0f, 2.0f}), kMinMax, 8);
  EXPECT_EQ(positive.zeroPoint, -128);
  EXPECT_EQ(positive.scale, static_cast<double>(static_cast<float>(2.0 / 255)));
  CodeRange negative = chooseRange(statisticsOf({-2.0f, -1.0f}), kMinMax, 8);
  EXPECT_EQ(negative.zeroPoint, 127);
}

TEST(ChooseRange, AllZeroHasScaleOne) {
  for (int bits : {8, 16})
    for (ActivationEstimator estimator :
         {ActivationEstimator::MinMax, ActivationEstimator::MSE, ActivationEstimator::MovingAverage,
          ActivationEstimator::Percentile, ActivationEstimator::Entropy})
      EXPECT_EQ(chooseRange(statisticsOf({0.0f}), ActivationRange{estimator}, bits).scale, 1.0);
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
  CodeRange extremes = chooseRange(statistics, kMinMax, 8);
  CodeRange least = chooseRange(statistics, kLeastError, 8);
  EXPECT_LT(least.scale, extremes.scale);
  EXPECT_LT(lossOf(values, least, 8), lossOf(values, extremes, 8));
}

TEST(ChooseRange, LeastErrorKeepsAUniformRange) {
  std::vector<float> values;
  for (int i = 0; i < 4096; ++i)
    values.push_back(i / 2048.0f - 1.0f);
  ValueStatistics statistics = statisticsOf(values);
  EXPECT_EQ(chooseRange(statistics, kLeastError, 16).scale,
            chooseRange(statistics, kMinMax, 16).scale);
}

/// Sums of uniform numbers: a bell with tails, off centre.
std::vector<float> bell(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float &value : values) {
    float sum = 0;
    for (int i = 0; i < 6; ++i)
      sum += (random() >> 8) * 0x1p-23f - 1;
    value = sum * std::fabs(sum) + 0.5f;
  }
  return values;
}

/// The real numbers of the lowest and highest code.
std::pair<double, double> endsOf(CodeRange range) {
  return {range.scale * (-128 - range.zeroPoint), range.scale * (127 - range.zeroPoint)};
}

TEST(ChooseRange, PercentileLeavesTheTailsOut) {
  std::vector<float> values = bell(100000, 7), sorted = values;
  std::sort(sorted.begin(), sorted.end());
  ValueStatistics statistics = statisticsOf(values);
  double bin = statistics.histogram.edge(1) - statistics.histogram.edge(0);
  for (double percent : {99.99, 99.9, 99.0, 90.0, 60.0}) {
    auto [low, high] =
        endsOf(chooseRange(statistics, {ActivationEstimator::Percentile, percent}, 8));
    auto cut = static_cast<size_t>(values.size() * (100 - percent) / 200);
    double slack = bin + (high - low) / 255; // whole bins; the zero point is rounded
    EXPECT_NEAR(low, sorted[cut], slack) << percent;
    EXPECT_NEAR(high, sorted[values.size() - 1 - cut], slack) << percent;
  }
  EXPECT_EQ(chooseRange(statistics, {ActivationEstimator::Percentile, 100}, 8).scale,
            chooseRange(statistics, kMinMax, 8).scale);
  std::vector<float> magnitudes;
  for (float value : values)
    magnitudes.push_back(std::fabs(value));
  std::sort(magnitudes.begin(), magnitudes.end());
  CodeRange symmetric =
      chooseRange(statistics, {ActivationEstimator::Percentile, 99}, 8, /*symmetric=*/true);
  EXPECT_EQ(symmetric.zeroPoint, 0);
  // Symmetric codes have twice the room.
  EXPECT_NEAR(symmetric.scale * 254 / 4, magnitudes[values.size() * 99 / 100], bin);
}

TEST(ChooseRange, MovingAverageForgetsOneOutlier) {
  ValueStatistics statistics = statisticsOf({-1, 2, 50, 2, -1});
  for (double high : {2.0, 50.0, 2.0})
    statistics.moving.add(-1, high, high == 2.0 && statistics.moving.max == 0);
  // 2, 2 + 0.48, 2.48 - 0.0048
  EXPECT_DOUBLE_EQ(statistics.moving.max, 2.4752);
  EXPECT_DOUBLE_EQ(statistics.moving.min, -1);
  auto range = chooseRange(statistics, {ActivationEstimator::MovingAverage}, 8);
  EXPECT_EQ(range.scale, static_cast<double>(static_cast<float>(3.4752 / 255)));
}

/// KL(P || Q) from the definition, one element at a time: sorts values into bins and levels.
double plainDivergence(const std::vector<float> &values, double width, double low, double high,
                       double codes) {
  auto binOf = [&](double value) { return std::floor(value / width); };
  auto center = [&](double bin) { return (bin + 0.5) * width; };
  std::map<double, double> p, inside, levelMass, levelBins;
  for (float value : values)
    if (double bin = binOf(value); center(bin) >= low && center(bin) <= high)
      inside[bin] += 1;
  auto levelOf = [&](double bin) {
    return std::floor((center(bin) - low) / ((high - low) / codes) + 0.5);
  };
  for (auto [bin, count] : inside) {
    levelMass[levelOf(bin)] += count;
    levelBins[levelOf(bin)] += 1;
  }
  p = inside;
  double kept = 0, sum = 0;
  for (auto [bin, count] : inside)
    kept += count;
  for (float value : values)
    if (double bin = binOf(value); !inside.count(bin))
      p[bin < inside.begin()->first ? inside.begin()->first : inside.rbegin()->first] += 1;
  for (auto [bin, count] : p) {
    double q = levelMass[levelOf(bin)] / levelBins[levelOf(bin)] / kept;
    sum += count / values.size() * std::log2(count / values.size() / q);
  }
  return sum;
}

TEST(ChooseRange, EntropyIsTheLeastDivergence) {
  for (uint32_t seed : {1u, 2u, 3u}) {
    std::vector<float> values = bell(20000, seed);
    values[3] = 60;
    ValueStatistics statistics = statisticsOf(values);
    double width = statistics.histogram.edge(1) - statistics.histogram.edge(0);
    double best = std::numeric_limits<double>::infinity(), scale = 0;
    for (int percent = 100; percent >= 20; --percent) {
      double low = static_cast<double>(statistics.min) * percent / 100,
             high = static_cast<double>(statistics.max) * percent / 100;
      if (double found = plainDivergence(values, width, low, high, 255); found < best) {
        best = found;
        scale = static_cast<float>((high - low) / 255);
      }
    }
    CodeRange range = chooseRange(statistics, {ActivationEstimator::Entropy}, 8);
    EXPECT_EQ(range.scale, scale) << seed;
    EXPECT_LT(range.scale, chooseRange(statistics, kMinMax, 8).scale) << seed;
  }
}

TEST(ChooseRange, WithoutAHistogramTheExtremesAreKept) {
  ValueStatistics statistics{.name = "x", .min = -1, .max = 3};
  for (ActivationEstimator estimator :
       {ActivationEstimator::MSE, ActivationEstimator::MovingAverage,
        ActivationEstimator::Percentile, ActivationEstimator::Entropy})
    EXPECT_EQ(chooseRange(statistics, {estimator}, 8).scale,
              chooseRange(statistics, kMinMax, 8).scale);
}

} // namespace
} // namespace sdopt
