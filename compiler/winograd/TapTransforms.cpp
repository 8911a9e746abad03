#include "compiler/winograd/TapTransforms.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace sdopt {
namespace {

Rational commonDenominator(std::span<const Rational> entries) {
  Rational common = 1;
  for (Rational value : entries)
    common =
        common * value.denominator() / Rational(std::gcd(common.numerator(), value.denominator()));
  return common;
}

/// Of an integer above 0.
int64_t powersOfTwo(Rational value) {
  return value.isValid() ? std::countr_zero(static_cast<uint64_t>(value.numerator())) : 0;
}

bool scaleTo(const Matrix<Rational> &from, int64_t row, Rational factor, Matrix<int64_t> &to) {
  for (int64_t i = 0; i < from.columns; ++i) {
    const Rational value = from.at(row, i) * factor;
    if (!value.isInteger())
      return false;
    to.at(row, i) = value.numerator();
  }
  return true;
}

} // namespace

absl::StatusOr<TapTransforms> tapTransforms(const RationalTransforms &from) {
  const int64_t n = from.products();
  std::vector<Rational> denominators;
  Rational odd = 1;
  int64_t mostTwos = 0;
  for (int64_t j = 0; j < n; ++j) {
    denominators.push_back(commonDenominator(from.filter.row(j)));
    const int64_t twos = powersOfTwo(denominators.back());
    mostTwos = std::max(mostTwos, twos);
    const Rational part = denominators.back() / Rational(int64_t{1} << twos);
    odd = odd * part / Rational(std::gcd(odd.numerator(), part.numerator()));
  }
  const Rational output = commonDenominator(from.output.entries),
                 input = commonDenominator(from.input.entries);
  const Rational scale =
      odd * Rational(int64_t{1} << std::min<int64_t>(mostTwos, 62)) * output * input;
  TapTransforms to;
  to.output = Matrix<int64_t>(from.output.rows, n);
  to.filter = Matrix<int64_t>(n, from.filter.columns);
  to.input = Matrix<int64_t>(n, n);
  bool fits = scale.isValid();
  for (int64_t i = 0; i < from.output.rows; ++i)
    fits = fits && scaleTo(from.output, i, output, to.output);
  for (int64_t j = 0; fits && j < n; ++j) {
    const int64_t twos = powersOfTwo(denominators[j]);
    to.exponents.push_back(mostTwos - twos);
    fits = scaleTo(from.filter, j, odd * Rational(int64_t{1} << twos), to.filter) &&
           scaleTo(from.input, j, input, to.input);
  }
  if (!fits)
    return absl::OutOfRangeError(absl::StrCat("an entry of F(", from.outputs(), ", ", from.taps(),
                                              ") in integers leaves 63 bits"));
  to.scale = scale.numerator();
  return to;
}

bool convolves(const TapTransforms &t) {
  // Exponents belong to the output side as well as to the filter.
  IntegerTransforms weighted{{t.output, t.filter, t.input}, t.scale};
  for (int64_t i = 0; i < t.outputs(); ++i)
    for (int64_t j = 0; j < t.products(); ++j)
      weighted.output.at(i, j) *= int64_t{1} << t.exponents[j];
  return convolves(weighted);
}

} // namespace sdopt
