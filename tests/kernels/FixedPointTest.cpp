#include "RandomCodes.h"

#include <cmath>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using testing::Random;

// Half up by division, independent of arithmetic shifts.
Int128 roundedQuotient(Int128 numerator, Int128 denominator) {
  Int128 doubled = 2 * numerator + denominator, divisor = 2 * denominator;
  Int128 quotient = doubled / divisor;
  return doubled % divisor < 0 ? quotient - 1 : quotient;
}

TEST(FixedPoint, scaledIsTheExactRoundedProduct) {
  Random random(1);
  for (int i = 0; i < 200000; ++i) {
    int bits = static_cast<int>(random.between(1, 55));
    int64_t acc = random.between(-(int64_t(1) << bits) + 1, (int64_t(1) << bits) - 1);
    Scaling scaling{static_cast<int32_t>(random.between(1 << 30, INT32_MAX)),
                    static_cast<int32_t>(random.between(25, 62))};
    Int128 expected = roundedQuotient(static_cast<Int128>(acc) * scaling.multiplier,
                                      static_cast<Int128>(1) << scaling.shift);
    ASSERT_TRUE(expected == scaled(acc, scaling)) << acc << " " << scaling.multiplier;
    // The split product that a 64-bit machine computes.
    int64_t high = acc >> 24, low = acc & ((1 << 24) - 1);
    int64_t split = (high * scaling.multiplier + (int64_t(1) << (scaling.shift - 25)) +
                     ((low * scaling.multiplier) >> 24)) >>
                    (scaling.shift - 24);
    ASSERT_EQ(split, scaled(acc, scaling));
  }
}

TEST(FixedPoint, halvesRoundUp) {
  Scaling half{1 << 30, 31};
  EXPECT_EQ(scaled(1, half), 1);
  EXPECT_EQ(scaled(-1, half), 0);
  EXPECT_EQ(scaled(-3, half), -1);
  EXPECT_EQ(scaled(3, half), 2);
}

TEST(FixedPoint, scalingIsNearestAndInRange) {
  Random random(2);
  for (int i = 0; i < 20000; ++i) {
    double factor = std::ldexp(random.real(0.5, 1), static_cast<int>(random.between(-31, 6)));
    Scaling scaling = scalingFor(factor);
    ASSERT_GE(scaling.multiplier, 1 << 30);
    ASSERT_GE(scaling.shift, 25);
    ASSERT_LE(scaling.shift, 62);
    double real = std::ldexp(scaling.multiplier, -scaling.shift);
    ASSERT_LE(std::abs(real - factor), std::ldexp(0.5, -scaling.shift)) << factor;
  }
}

TEST(FixedPoint, scalingAtTheLimits) {
  EXPECT_EQ(scalingFor(0), (Scaling{0, 25}));
  EXPECT_EQ(scalingFor(0x1p-33), (Scaling{0, 25}));
  EXPECT_EQ(scalingFor(-1), (Scaling{0, 25}));
  EXPECT_EQ(scalingFor(NAN), (Scaling{0, 25}));
  EXPECT_EQ(scalingFor(0x1p-32), (Scaling{1 << 30, 62}));
  EXPECT_EQ(scalingFor(1), (Scaling{1 << 30, 30}));
  EXPECT_EQ(scalingFor(std::nextafter(1.0, 0)), (Scaling{1 << 30, 30}));
  EXPECT_EQ(scalingFor(std::nextafter(64.0, 0)), (Scaling{INT32_MAX, 25}));
  EXPECT_EQ(scalingFor(64), (Scaling{INT32_MAX, 25}));
  EXPECT_EQ(scalingFor(INFINITY), (Scaling{INT32_MAX, 25}));
}

TEST(FixedPoint, pairScalingKeepsBothFactors) {
  Random random(3);
  for (int i = 0; i < 20000; ++i) {
    double a = std::ldexp(random.real(0.5, 1), static_cast<int>(random.between(-31, 5)));
    double b = a * random.real(0, 1);
    bool swap = random.between(0, 1);
    PairScaling pair = swap ? pairScalingFor(b, a) : pairScalingFor(a, b);
    if (swap)
      std::swap(pair.multiplierA, pair.multiplierB);
    ASSERT_GE(pair.multiplierA, 1 << 29);
    ASSERT_LT(pair.multiplierA, 1 << 30);
    ASSERT_GE(pair.shift, 14);
    ASSERT_LE(pair.shift, 61);
    // At the upper limit, the last half step saturates instead of rounding up.
    double step = std::ldexp(a > 31.99 ? 1.0 : 0.5, -pair.shift);
    ASSERT_LE(std::abs(std::ldexp(pair.multiplierA, -pair.shift) - a), step);
    ASSERT_LE(std::abs(std::ldexp(pair.multiplierB, -pair.shift) - b), step);
  }
  EXPECT_EQ(pairScalingFor(0, 0), (PairScaling{0, 0, 14}));
  EXPECT_EQ(pairScalingFor(1e9, 1), (PairScaling{(1 << 30) - 1, 1 << 14, 14}));
  // 8-bit codes brought to 16 bits.
  EXPECT_EQ(pairScalingFor(256, 1), (PairScaling{1 << 29, 1 << 21, 21}));
  EXPECT_EQ(pairScalingFor(1, 0), (PairScaling{1 << 29, 0, 29}));
}

TEST(FixedPoint, saturateAddsTheZeroPointLast) {
  CodeFormat narrow{ElementType::I8, -100};
  EXPECT_EQ(saturate(0, narrow), -100);
  EXPECT_EQ(saturate(227, narrow), 127);
  EXPECT_EQ(saturate(228, narrow), 127);
  EXPECT_EQ(saturate(-28, narrow), -128);
  EXPECT_EQ(saturate(-29, narrow), -128);
  EXPECT_EQ(saturate(INT64_MAX, narrow), 127);
  EXPECT_EQ(saturate(INT64_MIN, narrow), -128);
  EXPECT_EQ(saturate(INT64_MIN, {ElementType::I16, 0}), -32768);
}

} // namespace
} // namespace sdopt
