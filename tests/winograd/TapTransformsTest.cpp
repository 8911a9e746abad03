#include "compiler/winograd/TapTransforms.h"
#include "compiler/kernels/TapMatrices.h"

#include <algorithm>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

TapTransforms transforms(int64_t outputs, std::vector<Rational> points) {
  const auto rational = cookToom(outputs, 3, points);
  EXPECT_TRUE(rational.ok()) << rational.status();
  const auto taps = tapTransforms(*rational);
  EXPECT_TRUE(taps.ok()) << taps.status();
  return *taps;
}
TapTransforms two() { return transforms(2, {0, 1, -1}); }
TapTransforms four() { return transforms(4, {0, 1, -1, 2, -2}); }
TapTransforms fourByHalves() {
  return transforms(4, {0, 1, -1, Rational::fraction(1, 2), Rational::fraction(-1, 2)});
}

TEST(TapTransforms, RowsDifferByPowersOfTwo) {
  for (TapTransforms right : {two(), four(), fourByHalves()}) {
    EXPECT_TRUE(convolves(right));
    ++right.exponents[1];
    EXPECT_FALSE(convolves(right));
  }
}

template <size_t Rows, size_t Columns>
void expectEntries(const Matrix<int64_t> &matrix, const int64_t (&expected)[Rows][Columns]) {
  ASSERT_EQ(matrix.rows, Rows);
  ASSERT_EQ(matrix.columns, Columns);
  for (size_t row = 0; row < Rows; ++row)
    EXPECT_TRUE(std::ranges::equal(matrix.row(static_cast<int64_t>(row)), expected[row])) << row;
}

TEST(TapTransforms, AreThoseOfTheKernels) {
  const TapTransforms t = four();
  expectEntries(t.input, kTapInput);
  expectEntries(t.filter, kTapFilter);
  expectEntries(t.output, kTapOutput);
  EXPECT_TRUE(std::ranges::equal(t.exponents, kTapExponents));
  EXPECT_EQ(t.scale * t.scale, kTapScale);
}

} // namespace
} // namespace sdopt
