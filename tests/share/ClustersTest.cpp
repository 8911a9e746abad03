// The best few numbers for many, against all ways to split a few.

#include "compiler/share/Clusters.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>

namespace sdopt {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::Pointwise;

WeightedPoints pointsOf(const std::vector<float> &numbers, const std::vector<float> &weights = {}) {
  PointCollector collector;
  collector.add(numbers, weights);
  return collector.take();
}

/// The least error over all ways to put numbers into clusters, the first of which is at 0 if
/// `withZero`.
double leastError(const std::vector<float> &numbers, const std::vector<float> &weights, int count,
                  bool withZero) {
  std::vector<int> cluster(numbers.size(), 0);
  double best = HUGE_VAL;
  for (bool more = true; more;) {
    double error = 0;
    for (int c = 0; c < count; ++c) {
      double weight = 0, sum = 0;
      for (size_t i = 0; i < numbers.size(); ++i)
        if (cluster[i] == c) {
          weight += weights[i];
          sum += static_cast<double>(weights[i]) * numbers[i];
        }
      const double center = (withZero && c == 0) || weight == 0 ? 0 : sum / weight;
      for (size_t i = 0; i < numbers.size(); ++i)
        if (cluster[i] == c)
          error += weights[i] * (numbers[i] - center) * (numbers[i] - center);
    }
    best = std::min(best, error);
    more = false;
    for (int &digit : cluster) {
      digit = (digit + 1) % count;
      if (digit != 0) {
        more = true;
        break;
      }
    }
  }
  return best;
}

double errorOf(const std::vector<float> &numbers, const std::vector<float> &weights,
               const std::vector<double> &centers) {
  double error = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    double nearest = HUGE_VAL;
    for (double center : centers)
      nearest = std::min(nearest, std::fabs(numbers[i] - center));
    error += (weights.empty() ? 1 : weights[i]) * nearest * nearest;
  }
  return error;
}

/// Numbers of one of several kinds: spread, many equal, halves, far from 0.
std::vector<float> someNumbers(std::mt19937 &random, int kind, size_t count) {
  std::vector<float> numbers(count);
  for (float &number : numbers) {
    const auto uniform = static_cast<float>(random() >> 8) * 0x1p-24f;
    number = kind == 0   ? uniform * 2 - 1
             : kind == 1 ? static_cast<float>(random() % 3) - 1
             : kind == 2 ? static_cast<float>(random() % 2048) / 1024 - 1
                         : uniform + 100;
  }
  return numbers;
}

TEST(Clusters, NoSplitIsBetter) {
  std::mt19937 random(1);
  for (int round = 0; round < 240; ++round) {
    const size_t count = 1 + random() % 7;
    const int clusters = 1 + static_cast<int>(random() % 4);
    const std::vector<float> numbers = someNumbers(random, round % 4, count);
    std::vector<float> weights(count, 1.0f);
    if (round % 3 == 1)
      for (float &weight : weights)
        weight = static_cast<float>(random() % 5);
    weights[0] = 2;
    for (bool withZero : {false, true}) {
      const double least = leastError(numbers, weights, clusters, withZero);
      const WeightedPoints points = pointsOf(numbers, weights);
      const Clusters found =
          withZero ? bestClustersWithZero(points, clusters) : bestClusters(points, clusters);
      SCOPED_TRACE(testing::Message() << "round " << round << (withZero ? " with 0" : ""));
      EXPECT_NEAR(found.error, least, 1e-9 * (1 + least) + (round % 4 == 3 ? 1e-7 : 0));
      EXPECT_LE(found.centers.size(), static_cast<size_t>(clusters));
      EXPECT_TRUE(std::ranges::is_sorted(found.centers));
      EXPECT_NEAR(errorOf(numbers, weights, found.centers), found.error, 1e-7);
      if (withZero) {
        EXPECT_THAT(found.centers, testing::Contains(0.0));
      }
    }
  }
}

