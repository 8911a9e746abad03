//===- Rational.h - exact fractions -----------------------------*- C++ -*-===//
//
// Numbers that transforms are derived from and proved with. Numerator and denominator have 63
// bits; what needs more, or divides by zero, is not a number, nor is anything made of it: a chain
// of operations is checked once, at its end.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_WINOGRAD_RATIONAL_H
#define SDOPT_COMPILER_WINOGRAD_RATIONAL_H

#include <cstdint>
#include <string>

namespace sdopt {

/// In lowest terms with a positive denominator, so that equal numbers have equal fields.
class Rational {
public:
  Rational(int64_t value = 0) : Rational(quotient(value, 1)) {}
  static Rational fraction(int64_t numerator, int64_t denominator) {
    return quotient(numerator, denominator);
  }

  /// False after an overflow or a division by zero.
  bool isValid() const { return denominator_ != 0; }
  bool isInteger() const { return denominator_ == 1; }
  int64_t numerator() const { return numerator_; }
  int64_t denominator() const { return denominator_; }

  friend Rational operator+(Rational a, Rational b);
  friend Rational operator-(Rational a, Rational b);
  friend Rational operator*(Rational a, Rational b);
  friend Rational operator/(Rational a, Rational b);
  friend bool operator==(const Rational &, const Rational &) = default;

private:
  struct Fields {};
  Rational(Fields, int64_t numerator, int64_t denominator)
      : numerator_(numerator), denominator_(denominator) {}
  static Rational quotient(__int128 numerator, __int128 denominator);

  int64_t numerator_ = 0;
  int64_t denominator_ = 1; ///< 0: not a number
};

/// "3", "-1/2", "not a number".
std::string toString(Rational value);

} // namespace sdopt

#endif // SDOPT_COMPILER_WINOGRAD_RATIONAL_H
