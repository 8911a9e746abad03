#include "compiler/winograd/Rational.h"

#include <gtest/gtest.h>
#include <random>

namespace sdopt {
namespace {

constexpr int64_t kMost = INT64_MAX;

TEST(Rational, IsInLowestTerms) {
  EXPECT_EQ(Rational::fraction(6, -4), Rational::fraction(-3, 2));
  EXPECT_EQ(Rational::fraction(-3, 2).numerator(), -3);
  EXPECT_EQ(Rational::fraction(-3, 2).denominator(), 2);
  EXPECT_EQ(Rational::fraction(0, -7), Rational(0));
  EXPECT_TRUE(Rational::fraction(8, 4).isInteger());
  EXPECT_EQ(toString(Rational::fraction(8, 4)), "2");
  EXPECT_EQ(toString(Rational::fraction(1, -2)), "-1/2");
}

TEST(Rational, FieldAxiomsHold) {
  std::mt19937 random(1);
  const auto draw = [&] {
    return Rational::fraction(static_cast<int>(random() % 2001) - 1000,
                              1 + static_cast<int>(random() % 1000));
  };
  for (int round = 0; round < 2000; ++round) {
    const Rational a = draw(), b = draw(), c = draw();
    EXPECT_EQ(a + b, b + a);
    EXPECT_EQ((a + b) + c, a + (b + c));
    EXPECT_EQ(a * (b + c), a * b + a * c);
    EXPECT_EQ(a - b + b, a);
    if (b != Rational(0)) {
      EXPECT_EQ(a / b * b, a);
    }
  }
}

TEST(Rational, WhatNeedsMoreBitsIsNoNumber) {
  EXPECT_TRUE((Rational(kMost) + Rational(-kMost)).isValid());
  const Rational third = Rational::fraction(kMost / 2, 3);
  EXPECT_EQ(third * 2 / 2, third);
  for (Rational wrong : {Rational(kMost) + 1, Rational(kMost) * 2, Rational(INT64_MIN),
                         Rational::fraction(1, kMost) / 2, Rational(1) / 0}) {
    EXPECT_FALSE(wrong.isValid());
    EXPECT_FALSE(wrong.isInteger());
    EXPECT_EQ(toString(wrong), "not a number");
    for (Rational then : {wrong + 1, wrong * 0, 0 - wrong, wrong / 3, 3 / wrong})
      EXPECT_FALSE(then.isValid());
    EXPECT_NE(wrong, Rational(0));
  }
}

} // namespace
} // namespace sdopt
