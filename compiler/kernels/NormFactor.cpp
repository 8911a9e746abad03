//===- NormFactor.cpp - mean and 1/sigma of a group as integers -------------===//

#include "compiler/kernels/NormFactor.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sdopt {

namespace {

using UInt128 = unsigned __int128;

int bitLength(UInt128 value) {
  uint64_t high = static_cast<uint64_t>(value >> 64);
  return high ? 64 + std::bit_width(high) : std::bit_width(static_cast<uint64_t>(value));
}

// floor(sqrt(value)) for value <= 2^64. The root of a double is off by one at most: the sum of its
// rounding and of the value's is below 2^-20.
uint64_t integerSquareRoot(UInt128 value) {
  auto root = static_cast<uint64_t>(std::sqrt(static_cast<double>(value)));
  auto square = [](uint64_t x) { return static_cast<UInt128>(x) * x; };
  if (square(root) > value)
    --root;
  else if (square(root + 1) <= value)
    ++root;
  return root;
}

template <typename Integer> Integer floorQuotient(Integer numerator, Integer divisor) {
  return numerator / divisor - (numerator % divisor < 0);
}

int32_t roundedMean(int64_t sum, int64_t count) {
  // 64 bits are the usual case and much faster.
  constexpr int64_t kModest = int64_t(1) << 46;
  if (sum >= -kModest && sum <= kModest)
    return static_cast<int32_t>(std::clamp<int64_t>(
        floorQuotient<int64_t>(sum * (1 << 15) + count, 2 * count), INT32_MIN, INT32_MAX));
  Int128 numerator = static_cast<Int128>(sum) * (1 << 15) + count;
  return static_cast<int32_t>(std::clamp<Int128>(
      floorQuotient<Int128>(numerator, static_cast<Int128>(2) * count), INT32_MIN, INT32_MAX));
}

// V = N*S2 - S1^2 + round(N^2 * epsilon / 2^32), or 0 where the sums cannot come from N codes.
// Without a mean, S1 = 0 and S2 is taken about the zero point.
UInt128 scaledVariance(const NormSums &sums, const NormParams &params, int32_t zeroPoint) {
  UInt128 count = static_cast<uint64_t>(params.count);
  Int128 squares = sums.squares, sum = sums.sum;
  if (!params.centered) {
    squares +=
        static_cast<Int128>(zeroPoint) * (params.count * int64_t(zeroPoint)) - 2 * sum * zeroPoint;
    sum = 0;
  }
  Int128 spread = params.count * squares - sum * sum;
  UInt128 epsilon = (count * count * params.epsilon + (UInt128(1) << 31)) >> 32;
  Int128 variance = spread + static_cast<Int128>(epsilon);
  return variance > 0 ? static_cast<UInt128>(variance) : 0;
}

} // namespace

NormFactor normFactor(const NormSums &sums, const NormParams &params, int32_t zeroPoint) {
  constexpr int64_t kMaxCount = INT32_MAX;
  if (params.count <= 0 || params.count > kMaxCount)
    return {};
  NormFactor factor;
  factor.mean =
      params.centered ? roundedMean(sums.sum, params.count) : zeroPoint * (int32_t(1) << 14);
  UInt128 variance = scaledVariance(sums, params, zeroPoint);
  if (variance == 0)
    return factor;

  // V = r * 4^j with r in [2^30, 2^32).
  int length = bitLength(variance);
  int j = (length - 31 - ((length - 31) & 1)) / 2;
  UInt128 r = j >= 0 ? variance >> (2 * j) : variance << (-2 * j);
  uint64_t root = integerSquareRoot((UInt128(1) << 94) / r);
  UInt128 product = static_cast<UInt128>(root) * static_cast<uint64_t>(params.count);
  int excess = bitLength(product) - 31;
  factor.mantissa = static_cast<int32_t>(product >> excess);
  factor.shift = 37 + j - excess;
  return factor;
}

} // namespace sdopt
