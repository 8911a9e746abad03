//===- Numbers.cpp - numbers as people read them --------------------------===//

#include "compiler/report/Numbers.h"

#include <charconv>
#include <cmath>
#include <string_view>

namespace sdopt {

namespace {

void insertCommas(std::string &digits, size_t first) {
  size_t end = digits.find('.');
  if (end == std::string::npos)
    end = digits.size();
  for (size_t at = end; at > first + 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
}

int decimalsFor(double magnitude) {
  if (magnitude >= 100)
    return 0;
  if (magnitude >= 10)
    return 1;
  return 2;
}

} // namespace

std::string fixed(double value, int decimals) {
  if (std::isnan(value))
    return "not a number";
  if (std::isinf(value))
    return value > 0 ? "infinite" : "minus infinite";
  // 10^308 and its decimals need less than 400 characters.
  char buffer[400];
  auto result =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed, decimals);
  return std::string(buffer, result.ptr);
}

std::string significant(double value) {
  double magnitude = std::fabs(value);
  if (!std::isfinite(value) || magnitude == 0)
    return magnitude == 0 ? "0" : fixed(value, 0);
  if (magnitude >= 1e15 || magnitude < 1e-5) {
    char buffer[64];
    auto result =
        std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific, 2);
    return std::string(buffer, result.ptr);
  }
  int decimals = decimalsFor(magnitude);
  double scaled = magnitude;
  while (scaled < 1 && decimals < 8) {
    scaled *= 10;
    ++decimals;
  }
  std::string text = fixed(value, decimals);
  insertCommas(text, value < 0 ? 1 : 0);
  return text;
}

std::string grouped(int64_t value) {
  std::string text = std::to_string(value);
  insertCommas(text, value < 0 ? 1 : 0);
  return text;
}

std::string withPrefix(double value, const char *unit) {
  static constexpr struct {
    double factor;
    const char *prefix;
  } kPrefixes[] = {{1e12, "T"}, {1e9, "G"},  {1e6, "M"},  {1e3, "k"},
                   {1, ""},     {1e-3, "m"}, {1e-6, "µ"}, {1e-9, "n"}};
  double magnitude = std::fabs(value);
  if (!std::isfinite(value) || magnitude == 0)
    return significant(value) + " " + unit;
  for (const auto &[factor, prefix] : kPrefixes)
    // A value that rounds up to the next prefix belongs there: 999.9 kB is 1.00 MB.
    if (magnitude >= 0.9995 * factor) {
      double scaled = value / factor;
      bool whole = factor == 1 && scaled == std::floor(scaled);
      return fixed(scaled, whole ? 0 : decimalsFor(std::fabs(scaled))) + " " + prefix + unit;
    }
  return significant(value) + " " + unit;
}

std::string timestepText(double first, double last) {
  auto text = [](double timestep) {
    return timestep == std::floor(timestep) && std::fabs(timestep) < 1e9
               ? grouped(static_cast<int64_t>(timestep))
               : significant(timestep);
  };
  return first == last ? text(first) : text(first) + " to " + text(last);
}

std::string outOf(double done, int64_t all) {
  const double rounded = std::round(done * 100) / 100;
  return fixed(rounded, rounded == std::floor(rounded) ? 0 : 2) + "/" + std::to_string(all);
}

std::string decibels(double value) {
  if (std::isinf(value) && value > 0)
    return "exact";
  return fixed(value, 1) + " dB";
}

absl::StatusOr<int64_t> parseBytes(const std::string &text) {
  static constexpr struct {
    std::string_view unit;
    double factor;
  } kUnits[] = {{"B", 1},           {"kB", 1e3}, {"KiB", 1024},        {"MB", 1e6},
                {"MiB", 1048576.0}, {"GB", 1e9}, {"GiB", 1073741824.0}};
  constexpr double kMost = 1e15;
  double number = 0;
  const char *end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  // "inf" and "nan" are numbers too.
  bool isNumber = error == std::errc() && text.front() >= '0' && text.front() <= '9';
  std::string_view unit(isNumber ? rest : end, isNumber ? static_cast<size_t>(end - rest) : 0);
  while (unit.starts_with(' '))
    unit.remove_prefix(1);
  for (const auto &[name, factor] : kUnits)
    if (unit == name && number * factor >= 1 && number * factor <= kMost)
      return static_cast<int64_t>(number * factor);
  return absl::InvalidArgumentError("'" + text +
                                    "' is no size; needed: a number and B, kB, KiB, MB, MiB, GB or "
                                    "GiB, as in 900MB or 1.5GiB");
}

} // namespace sdopt