/// With one cluster more each time, by dynamic programming over all pairs.
double plainError(const WeightedPoints &points, int count) {
  const int64_t n = points.size();
  std::vector<double> least(static_cast<size_t>(n + 1));
  for (int64_t i = 0; i <= n; ++i)
    least[i] = points.error(0, i);
  for (int level = 1; level < count; ++level)
    for (int64_t end = n; end >= 0; --end)
      for (int64_t i = 0; i < end; ++i)
        least[end] = std::min(least[end], least[i] + points.error(i, end));
  return least[n];
}

TEST(Clusters, MonotoneSearchMissesNothing) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(700), weights(700);
  for (int heavyTails : {0, 1}) {
    for (size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = heavyTails ? std::pow(normal(random), 5.0f) : normal(random);
      weights[i] = std::fabs(normal(random));
    }
    const WeightedPoints points = pointsOf(numbers, weights);
    for (int count : {2, 3, 4, 7, 16, 33, 64, 255, 256}) {
      const Clusters found = bestClusters(points, count);
      const double least = plainError(points, count);
      EXPECT_NEAR(found.error, least, 1e-9 * least + 1e-12) << count;
      EXPECT_EQ(found.centers.size(), static_cast<size_t>(count));
      EXPECT_NEAR(errorOf(numbers, weights, found.centers), found.error, 1e-6 * least + 1e-9);
    }
  }
}

TEST(Clusters, FewerNumbersThanCenters) {
  EXPECT_THAT(bestClusters(pointsOf({3, 1, 3, 1, 3}), 4).centers, ElementsAre(1, 3));
  EXPECT_EQ(bestClusters(pointsOf({3, 1, 3, 1, 3}), 4).error, 0);
  EXPECT_THAT(bestClustersWithZero(pointsOf({3, 1, -2, 3}), 8).centers, ElementsAre(-2, 0, 1, 3));
  EXPECT_TRUE(bestClusters(pointsOf({}), 4).centers.empty());
  EXPECT_THAT(bestClustersWithZero(pointsOf({}), 4).centers, ElementsAre(0));
  EXPECT_THAT(bestClusters(pointsOf({0, -0.0f, 0}), 2).centers, ElementsAre(0));
}

TEST(Clusters, WhatWeighsNothingDoesNotCount) {
  EXPECT_THAT(bestClusters(pointsOf({1, 2, 100, 3.3f}, {1, 1, 0, 0}), 2).centers,
              ElementsAre(1, 2));
  EXPECT_THAT(bestClusters(pointsOf({1, 4}, {3, 1}), 1).centers, ElementsAre(1.75));
}

TEST(Clusters, HalvesAndFloatsAreOneLine) {
  // 65520 rounds to infinity as a half, 2^-24 is the least half, 2^-25 none; 0.1 is no half.
  const std::vector<float> numbers = {65504, 65520, -65504,   0x1p-24f,      0x1p-25f, 0.1f,
                                      -0.1f, 1,     0x1p-14f, 1.0009765625f, -0x3p-24f};
  std::vector<double> sorted(numbers.begin(), numbers.end());
  std::ranges::sort(sorted);
  const WeightedPoints points = pointsOf(numbers);
  ASSERT_EQ(points.size(), static_cast<int64_t>(sorted.size()));
  for (int64_t i = 0; i < points.size(); ++i)
    EXPECT_NEAR(points.mean(i, i + 1), sorted[i], 1e-9) << i;
}

/// S. Han, H. Mao, W. J. Dally, "Deep Compression", ICLR 2016, figure 3.
TEST(Clusters, FourSharedWeights) {
  const std::vector<float> weights = {2.09f,  -0.98f, 1.48f, 0.09f,  0.05f, -0.14f, -1.08f, 2.12f,
                                      -0.91f, 1.92f,  0,     -1.03f, 1.87f, 0,      1.53f,  1.49f};
  const Clusters shared = bestClusters(pointsOf(weights), 4);
  EXPECT_THAT(shared.centers, Pointwise(DoubleNear(1e-6), {-1.0, 0.0, 1.5, 2.0}));
  const size_t before = weights.size() * 32, indexBits = 2;
  const size_t after = weights.size() * indexBits + shared.centers.size() * 32;
  EXPECT_EQ(before, 512u);
  EXPECT_EQ(after, 160u);
}

} // namespace
} // namespace sdopt
