//===- WinogradBounds.h - how far transformed integers reach ----*- C++ -*-===//
//
// What widths exact Winograd needs, from the matrices alone. Every bound is reached by some tile,
// so that none is wider than need be.
//
// F(2x2, 3x3) with int8 weights and signed codes of one byte: transformed codes have 10 bits,
// weights 12, a product 21, and sums modulo 2^32 give 4 times the convolution of up to 3,640 input
// channels. Unsigned bytes and codes minus their zero point need 11 x 12: so a multiplier of 11 x
// 12 does for all of them.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_WINOGRAD_WINOGRADBOUNDS_H
#define SDOPT_COMPILER_WINOGRAD_WINOGRADBOUNDS_H

#include "compiler/winograd/WinogradMatrices.h"

namespace sdopt {

/// Integers least ... most.
struct Interval {
  int64_t least = 0, most = 0;
  friend bool operator==(const Interval &, const Interval &) = default;
};

/// Bytes that enter transforms: signed codes or weights, the lower bytes of 16-bit codes, and codes
/// minus any zero point.
inline constexpr Interval kSignedByte = {-128, 127}, kUnsignedByte = {0, 255},
                          kCenteredByte = {-255, 255};

/// Bits of two's complement that hold all of the interval.
int64_t signedBits(Interval interval);

/// Products of one number of each.
Interval productsOf(Interval a, Interval b);

/// T x T' of a tile whose elements are each anything within `each`, at every position.
Matrix<Interval> transformedRanges(const Matrix<int64_t> &transform, Interval each);

/// Of F(m x m, r x r) in integers. Entries are below 2^20 and codes and weights of 16 bits or
/// fewer.
struct WinogradBounds {
  int64_t inputBits = 0;   ///< of the widest transformed code
  int64_t filterBits = 0;  ///< of the widest transformed weight
  int64_t productBits = 0; ///< of the widest product
  int64_t largestProduct = 0;
  int64_t largestResult = 0; ///< of one input channel: scale^2 r^2 |code| |weight|

  /// The most input channels whose sums of products fit so many bits, at every position.
  int64_t channelsOfSums(int64_t bits) const;
  /// The most input channels whose result fits so many bits: sums and output transform modulo
  /// 2^bits are exact then, whatever wraps on the way.
  int64_t channelsOfResults(int64_t bits) const;
};
WinogradBounds winogradBounds(const IntegerTransforms &transforms, Interval codes,
                              Interval weights = kSignedByte);

} // namespace sdopt

#endif // SDOPT_COMPILER_WINOGRAD_WINOGRADBOUNDS_H
