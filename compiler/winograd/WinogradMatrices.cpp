#include "compiler/winograd/WinogradMatrices.h"

#include "absl/strings/str_cat.h"

#include <algorithm>
#include <numeric>

namespace sdopt {
namespace {

Rational power(Rational base, int64_t exponent) {
  Rational result = 1;
  for (int64_t i = 0; i < exponent; ++i)
    result = result * base;
  return result;
}

/// Coefficients, from x^0 up, of the product of x - p over all points but number `without`.
std::vector<Rational> productOf(std::span<const Rational> points, size_t without) {
  std::vector<Rational> product = {1};
  for (size_t l = 0; l < points.size(); ++l) {
    if (l == without)
      continue;
    product.emplace_back(0);
    for (size_t i = product.size(); i-- > 0;)
      product[i] = (i > 0 ? product[i - 1] : Rational(0)) - points[l] * product[i];
  }
  return product;
}

Rational distances(std::span<const Rational> points, size_t from) {
  Rational product = 1;
  for (size_t l = 0; l < points.size(); ++l)
    if (l != from)
      product = product * (points[from] - points[l]);
  return product;
}

bool isValid(const Matrix<Rational> &matrix) {
  return std::ranges::all_of(matrix.entries, [](Rational value) { return value.isValid(); });
}

/// Nothing if that leaves 63 bits.
Rational commonDenominator(const Matrix<Rational> &matrix) {
  Rational common = 1;
  for (Rational value : matrix.entries)
    common =
        common * value.denominator() / Rational(std::gcd(common.numerator(), value.denominator()));
  return common;
}

/// The matrix times a number, in integers; false if an entry is none.
bool scaleTo(const Matrix<Rational> &from, Rational factor, Matrix<int64_t> &to) {
  to = Matrix<int64_t>(from.rows, from.columns);
  for (size_t i = 0; i < from.entries.size(); ++i) {
    const Rational value = from.entries[i] * factor;
    if (!value.isInteger())
      return false;
    to.entries[i] = value.numerator();
  }
  return true;
}

Matrix<Rational> rational(const Matrix<int64_t> &matrix) {
  Matrix<Rational> result(matrix.rows, matrix.columns);
  std::ranges::copy(matrix.entries, result.entries.begin());
  return result;
}

} // namespace

absl::StatusOr<RationalTransforms> cookToom(int64_t outputs, int64_t taps,
                                            std::span<const Rational> points) {
  constexpr int64_t kMostProducts = 64;
  const std::string name = absl::StrCat("F(", outputs, ", ", taps, ")");
  if (outputs < 1 || taps < 1 || outputs > kMostProducts || taps > kMostProducts)
    return absl::InvalidArgumentError(
        absl::StrCat(name, " needs 1..", kMostProducts, " outputs and taps"));
  const int64_t products = outputs + taps - 1, last = products - 1;
  if (static_cast<int64_t>(points.size()) != last)
    return absl::InvalidArgumentError(
        absl::StrCat(name, " has ", points.size(), " points; needs ", last, " beside infinity"));
  for (size_t a = 0; a < points.size(); ++a)
    if (std::ranges::find(points.first(a), points[a]) != points.begin() + static_cast<int64_t>(a))
      return absl::InvalidArgumentError(
          absl::StrCat(name, " has the point ", toString(points[a]), " twice"));

  RationalTransforms t{Matrix<Rational>(outputs, products), Matrix<Rational>(products, taps),
                       Matrix<Rational>(products, products)};
  for (int64_t j = 0; j < last; ++j) {
    const Rational point = points[j], norm = distances(points, static_cast<size_t>(j));
    for (int64_t i = 0; i < outputs; ++i)
      t.output.at(i, j) = power(point, i);
    for (int64_t k = 0; k < taps; ++k)
      t.filter.at(j, k) = power(point, k) / norm;
    const std::vector<Rational> row = productOf(points, static_cast<size_t>(j));
    for (size_t l = 0; l < row.size(); ++l)
      t.input.at(j, static_cast<int64_t>(l)) = row[l];
  }
  t.output.at(outputs - 1, last) = 1;
  t.filter.at(last, taps - 1) = 1;
  const std::vector<Rational> row = productOf(points, points.size());
  for (size_t l = 0; l < row.size(); ++l)
    t.input.at(last, static_cast<int64_t>(l)) = row[l];
  if (!isValid(t.output) || !isValid(t.filter) || !isValid(t.input))
    return absl::OutOfRangeError(absl::StrCat("an entry of ", name, " leaves 63 bits"));
  return t;
}

absl::StatusOr<IntegerTransforms> integerForm(const RationalTransforms &transforms) {
  const Rational output = commonDenominator(transforms.output),
                 filter = commonDenominator(transforms.filter),
                 input = commonDenominator(transforms.input);
  const Rational scale = output * filter * input;
  IntegerTransforms result;
  if (!scale.isValid() || !scaleTo(transforms.output, output, result.output) ||
      !scaleTo(transforms.filter, filter, result.filter) ||
      !scaleTo(transforms.input, input, result.input))
    return absl::OutOfRangeError(absl::StrCat("an entry of F(", transforms.outputs(), ", ",
                                              transforms.taps(), ") in integers leaves 63 bits"));
  result.scale = scale.numerator();
  return result;
}

bool convolves(const RationalTransforms &t, Rational scale) {
  for (int64_t i = 0; i < t.outputs(); ++i)
    for (int64_t k = 0; k < t.taps(); ++k)
      for (int64_t l = 0; l < t.products(); ++l) {
        Rational sum = 0;
        for (int64_t j = 0; j < t.products(); ++j)
          sum = sum + t.output.at(i, j) * t.filter.at(j, k) * t.input.at(j, l);
        if (!sum.isValid() || sum != (l == i + k ? scale : Rational(0)))
          return false;
      }
  return true;
}

bool convolves(const IntegerTransforms &t) {
  return convolves(RationalTransforms{rational(t.output), rational(t.filter), rational(t.input)},
                   t.scale);
}

} // namespace sdopt
