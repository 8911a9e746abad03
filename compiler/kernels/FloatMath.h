//===- FloatMath.h - functions that loops over vectors can use ---*- C++ -*-===//
//
// Branch-free float functions for vectorLoop(). The polynomials are minimax fits made for these
// ranges; errors are relative unless said otherwise.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_KERNELS_FLOATMATH_H
#define SDOPT_COMPILER_KERNELS_FLOATMATH_H

#include "compiler/kernels/VectorLoop.h"

#include <bit>
#include <cmath>

namespace sdopt {

/// e^x for x <= 0, within 2e-7; 0 below -87. NaN stays.
SDOPT_INLINE inline float expOfNegative(float x) {
  // x = n ln 2 + r: adding 1.5 * 2^23 leaves n in the low bits.
  constexpr float kLog2E = 1.44269504f, kShift = 12582912.0f;
  constexpr float kLn2High = 0.693145751953125f, kLn2Low = 1.42860677e-6f;
  float clamped = x < -87.0f ? -87.0f : x;
  float shifted = std::fma(clamped, kLog2E, kShift);
  float n = shifted - kShift;
  float r = std::fma(n, -kLn2Low, std::fma(n, -kLn2High, clamped));
  float q = std::fma(0.00139505998f, r, 0.00836895406f);
  q = std::fma(q, r, 0.0416662060f);
  q = std::fma(q, r, 0.166665182f);
  q = std::fma(q, r, 0.5f);
  float power = std::fma(q, r * r, r) + 1.0f;
  uint32_t exponent = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
  float result = power * std::bit_cast<float>(exponent);
  return x < -87.0f ? 0.0f : result;
}

/// 1 / (1 + e^-x), within 4e-7.
SDOPT_INLINE inline float fastSigmoid(float x) {
  float e = expOfNegative(x > 0 ? -x : x);
  return (x >= 0 ? 1.0f : e) / (1.0f + e);
}

SDOPT_INLINE inline float fastSilu(float x) { return x * fastSigmoid(x); }

SDOPT_INLINE inline float fastQuickGelu(float x) { return x * fastSigmoid(1.702f * x); }

/// x Phi(x) with Phi(-t sqrt 2) = erfc(t) / 2 and erfc(t) = exp(t P(t)); absolute error of Phi
/// below 1e-7.
SDOPT_INLINE inline float fastGelu(float x) {
  constexpr float kSqrtHalf = 0.707106781f;
  float t = std::fabs(x) * kSqrtHalf;
  float bounded = t > 5.0f ? 5.0f : t;
  float p = std::fma(6.63663400e-8f, bounded, -1.86545924e-6f);
  p = std::fma(p, bounded, 2.29522248e-5f);
  p = std::fma(p, bounded, -1.61454343e-4f);
  p = std::fma(p, bounded, 6.97918644e-4f);
  p = std::fma(p, bounded, -1.69484725e-3f);
  p = std::fma(p, bounded, 1.19234843e-4f);
  p = std::fma(p, bounded, 1.92130767e-2f);
  p = std::fma(p, bounded, -1.02807857e-1f);
  p = std::fma(p, bounded, -6.36613190e-1f);
  p = std::fma(p, bounded, -1.12837958f);
  float e = expOfNegative(p * bounded);
  float tail = t > 5.0f ? 0.0f : 0.5f * e;
  return x * (x >= 0 ? 1.0f - tail : tail);
}

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_FLOATMATH_H
