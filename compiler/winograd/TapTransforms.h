//===- TapTransforms.h - products with powers of two -*- C++ -*-===//
//
// Each row of the filter side has a power of two of its own, which goes into the shift of each of
// the n x n products ("taps"; compiler/kernels/TapWinograd.h): transformed weights stay small.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_WINOGRAD_TAPTRANSFORMS_H
#define SDOPT_COMPILER_WINOGRAD_TAPTRANSFORMS_H

#include "compiler/winograd/WinogradMatrices.h"

namespace sdopt {

/// One dimension in integers: row j of the filter side counts 2^exponents[j] times, and the result
/// is `scale` times the convolution. F(4, 3) of 0, 1, -1, 2, -2:
///
///        3  0  0            1
///       -1 -1 -1            2
///   F = -1  1 -1   2 to the 2      scale 24
///        1  2  4            0
///        1 -2  4            0
///        0  0  3            3
struct TapTransforms : Transforms<int64_t> {
  std::vector<int64_t> exponents;
  int64_t scale = 1;
};

/// OUT_OF_RANGE if an entry or the scale leaves 63 bits.
absl::StatusOr<TapTransforms> tapTransforms(const RationalTransforms &transforms);

/// As for the other forms.
bool convolves(const TapTransforms &transforms);

} // namespace sdopt

#endif // SDOPT_COMPILER_WINOGRAD_TAPTRANSFORMS_H
