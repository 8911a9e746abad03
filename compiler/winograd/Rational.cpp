#include "compiler/winograd/Rational.h"

#include <limits>

namespace sdopt {
namespace {

__int128 greatestDivisor(__int128 a, __int128 b) {
  while (b != 0) {
    const __int128 rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

} // namespace

// Sums and products of fields of 63 bits are below 2^127.
Rational Rational::quotient(__int128 numerator, __int128 denominator) {
  constexpr __int128 kMost = std::numeric_limits<int64_t>::max();
  const Rational nothing(Fields{}, 0, 0);
  if (denominator == 0)
    return nothing;
  if (denominator < 0) {
    numerator = -numerator;
    denominator = -denominator;
  }
  const __int128 divisor = greatestDivisor(numerator < 0 ? -numerator : numerator, denominator);
  numerator /= divisor;
  denominator /= divisor;
  if (numerator > kMost || numerator < -kMost || denominator > kMost)
    return nothing;
  return {Fields{}, static_cast<int64_t>(numerator), static_cast<int64_t>(denominator)};
}

Rational operator+(Rational a, Rational b) {
  return Rational::quotient(static_cast<__int128>(a.numerator_) * b.denominator_ +
                                static_cast<__int128>(b.numerator_) * a.denominator_,
                            static_cast<__int128>(a.denominator_) * b.denominator_);
}

Rational operator-(Rational a, Rational b) { return a + Rational(-1) * b; }

Rational operator*(Rational a, Rational b) {
  return Rational::quotient(static_cast<__int128>(a.numerator_) * b.numerator_,
                            static_cast<__int128>(a.denominator_) * b.denominator_);
}

Rational operator/(Rational a, Rational b) {
  // A number that is none stays none below the line too.
  if (!b.isValid())
    return b;
  return Rational::quotient(static_cast<__int128>(a.numerator_) * b.denominator_,
                            static_cast<__int128>(a.denominator_) * b.numerator_);
}

std::string toString(Rational value) {
  if (!value.isValid())
    return "not a number";
  std::string text = std::to_string(value.numerator());
  return value.isInteger() ? text : text + "/" + std::to_string(value.denominator());
}

} // namespace sdopt
