//===- WinogradMatrices.h - short convolutions from points ------*- C++ -*-===//
//
// F(m, r): m neighbouring outputs of a filter of r taps with n = m + r - 1 products,
//
//   y = A' [ (G g) * (B' d) ]        g: r taps, d: n inputs, * element by element
//
// instead of m r, and F(m x m, r x r) by doing it in both dimensions, Y = A' [(G g G') * (B' d B)]
// A (A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, sections
// 4 and 5). The matrices come from a product of polynomials, which its values at n - 1 points and
// its leading coefficient (the point at infinity) tell (Cook and Toom; R. Blahut, "Fast Algorithms
// for Signal Processing", chapter 5), transposed. With points p[j], N[j] = product over l != j of
// p[j] - p[l], all but the last row or column:
//
//   A'[i][j] = p[j]^i                                 last column 0 ... 0 1
//   G[j][k]  = p[j]^k / N[j]                          last row    0 ... 0 1
//   B'[j]    = coefficients of the product over l != j of x - p[l], from x^0 up
//              last row: the same over all l
//
// F(2, 3) of the points 0, 1, -1, with 2 G in place of G:
//
//        1  1  1  0            -2  0  0            -1  0  1  0
//   A' = 0  1 -1  1      2 G =  1  1  1       B' =  0  1  1  0
//                               1 -1  1             0 -1  1  0
//                               0  0  2             0 -1  0  1
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_WINOGRAD_WINOGRADMATRICES_H
#define SDOPT_COMPILER_WINOGRAD_WINOGRADMATRICES_H

#include "absl/status/statusor.h"
#include "compiler/winograd/Rational.h"

#include <span>
#include <vector>

namespace sdopt {

/// Dense, row by row.
template <typename T> struct Matrix {
  int64_t rows = 0, columns = 0;
  std::vector<T> entries;

  Matrix() = default;
  Matrix(int64_t rows, int64_t columns)
      : rows(rows), columns(columns), entries(static_cast<size_t>(rows * columns)) {}
  T &at(int64_t row, int64_t column) { return entries[row * columns + column]; }
  const T &at(int64_t row, int64_t column) const { return entries[row * columns + column]; }
  std::span<const T> row(int64_t index) const {
    return std::span<const T>(entries).subspan(static_cast<size_t>(index * columns),
                                               static_cast<size_t>(columns));
  }
  friend bool operator==(const Matrix &, const Matrix &) = default;
};

/// One dimension of F(m, r).
template <typename T> struct Transforms {
  Matrix<T> output; ///< A' [m][n]
  Matrix<T> filter; ///< G [n][r]
  Matrix<T> input;  ///< B' [n][n]

  int64_t outputs() const { return output.rows; }
  int64_t taps() const { return filter.columns; }
  /// Inputs of a tile, and products.
  int64_t products() const { return filter.rows; }
};
using RationalTransforms = Transforms<Rational>;

/// F(outputs, taps) of outputs + taps - 2 points and infinity. INVALID_ARGUMENT for sizes below 1,
/// too few or too many points, or equal ones; OUT_OF_RANGE if an entry leaves 63 bits.
absl::StatusOr<RationalTransforms> cookToom(int64_t outputs, int64_t taps,
                                            std::span<const Rational> points);

/// The same in integers: each matrix times the least number that makes all its entries integers.
/// The result is `scale` times the convolution in one dimension, scale^2 times in two.
struct IntegerTransforms : Transforms<int64_t> {
  int64_t scale = 1;
};
/// OUT_OF_RANGE if an entry or the scale leaves 63 bits.
absl::StatusOr<IntegerTransforms> integerForm(const RationalTransforms &transforms);

/// Do these matrices give the convolution of any filter with any input, times `scale`? It is linear
/// in both, so that one product of each tap with each input proves it: the sum over j of A'[i][j]
/// G[j][k] B'[j][l] is `scale` for l = i + k and 0 for all others.
bool convolves(const RationalTransforms &transforms, Rational scale = 1);
bool convolves(const IntegerTransforms &transforms);

} // namespace sdopt

#endif // SDOPT_COMPILER_WINOGRAD_WINOGRADMATRICES_H
