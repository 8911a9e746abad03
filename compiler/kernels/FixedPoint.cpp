//===- FixedPoint.cpp - the one rounding rule of every integer op -----------===//

#include "compiler/kernels/FixedPoint.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

constexpr int32_t kMinShift = 25;
constexpr int32_t kMinPairShift = 14;
constexpr double kMaxPairFactor = 0x1p16;

// floor(factor * 2^shift + 1/2) for products below 2^53; ldexp and floor are exact.
int64_t roundedMultiplier(double factor, int32_t shift) {
  return static_cast<int64_t>(std::floor(std::ldexp(factor, shift) + 0.5));
}

// Shift that brings `factor` into [2^(bits-1), 2^bits) after rounding, or minShift - 1 if too
// large.
int32_t shiftFor(double factor, int bits, int32_t minShift) {
  int exponent = 0;
  std::frexp(factor, &exponent);
  int32_t shift = bits - exponent;
  if (shift >= minShift && roundedMultiplier(factor, shift) == int64_t(1) << bits)
    --shift;
  return std::max(shift, minShift - 1);
}

bool isTooSmall(double factor) { return !(factor >= 0x1p-32); }

} // namespace

Scaling scalingFor(double factor) {
  if (isTooSmall(factor))
    return {0, kMinShift};
  if (factor >= 64.0)
    return {INT32_MAX, kMinShift};
  int32_t shift = shiftFor(factor, 31, kMinShift);
  if (shift < kMinShift)
    return {INT32_MAX, kMinShift};
  return {static_cast<int32_t>(roundedMultiplier(factor, shift)), shift};
}

PairScaling pairScalingFor(double factorA, double factorB) {
  double a = factorA > 0 ? factorA : 0.0;
  double b = factorB > 0 ? factorB : 0.0;
  double larger = std::max(a, b);
  if (isTooSmall(larger))
    return {0, 0, kMinPairShift};
  int32_t shift = larger >= kMaxPairFactor
                      ? kMinPairShift
                      : std::max(shiftFor(larger, 30, kMinPairShift), kMinPairShift);
  auto multiplier = [shift](double factor) {
    constexpr int32_t kLargest = (1 << 30) - 1;
    return factor >= kMaxPairFactor ? kLargest
                                    : static_cast<int32_t>(std::min<int64_t>(
                                          roundedMultiplier(factor, shift), kLargest));
  };
  return {multiplier(a), multiplier(b), shift};
}

int64_t scaled(int64_t acc, Scaling scaling) {
  Int128 product = static_cast<Int128>(acc) * scaling.multiplier;
  Int128 value = (product + (static_cast<Int128>(1) << (scaling.shift - 1))) >> scaling.shift;
  return static_cast<int64_t>(std::clamp<Int128>(value, INT64_MIN, INT64_MAX));
}

int32_t saturate(int64_t value, CodeFormat format) {
  // Compared before the zero point is added, so that no value overflows.
  if (value >= static_cast<int64_t>(format.max()) - format.zeroPoint)
    return format.max();
  if (value <= static_cast<int64_t>(format.min()) - format.zeroPoint)
    return format.min();
  return static_cast<int32_t>(value + format.zeroPoint);
}

} // namespace sdopt
