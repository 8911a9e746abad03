#include "compiler/winograd/WinogradBounds.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

IntegerTransforms transforms(int64_t outputs, std::vector<Rational> points) {
  const auto rational = cookToom(outputs, 3, points);
  EXPECT_TRUE(rational.ok()) << rational.status();
  const auto integers = integerForm(*rational);
  EXPECT_TRUE(integers.ok()) << integers.status();
  return *integers;
}
IntegerTransforms two() { return transforms(2, {0, 1, -1}); }
IntegerTransforms four() { return transforms(4, {0, 1, -1, 2, -2}); }

TEST(WinogradBounds, Bits) {
  EXPECT_EQ(signedBits({0, 0}), 1);
  EXPECT_EQ(signedBits({-1, 0}), 1);
  EXPECT_EQ(signedBits({-128, 127}), 8);
  EXPECT_EQ(signedBits({-129, 0}), 9);
  EXPECT_EQ(signedBits({0, 255}), 9);
  EXPECT_EQ(productsOf({-3, 5}, {-7, 2}), (Interval{-35, 21}));
}

// Every bound is the value of a tile of least and most codes, and no random tile passes it.
TEST(WinogradBounds, AreReached) {
  for (const IntegerTransforms &t : {two(), four()})
    for (const Matrix<int64_t> &side : {t.input, t.filter})
      for (Interval each : {kSignedByte, kUnsignedByte, kCenteredByte}) {
        const Matrix<Interval> ranges = transformedRanges(side, each);
        for (int64_t y = 0; y < side.rows; ++y)
          for (int64_t x = 0; x < side.rows; ++x) {
            int64_t least = 0, most = 0, middle = 0;
            uint32_t state = 1;
            for (int64_t i = 0; i < side.columns; ++i)
              for (int64_t j = 0; j < side.columns; ++j) {
                const int64_t c = side.at(y, i) * side.at(x, j);
                least += c * (c > 0 ? each.least : each.most);
                most += c * (c > 0 ? each.most : each.least);
                state = state * 1664525 + 1013904223;
                middle += c * (each.least +
                               static_cast<int64_t>(state >> 8) % (each.most - each.least + 1));
              }
            EXPECT_EQ(ranges.at(y, x), (Interval{least, most}));
            EXPECT_LE(least, middle);
            EXPECT_GE(most, middle);
          }
      }
}

TEST(WinogradBounds, ElevenByTwelveDoesForTwoOutputs) {
  const WinogradBounds codes = winogradBounds(two(), kSignedByte);
  EXPECT_EQ(codes.inputBits, 10);
  EXPECT_EQ(codes.filterBits, 12);
  EXPECT_EQ(codes.productBits, 21);
  EXPECT_EQ(codes.largestProduct, 512 * 1152);
  for (Interval each : {kUnsignedByte, kCenteredByte}) {
    const WinogradBounds bounds = winogradBounds(two(), each);
    EXPECT_EQ(bounds.inputBits, 11);
    EXPECT_EQ(bounds.filterBits, 12);
    EXPECT_EQ(bounds.productBits, 22);
  }
}

// The widest layer of Stable Diffusion has 2,560 input channels.
TEST(WinogradBounds, SumsOfCodesFit32BitsAndCenteredOnesDoNot) {
  const WinogradBounds codes = winogradBounds(two(), kSignedByte);
  EXPECT_EQ(codes.channelsOfResults(32), 3640);
  EXPECT_EQ(codes.channelsOfSums(32), 3640);
  const WinogradBounds centered = winogradBounds(two(), kCenteredByte);
  EXPECT_EQ(centered.channelsOfResults(32), 1827);
  // The bound is the last that fits.
  EXPECT_LT(3640 * codes.largestResult, int64_t{1} << 31);
  EXPECT_GE(3641 * codes.largestResult, int64_t{1} << 31);
}

TEST(WinogradBounds, FourOutputsAreTooWideForExactness) {
  const WinogradBounds bounds = winogradBounds(four(), kSignedByte);
  EXPECT_EQ(bounds.inputBits, 15);
  EXPECT_EQ(bounds.filterBits, 18);
  EXPECT_LT(bounds.channelsOfResults(32), 32);
}

} // namespace
} // namespace sdopt
