#include "compiler/winograd/WinogradMatrices.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>

namespace sdopt {
namespace {

using testing::HasSubstr;

const std::vector<Rational> kThree = {0, 1, -1}, kFive = {0, 1, -1, 2, -2};
std::vector<Rational> halves() {
  return {0, 1, -1, Rational::fraction(1, 2), Rational::fraction(-1, 2)};
}

template <typename T> Matrix<T> matrix(int64_t rows, std::vector<T> entries) {
  Matrix<T> result(rows, static_cast<int64_t>(entries.size()) / rows);
  result.entries = std::move(entries);
  return result;
}

Rational part(int64_t numerator, int64_t denominator) {
  return Rational::fraction(numerator, denominator);
}

TEST(CookToom, TwoOutputsOfThreeTaps) {
  const auto t = cookToom(2, 3, kThree);
  ASSERT_TRUE(t.ok()) << t.status();
  const auto integers = integerForm(*t);
  ASSERT_TRUE(integers.ok()) << integers.status();
  EXPECT_EQ(integers->output, matrix<int64_t>(2, {1, 1, 1, 0, 0, 1, -1, 1}));
  EXPECT_EQ(integers->filter, matrix<int64_t>(4, {-2, 0, 0, 1, 1, 1, 1, -1, 1, 0, 0, 2}));
  EXPECT_EQ(integers->input,
            matrix<int64_t>(4, {-1, 0, 1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, -1, 0, 1}));
  EXPECT_EQ(integers->scale, 2);
  EXPECT_TRUE(convolves(*t));
  EXPECT_TRUE(convolves(*integers));
}

// The matrices that Lavin and Gray print in section 4.3, where the last output column has no sign
// of its own.
TEST(CookToom, FourOutputsOfThreeTaps) {
  const auto t = cookToom(4, 3, kFive);
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ(t->output, matrix<Rational>(4, {1, 1, 1,  1, 1,  0, //
                                            0, 1, -1, 2, -2, 0, //
                                            0, 1, 1,  4, 4,  0, //
                                            0, 1, -1, 8, -8, 1}));
  EXPECT_EQ(t->filter, matrix<Rational>(6, {part(1, 4), 0, 0,                      //
                                            part(-1, 6), part(-1, 6), part(-1, 6), //
                                            part(-1, 6), part(1, 6), part(-1, 6),  //
                                            part(1, 24), part(1, 12), part(1, 6),  //
                                            part(1, 24), part(-1, 12), part(1, 6), //
                                            0, 0, 1}));
  EXPECT_EQ(t->input, matrix<Rational>(6, {4, 0,  -5, 0,  1, 0, //
                                           0, -4, -4, 1,  1, 0, //
                                           0, 4,  -4, -1, 1, 0, //
                                           0, -2, -1, 2,  1, 0, //
                                           0, 2,  -1, -2, 1, 0, //
                                           0, 4,  0,  -5, 0, 1}));
  const auto integers = integerForm(*t);
  ASSERT_TRUE(integers.ok()) << integers.status();
  EXPECT_EQ(integers->scale, 24);
  EXPECT_TRUE(convolves(*integers));
}

TEST(CookToom, AllSizesConvolveExactly) {
  const std::vector<Rational> points = {0,          1,  -1, part(1, 2), part(-1, 2), 2, -2,
                                        part(3, 4), -3, 3,  4};
  for (int64_t outputs = 1; outputs <= 7; ++outputs)
    for (int64_t taps = 1; outputs + taps - 2 <= static_cast<int64_t>(points.size()) && taps <= 5;
         ++taps) {
      const auto t =
          cookToom(outputs, taps, std::span(points).first(static_cast<size_t>(outputs + taps - 2)));
      ASSERT_TRUE(t.ok()) << t.status();
      EXPECT_EQ(t->products(), outputs + taps - 1);
      EXPECT_TRUE(convolves(*t)) << outputs << " " << taps;
      const auto integers = integerForm(*t);
      ASSERT_TRUE(integers.ok()) << integers.status();
      EXPECT_TRUE(convolves(*integers)) << outputs << " " << taps;
    }
}

TEST(CookToom, EveryEntryCounts) {
  for (const auto &t : {cookToom(2, 3, kThree), cookToom(4, 3, halves())}) {
    ASSERT_TRUE(t.ok());
    for (Matrix<Rational> RationalTransforms::*which :
         {&RationalTransforms::output, &RationalTransforms::filter, &RationalTransforms::input})
      for (size_t i = 0; i < (*t.*which).entries.size(); ++i) {
        RationalTransforms changed = *t;
        (changed.*which).entries[i] = (changed.*which).entries[i] + part(1, 7);
        EXPECT_FALSE(convolves(changed)) << i;
      }
    EXPECT_FALSE(convolves(*t, 2));
  }
}

/// Left * middle * left', of the sizes of one tile.
Matrix<Rational> around(const Matrix<Rational> &left, const Matrix<Rational> &middle) {
  Matrix<Rational> result(left.rows, left.rows);
  for (int64_t y = 0; y < left.rows; ++y)
    for (int64_t x = 0; x < left.rows; ++x)
      for (int64_t i = 0; i < left.columns; ++i)
        for (int64_t j = 0; j < left.columns; ++j)
          result.at(y, x) = result.at(y, x) + left.at(y, i) * middle.at(i, j) * left.at(x, j);
  return result;
}

// The proof of convolves() once more, by tiles of two dimensions against plain loops.
TEST(CookToom, TilesEqualDirectConvolution) {
  std::mt19937 random(1);
  const auto draw = [&](Matrix<Rational> &m) {
    for (Rational &value : m.entries)
      value = part(static_cast<int>(random() % 255) - 127, 1 + static_cast<int>(random() % 3));
  };
  const std::vector<absl::StatusOr<RationalTransforms>> all = {
      cookToom(2, 3, kThree), cookToom(4, 3, kFive), cookToom(4, 3, halves()),
      cookToom(3, 2, kThree), cookToom(2, 5, kFive)};
  for (const auto &t : all) {
    ASSERT_TRUE(t.ok()) << t.status();
    for (int round = 0; round < 5; ++round) {
      Matrix<Rational> d(t->products(), t->products()), g(t->taps(), t->taps());
      draw(d);
      draw(g);
      const Matrix<Rational> u = around(t->filter, g), v = around(t->input, d);
      Matrix<Rational> m = u;
      for (size_t i = 0; i < m.entries.size(); ++i)
        m.entries[i] = u.entries[i] * v.entries[i];
      const Matrix<Rational> y = around(t->output, m);
      for (int64_t oh = 0; oh < t->outputs(); ++oh)
        for (int64_t ow = 0; ow < t->outputs(); ++ow) {
          Rational sum = 0;
          for (int64_t kh = 0; kh < t->taps(); ++kh)
            for (int64_t kw = 0; kw < t->taps(); ++kw)
              sum = sum + d.at(oh + kh, ow + kw) * g.at(kh, kw);
          EXPECT_EQ(toString(y.at(oh, ow)), toString(sum));
        }
    }
  }
}

TEST(CookToom, Errors) {
  const auto message = [](int64_t outputs, int64_t taps, std::vector<Rational> points) {
    return std::string(cookToom(outputs, taps, points).status().message());
  };
  EXPECT_EQ(message(2, 3, kFive), "F(2, 3) has 5 points; needs 3 beside infinity");
  EXPECT_EQ(message(2, 3, {0, part(1, 2), part(2, 4)}), "F(2, 3) has the point 1/2 twice");
  EXPECT_EQ(message(0, 3, {}), "F(0, 3) needs 1..64 outputs and taps");
  EXPECT_EQ(message(2, INT64_MAX, {}), "F(2, 9223372036854775807) needs 1..64 outputs and taps");
  EXPECT_EQ(message(4, 3, {0, 1, -1, 1 << 20, 1 << 30}), "an entry of F(4, 3) leaves 63 bits");
  const auto wide = cookToom(2, 3, std::vector<Rational>{0, part(1, 1 << 20), part(1, 99991)});
  ASSERT_TRUE(wide.ok()) << wide.status();
  EXPECT_THAT(std::string(integerForm(*wide).status().message()),
              HasSubstr("in integers leaves 63 bits"));
}

} // namespace
} // namespace sdopt
