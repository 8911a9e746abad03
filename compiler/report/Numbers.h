//===- Numbers.h - numbers as people read them ------------------*- C++ -*-===//
//
// Independent of the locale. Decimal units: 1 MB = 10^6 bytes, as in gates.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_REPORT_NUMBERS_H
#define SDOPT_COMPILER_REPORT_NUMBERS_H

#include "absl/status/statusor.h"

#include <cstdint>
#include <string>

namespace sdopt {

/// `value` with `decimals` digits after the point: "12.50"; "not a number", "infinite".
std::string fixed(double value, int decimals);
/// Three significant digits without exponent where that is short: "0.00412", "3.2", "1,250".
std::string significant(double value);
/// Thousands separated by commas: "1,234,567".
std::string grouped(int64_t value);
/// With a decimal prefix and a unit: "1.23 MB", "412 kcycles", "3.10 mJ".
std::string withPrefix(double value, const char *unit);
/// "161", "1 to 161": whole numbers, as timesteps of most schedules are, without decimals.
std::string timestepText(double first, double last);
/// "3/10"; "3.25/10" within a step, whose parts may sum up to a little less than it.
std::string outOf(double done, int64_t all);
/// "41.3 dB"; "exact" if infinite.
std::string decibels(double value);

/// "900MB", "1.5 GiB": a number without exponent and B, kB, KiB, MB, MiB, GB or GiB; whole bytes,
/// rounded down, at least 1. An error says what was found.
absl::StatusOr<int64_t> parseBytes(const std::string &text);

} // namespace sdopt

#endif // SDOPT_COMPILER_REPORT_NUMBERS_H
