//===- RandomCodes.h - test data for the kernel tests -----------*- C++ -*-===//

#ifndef SDOPT_TESTS_KERNELS_RANDOMCODES_H
#define SDOPT_TESTS_KERNELS_RANDOMCODES_H

#include "compiler/kernels/IntegerKernels.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

namespace sdopt::testing {

/// What a test feeds: recorded samples never reach saturation, so the extremes are patterns of
/// their own.
enum class Pattern { Random, Minimum, Maximum, Alternating };
inline constexpr Pattern kPatterns[] = {Pattern::Random, Pattern::Minimum, Pattern::Maximum,
                                        Pattern::Alternating};

class Random {
public:
  explicit Random(uint64_t seed) : engine(seed) {}
  int64_t between(int64_t low, int64_t high) {
    uint64_t span = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
    uint64_t draw = engine();
    return static_cast<int64_t>(static_cast<uint64_t>(low) + (span ? draw % span : draw));
  }
  double real(double low, double high) {
    return low + (high - low) * (static_cast<double>(engine() >> 11) * 0x1p-53);
  }
  /// Roughly normal, deviation 1.
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i)
      sum += real(0, 1);
    return sum;
  }

private:
  std::mt19937_64 engine;
};

/// One value of a pattern in [low, high].
inline int64_t draw(Random &random, Pattern pattern, int64_t index, int64_t low, int64_t high) {
  switch (pattern) {
  case Pattern::Minimum:
    return low;
  case Pattern::Maximum:
    return high;
  case Pattern::Alternating:
    return index % 2 ? low : high;
  case Pattern::Random:
    break;
  }
  return random.between(low, high);
}

/// A tensor of codes of a format.
inline Tensor codes(Random &random, Pattern pattern, CodeFormat format, int64_t count) {
  Tensor wide(ElementType::I32, {count});
  for (int64_t i = 0; i < count; ++i)
    wide.mutableValues<int32_t>()[i] =
        static_cast<int32_t>(draw(random, pattern, i, format.min(), format.max()));
  return wide.converted(format.type);
}

inline Codes view(const Tensor &tensor, CodeFormat format) { return {tensor.bytes(), format}; }

inline constexpr CodeFormat kWide{ElementType::I16, 0};
inline constexpr CodeFormat kNarrow{ElementType::I8, -13};

inline std::string describe(CodeFormat format, Pattern pattern) {
  return std::string(name(format.type)) + ", pattern " + std::to_string(static_cast<int>(pattern));
}

/// 20 log10(max |reference| / RMSE).
inline double decibels(const std::vector<double> &reference, const std::vector<double> &value) {
  double peak = 0, squares = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    peak = std::max(peak, std::abs(reference[i]));
    squares += (reference[i] - value[i]) * (reference[i] - value[i]);
  }
  return 20 * std::log10(peak / std::sqrt(squares / static_cast<double>(reference.size())));
}

} // namespace sdopt::testing

#endif // SDOPT_TESTS_KERNELS_RANDOMCODES_H
