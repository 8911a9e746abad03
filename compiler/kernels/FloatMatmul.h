//===- FloatMatmul.h - float products in cache-sized pieces -----*- C++ -*-===//
//
// A product is cut along its columns into groups of panels, along its rows into ranges and along
// its depth into blocks:
//
//               depth                 columns                        columns
//          +----+----+----+       +---+---+---+---+             +---+---+---+---+
//   rows   |    |    |    |       | group | group |      rows   | piece | piece |
//          +----+----+----+   x   +---+---+---+---+   =         +---+---+---+---+
//   range  |    |    |    |       |       |       |      range  | piece | piece |
//          +----+----+----+       +---+---+---+---+             +---+---+---+---+
//
// Threads share the pieces; each packs the panels of its group, one block of depth after another.
// Blocks depend on the depth alone and each sum is made in one order, so that the result does not
// depend on the pieces or the number of threads.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_FLOATMATMUL_H
#define SDOPT_COMPILER_KERNELS_FLOATMATMUL_H

#include <cstdint>
#include <functional>
#include <span>

namespace sdopt {

/// out[m][n] = rows x columns [+ bias].
struct FloatProduct {
  int64_t m = 0, n = 0;
  int64_t depth = 0; ///< of one tap
  int64_t taps = 1;
  /// pointers[tap * kFloatRows + r] = the `depth` values of row first + r for that tap.
  std::function<void(int64_t first, int64_t count, const float **pointers)> rows;
  const float *columns = nullptr;
  int64_t columnsStride = 0;
  bool columnsAreRows = false; ///< columns is [n][depth][taps], not [depth][n] (one tap)
  const float *bias = nullptr; ///< [n] or null
  float *out = nullptr;
  int64_t outStride = 0;
};

/// Computes all of them with the kernels' threads.
void multiply(std::span<const FloatProduct> products);

/// Row r of a matrix is at base + r * stride.
std::function<void(int64_t, int64_t, const float **)> matrixRows(const float *base, int64_t stride);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FLOATMATMUL_H
