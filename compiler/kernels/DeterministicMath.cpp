//===- DeterministicMath.cpp - elementary functions, the same bits everywhere -===//
//
// Only + - * / sqrt and exact operations (floor, frexp, ldexp) on IEEE doubles, in a fixed order;
// the build forbids contraction into fused multiply-add.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/IntegerKernels.h"

#include <cmath>
#include <limits>

namespace sdopt {

namespace {

constexpr double kLog2E = 0x1.71547652b82fep+0;
// ln 2 in two parts; the first has 32 significant bits, so that its product with an exponent is
// exact.
constexpr double kLn2High = 0x1.62e42fee00000p-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

// pi / 2 in three parts of 33, 33 and 53 bits.
constexpr double kTwoOverPi = 0x1.45f306dc9c883p-1;
constexpr double kHalfPiHigh = 0x1.921fb54400000p+0;
constexpr double kHalfPiMiddle = 0x1.0b4611a600000p-34;
constexpr double kHalfPiLow = 0x1.3198a2e037073p-69;

constexpr double kTwoOverSqrtPi = 0x1.20dd750429b6dp+0;

double sinNearZero(double r) {
  double square = r * r;
  double sum = 0.0;
  for (int n = 21; n >= 3; n -= 2)
    sum = (1.0 - sum) * square / ((n - 1) * n);
  return r - r * sum;
}

double cosNearZero(double r) {
  double square = r * r;
  double sum = 0.0;
  for (int n = 20; n >= 2; n -= 2)
    sum = (1.0 - sum) * square / ((n - 1) * n);
  return 1.0 - sum;
}

// erf(x) = 2/sqrt(pi) exp(-x^2) sum_n 2^n x^(2n+1) / (1*3*...*(2n+1)): all terms have one sign.
double erfSeries(double x) {
  double twiceSquare = 2.0 * x * x;
  double term = x, sum = x;
  for (int n = 1; n < 100; ++n) {
    term = term * twiceSquare / (2 * n + 1);
    sum += term;
  }
  return kTwoOverSqrtPi * deterministicExp(-x * x) * sum;
}

// erfc(x) = exp(-x^2) / sqrt(pi) / (x + (1/2)/(x + 1/(x + (3/2)/(x + ...)))), for x >= 3.
double erfcFraction(double x) {
  double tail = x;
  for (int n = 60; n >= 1; --n)
    tail = x + 0.5 * n / tail;
  return 0.5 * kTwoOverSqrtPi * deterministicExp(-x * x) / tail;
}

} // namespace

double deterministicExp(double x) {
  if (std::isnan(x))
    return x;
  if (x > 709.8)
    return std::numeric_limits<double>::infinity();
  if (x < -745.2)
    return 0.0;
  double n = std::floor(x * kLog2E + 0.5);
  double r = (x - n * kLn2High) - n * kLn2Low;
  double sum = 1.0;
  for (int k = 14; k >= 1; --k)
    sum = 1.0 + r * sum / k;
  return std::ldexp(sum, static_cast<int>(n));
}

double deterministicLog2(double x) {
  if (std::isnan(x) || x < 0)
    return std::numeric_limits<double>::quiet_NaN();
  if (x == 0)
    return -std::numeric_limits<double>::infinity();
  if (std::isinf(x))
    return x;
  int exponent = 0;
  double mantissa = std::frexp(x, &exponent);
  if (mantissa < 0x1.6a09e667f3bcdp-1) {
    mantissa *= 2.0;
    --exponent;
  }
  // ln m = 2 atanh((m-1)/(m+1)) with |argument| <= 0.172.
  double s = (mantissa - 1.0) / (mantissa + 1.0);
  double square = s * s;
  double sum = 0.0;
  for (int n = 25; n >= 3; n -= 2)
    sum = (sum + 1.0 / n) * square;
  return exponent + 2.0 * (s + s * sum) * kLog2E;
}

double deterministicSin(double x) {
  if (std::isnan(x) || std::isinf(x))
    return std::numeric_limits<double>::quiet_NaN();
  // Beyond 2^20 periods the result only stays deterministic: the parts of pi / 2 no longer cancel
  // exactly.
  if (std::fabs(x) > 0x1p20)
    x = std::fmod(x, 4.0 * kHalfPiHigh);
  double n = std::floor(x * kTwoOverPi + 0.5);
  double r = ((x - n * kHalfPiHigh) - n * kHalfPiMiddle) - n * kHalfPiLow;
  switch (static_cast<int64_t>(n) & 3) {
  case 0:
    return sinNearZero(r);
  case 1:
    return cosNearZero(r);
  case 2:
    return -sinNearZero(r);
  default:
    return -cosNearZero(r);
  }
}

double deterministicErf(double x) {
  if (std::isnan(x))
    return x;
  double magnitude = std::fabs(x);
  double result = magnitude < 3.0   ? erfSeries(magnitude)
                  : magnitude < 6.5 ? 1.0 - erfcFraction(magnitude)
                                    : 1.0;
  return x < 0 ? -result : result;
}

} // namespace sdopt
