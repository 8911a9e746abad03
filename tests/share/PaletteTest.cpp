// The best few int8 values for many numbers, against all sets of them.

#include "compiler/share/Palette.h"
#include "compiler/share/Clusters.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace sdopt {
namespace {

using testing::ElementsAre;

PaletteSums sumsOf(const std::vector<float> &numbers, const std::vector<float> &weights = {}) {
  PaletteSums sums;
  for (size_t i = 0; i < numbers.size(); ++i)
    sums.add(numbers[i], weights.empty() ? 1 : weights[i]);
  return sums;
}

double errorOf(const std::vector<float> &numbers, const std::vector<float> &weights,
               const std::vector<int8_t> &entries) {
  double error = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    double nearest = HUGE_VAL;
    for (int8_t entry : entries)
      nearest = std::min(nearest, std::fabs(static_cast<double>(numbers[i]) - entry));
    error += (weights.empty() ? 1 : weights[i]) * nearest * nearest;
  }
  return error;
}

/// Over all sets of one to three entries.
double leastError(const std::vector<float> &numbers, const std::vector<float> &weights, int count,
                  bool withZero) {
  double best = HUGE_VAL;
  std::vector<int8_t> entries(static_cast<size_t>(count));
  const auto choose = [&](auto &&self, int chosen, int from) -> void {
    if (chosen == count) {
      if (!withZero || std::ranges::find(entries, 0) != entries.end())
        best = std::min(best, errorOf(numbers, weights, entries));
      return;
    }
    for (int entry = from; entry <= kLargestEntry; ++entry) {
      entries[static_cast<size_t>(chosen)] = static_cast<int8_t>(entry);
      self(self, chosen + 1, entry + 1);
    }
  };
  choose(choose, 0, -kLargestEntry);
  return best;
}

TEST(Palette, NoSetOfEntriesIsBetter) {
  std::mt19937 random(3);
  for (int round = 0; round < 36; ++round) {
    const int count = 1 + round % 2 + (round % 12 == 11 ? 1 : 0);
    std::vector<float> numbers(1 + random() % 6), weights(numbers.size(), 1.0f);
    for (size_t i = 0; i < numbers.size(); ++i) {
      const auto uniform = static_cast<float>(random() >> 8) * 0x1p-24f;
      numbers[i] = round % 3 == 0   ? uniform * 300 - 150
                   : round % 3 == 1 ? std::floor(uniform * 9) / 2 - 2
                                    : uniform * 4 + 120;
      if (round % 4 == 3)
        weights[i] = static_cast<float>(random() % 4);
    }
    for (bool withZero : {false, true}) {
      SCOPED_TRACE(testing::Message() << "round " << round << (withZero ? " with 0" : ""));
      const Palette palette = bestPalette(sumsOf(numbers, weights), count, withZero);
      const double least = leastError(numbers, weights, count, withZero);
      EXPECT_NEAR(palette.error, least, 1e-7 * (1 + least));
      EXPECT_NEAR(errorOf(numbers, weights, palette.entries), least, 1e-7 * (1 + least));
      EXPECT_LE(palette.entries.size(), static_cast<size_t>(count));
      EXPECT_TRUE(std::ranges::is_sorted(palette.entries));
      if (withZero) {
        EXPECT_THAT(palette.entries, testing::Contains(0));
      }
    }
  }
}

/// Between the best real numbers and those rounded to int8, and nearer to the former as the entries
/// become fewer codes apart.
TEST(Palette, BetterThanRoundedCenters) {
  std::mt19937 random(4);
  std::normal_distribution<float> normal;
  for (float spread : {4.0f, 20.0f, 40.0f})
    for (int count : {2, 4, 8, 16, 32}) {
      std::vector<float> numbers(3000);
      for (float &number : numbers)
        number = std::clamp(normal(random) * spread, -127.0f, 127.0f);
      PointCollector collector;
      collector.add(numbers, {});
      const Clusters clusters = bestClusters(collector.take(), count);
      std::vector<int8_t> rounded;
      for (double center : clusters.centers)
        rounded.push_back(static_cast<int8_t>(std::lround(center)));
      const Palette palette = bestPalette(sumsOf(numbers), count, false);
      EXPECT_GE(palette.error, clusters.error * (1 - 1e-9));
      EXPECT_LE(palette.error, errorOf(numbers, {}, rounded) * (1 + 1e-9));
      EXPECT_NEAR(palette.error, errorOf(numbers, {}, palette.entries), 1e-6 * palette.error);
      EXPECT_LE(bestPalette(sumsOf(numbers), count, false).error,
                bestPalette(sumsOf(numbers), count, true).error);
    }
}

TEST(Palette, NoEntryStandsForNothing) {
  EXPECT_THAT(bestPalette(sumsOf({50, -127, 1, 50}), 8, false).entries, ElementsAre(-127, 1, 50));
  EXPECT_THAT(bestPalette(sumsOf({50, -127, 1, 50}), 8, true).entries, ElementsAre(-127, 0, 1, 50));
  EXPECT_THAT(bestPalette(sumsOf({50, 50}), 255, false).entries, ElementsAre(50));
  EXPECT_EQ(bestPalette(sumsOf({}), 4, false).entries.size(), 4u);
}

TEST(Palette, AllValues) {
  std::vector<float> numbers;
  for (int v = -127; v <= 127; ++v)
    numbers.push_back(static_cast<float>(v));
  for (bool withZero : {false, true}) {
    const Palette palette = bestPalette(sumsOf(numbers), 255, withZero);
    EXPECT_EQ(palette.error, 0);
    EXPECT_EQ(palette.entries.front(), -127);
    EXPECT_EQ(palette.entries.back(), 127);
    EXPECT_EQ(palette.entries.size(), 255u);
  }
  EXPECT_THAT(bestPalette(sumsOf({1e4f, -1e4f}), 2, false).entries, ElementsAre(-127, 127));
  EXPECT_THAT(bestPalette(sumsOf({}), 1, true).entries, ElementsAre(0));
}

TEST(PaletteCodes, NearestEntry) {
  std::mt19937 random(5);
  for (int count : {1, 2, 3, 16, 200, 255}) {
    std::vector<int8_t> values(255);
    for (int i = 0; i < 255; ++i)
      values[i] = static_cast<int8_t>(i - 127);
    std::ranges::shuffle(values, random);
    std::vector<int8_t> entries(values.begin(), values.begin() + count);
    std::ranges::sort(entries);
    const PaletteCodes codes(entries);
    for (float number = -140; number <= 140; number += 0.125f) {
      double nearest = HUGE_VAL;
      for (int8_t entry : entries)
        nearest = std::min(nearest, std::fabs(static_cast<double>(number) - entry));
      ASSERT_LT(codes(number), count);
      EXPECT_EQ(std::fabs(static_cast<double>(number) - entries[codes(number)]), nearest) << number;
    }
  }
}

TEST(PaletteCodes, WhatIsNoNumberIsZero) {
  const std::vector<int8_t> entries = {-100, 0, 0, 100};
  const PaletteCodes codes(entries);
  EXPECT_EQ(codes(std::numeric_limits<float>::quiet_NaN()), 1);
  EXPECT_EQ(codes(std::numeric_limits<float>::infinity()), 3);
  EXPECT_EQ(codes(-std::numeric_limits<float>::infinity()), 0);
  EXPECT_EQ(codes(3e38f), 3);
}

} // namespace
} // namespace sdopt
