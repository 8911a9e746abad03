//===- NormFactor.cpp - mean and 1/sigma of a group as integers -------------===//

#include "compiler/kernels/NormFactor.h"

#include <algorithm>
#include <bit>

namespace sdopt {

namespace {

using UInt128 = unsigned __int128;

int bitLength(UInt128 value) {
  uint64_t high = static_cast<uint64_t>(value >> 64);
  return high ? 64 + std::bit_width(high) : std::bit_width(static_cast<uint64_t>(value));
}

// floor(sqrt(value)) for value <= 2^64, one bit at a time.
uint64_t integerSquareRoot(UInt128 value) {
  uint64_t root = 0;
  for (int bit = 32; bit >= 0; --bit) {
    uint64_t candidate = root | uint64_t(1) << bit;
    if (static_cast<UInt128>(candidate) * candidate <= value)
      root = candidate;
  }
  return root;
}

int32_t roundedMean(int64_t sum, int64_t count) {
  Int128 numerator = static_cast<Int128>(sum) * (1 << 15) + count;
  Int128 divisor = static_cast<Int128>(2) * count;
  Int128 quotient = numerator / divisor - (numerator % divisor < 0);
  return static_cast<int32_t>(std::clamp<Int128>(quotient, INT32_MIN, INT32_MAX));
}

// V = N*S2 - S1^2 + round(N^2 * epsilon / 2^32), or 0 where the sums cannot come from N codes.
UInt128 scaledVariance(const NormSums &sums, const NormParams &params) {
  UInt128 count = static_cast<uint64_t>(params.count);
  Int128 spread =
      static_cast<Int128>(params.count) * sums.squares - static_cast<Int128>(sums.sum) * sums.sum;
  UInt128 epsilon = (count * count * params.epsilon + (UInt128(1) << 31)) >> 32;
  Int128 variance = spread + static_cast<Int128>(epsilon);
  return variance > 0 ? static_cast<UInt128>(variance) : 0;
}

} // namespace

NormFactor normFactor(const NormSums &sums, const NormParams &params) {
  constexpr int64_t kMaxCount = INT32_MAX;
  if (params.count <= 0 || params.count > kMaxCount)
    return {};
  NormFactor factor;
  factor.mean = roundedMean(sums.sum, params.count);
  UInt128 variance = scaledVariance(sums, params);
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
