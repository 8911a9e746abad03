//===- SaturatingArithmetic.h - sizes from untrusted fields -----*- C++ -*-===//
//
// Products and sums of non-negative sizes that stop at kTooLarge instead of overflowing; kTooLarge
// exceeds every memory, so that a bounds check refuses it.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_PACKAGE_SATURATINGARITHMETIC_H
#define SDOPT_COMPILER_PACKAGE_SATURATINGARITHMETIC_H

#include <algorithm>
#include <cstdint>
#include <initializer_list>

namespace sdopt {

inline constexpr int64_t kTooLarge = int64_t{1} << 62;

/// Negative factors and overflow give kTooLarge.
inline int64_t saturatingProduct(std::initializer_list<int64_t> factors) {
  int64_t product = 1;
  bool tooLarge = false;
  for (int64_t factor : factors) {
    if (factor == 0)
      return 0;
    tooLarge |=
        factor < 0 || __builtin_mul_overflow(product, factor, &product) || product > kTooLarge;
    product = tooLarge ? 1 : product;
  }
  return tooLarge ? kTooLarge : product;
}

inline int64_t saturatingSum(int64_t a, int64_t b) {
  if (a < 0 || b < 0 || a > kTooLarge - std::min(b, kTooLarge))
    return kTooLarge;
  return a + b;
}

/// True if [offset, offset + bytes) lies in [0, size).
inline bool liesWithin(int64_t offset, int64_t bytes, int64_t size) {
  return offset >= 0 && bytes >= 0 && offset <= size && bytes <= size - offset;
}

} // namespace sdopt

#endif // SDOPT_COMPILER_PACKAGE_SATURATINGARITHMETIC_H
