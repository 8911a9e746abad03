// Counts depend on the values only: not on order, cuts or merges.

#include "compiler/calibration/Histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

namespace sdopt {
namespace {

/// Values over many magnitudes, with the awkward ones.
std::vector<float> awkwardValues(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values = {0.0f,    -0.0f,   1.0f,    -1.0f,    1e-40f,
                               -1e-40f, -1e-30f, 1024.0f, -1024.0f, 1023.9999f};
  for (int i = 0; i < 500; ++i) {
    float magnitude =
        std::ldexp(1.0f + (random() >> 9) * 0x1p-23f, static_cast<int>(random() % 40) - 30);
    values.push_back(random() % 2 ? magnitude : -magnitude);
  }
  return values;
}

Histogram histogramOf(const std::vector<float> &values) {
  Histogram histogram;
  histogram.add(values);
  return histogram;
}

TEST(Histogram, CountsByFloor) {
  Histogram histogram = histogramOf({-1.0f, -0.5f, -1e-30f, 0.0f, 0.25f, 0.999f});
  EXPECT_EQ(histogram.exponent(), -10);
  EXPECT_EQ(histogram.counts()[0], 1u);
  EXPECT_EQ(histogram.counts()[512], 1u);
  EXPECT_EQ(histogram.counts()[1023], 1u); // just below zero
  EXPECT_EQ(histogram.counts()[1024], 1u);
  EXPECT_EQ(histogram.counts()[1280], 1u);
  EXPECT_EQ(histogram.counts()[1024 + 1022], 1u);
}

TEST(Histogram, OrderDoesNotMatter) {
  std::vector<float> values = awkwardValues(1);
  Histogram expected = histogramOf(values);
  std::mt19937 random(2);
  for (int i = 0; i < 20; ++i) {
    std::shuffle(values.begin(), values.end(), random);
    Histogram oneByOne;
    for (float value : values)
      oneByOne.add({&value, 1});
    EXPECT_EQ(oneByOne, expected);
  }
}

TEST(Histogram, MergeIsExact) {
  std::vector<float> values = awkwardValues(3);
  Histogram expected = histogramOf(values);
  for (size_t cut : {size_t(0), size_t(1), size_t(7), size_t(200), values.size()}) {
    std::vector<float> low(values.begin(), values.begin() + cut),
        high(values.begin() + cut, values.end());
    Histogram a = histogramOf(low), b = histogramOf(high);
    Histogram ab = a, ba = b;
    ab.merge(b);
    ba.merge(a);
    EXPECT_EQ(ab, expected) << cut;
    EXPECT_EQ(ba, expected) << cut;
  }
}

TEST(Histogram, HoldsTheLargestFloats) {
  float largest = std::numeric_limits<float>::max();
  Histogram histogram = histogramOf({largest, -largest, 1.0f});
  EXPECT_EQ(std::accumulate(histogram.counts().begin(), histogram.counts().end(), 0u), 3u);
  EXPECT_EQ(histogram.counts()[2047], 1u);
  EXPECT_EQ(histogram.counts()[0], 1u);
}

TEST(Histogram, UsesTheFinestBinsThatFit) {
  // 1 needs bins of 2^-9, everything below 1 fits those of 2^-10.
  EXPECT_EQ(histogramOf({1.0f}).exponent(), -9);
  EXPECT_EQ(histogramOf({0.99f}).exponent(), -10);
  EXPECT_EQ(histogramOf({-1.0f}).exponent(), -10);
  EXPECT_EQ(histogramOf({-1.01f}).exponent(), -9);
}

TEST(Histogram, RestoreRefusesWhatDoesNotFit) {
  Histogram histogram;
  std::vector<uint64_t> counts(5, 1);
  EXPECT_TRUE(histogram.restore(0, 1019, counts));
  EXPECT_FALSE(histogram.restore(0, 1020, counts));
  EXPECT_FALSE(histogram.restore(0, -1025, counts));
  EXPECT_FALSE(histogram.restore(-500, 0, counts));
}

TEST(Histogram, CoarserOnesHoldWhatTheyWouldHaveCounted) {
  std::mt19937 random(11);
  for (float scale : {1.0f, 1e-6f, 700.0f}) {
    Histogram coarse(512), direct(512);
    for (int call = 0; call < 5; ++call) {
      std::vector<float> values(1000);
      for (float &value : values)
        value = scale * static_cast<float>(call + 1) * ((random() >> 8) * 0x1p-23f - 1);
      Histogram fine;
      fine.add(values);
      coarse.merge(fine);
      direct.add(values);
    }
    EXPECT_EQ(coarse, direct) << scale;
  }
}

} // namespace
} // namespace sdopt
