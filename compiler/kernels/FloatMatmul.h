//===- FloatMatmul.h - one float matrix product ------------------*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_FLOATMATMUL_H
#define SDOPT_COMPILER_KERNELS_FLOATMATMUL_H

#include <cstdint>

namespace sdopt {

/// c[m][n] = alpha * a[m][k] * b, with b [k][n], or [n][k] if transposeB; strides in elements from
/// row to row.
struct MatrixProduct {
  const float *a = nullptr;
  const float *b = nullptr;
  float *c = nullptr;
  int64_t m = 0, n = 0, k = 0;
  int64_t aStride = 0, bStride = 0, cStride = 0;
  bool transposeB = false;
  float alpha = 1.0f;
};

/// Computes one product; call it under a SingleThreadScope.
void multiplyMatrices(const MatrixProduct &product);

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FLOATMATMUL_H
