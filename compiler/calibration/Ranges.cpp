//===- Ranges.cpp - from statistics to codes --------------------------------===//

#include "compiler/calibration/Statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sdopt {

namespace {

constexpr int kStep = 5, kSmallest = 30;

/// Codes of 16 bits leave room for values that the samples did not reach: a clipped value costs far
/// more than half the resolution.
constexpr double kHeadroom = 2;

float scaleOf(double width, double codes) {
  float scale = static_cast<float>(width / codes);
  return scale < std::numeric_limits<float>::min() ? 1.0f : scale;
}

/// Expected squared error of codes for [low, high] with the given step.
double expectedError(const Histogram &histogram, double low, double high, double scale,
                     double best) {
  double error = 0, inside = scale * scale / 12;
  for (int i = 0; i < Histogram::kBins && error <= best; ++i) {
    uint64_t count = histogram.counts()[i];
    if (count == 0)
      continue;
    double x = histogram.center(i);
    double outside = x < low ? low - x : x > high ? x - high : 0;
    error += static_cast<double>(count) * (outside > 0 ? outside * outside : inside);
  }
  return error;
}

struct Extremes {
  double low = 0, high = 0;
};

/// Shrinks both ends by steps of 5 %; a symmetric range shrinks as a whole.
Extremes leastError(const Histogram &histogram, Extremes all, double codes, bool symmetric) {
  Extremes chosen = all;
  double best = std::numeric_limits<double>::infinity();
  for (int lowPercent = 100; lowPercent >= kSmallest; lowPercent -= kStep)
    for (int highPercent = 100; highPercent >= kSmallest; highPercent -= kStep) {
      if (symmetric && lowPercent != highPercent)
        continue;
      double low = all.low * lowPercent / 100, high = all.high * highPercent / 100;
      double error = expectedError(histogram, low, high, scaleOf(high - low, codes), best);
      if (error < best) {
        best = error;
        chosen = {low, high};
      }
    }
  return chosen;
}

} // namespace

CodeRange chooseRange(const ValueStatistics &statistics, RangeEstimator estimator, int bits,
                      bool symmetric) {
  Extremes range{std::min(0.0, static_cast<double>(statistics.min)),
                 std::max(0.0, static_cast<double>(statistics.max))};
  // Symmetric codes use -(2^(bits-1) - 1) ... 2^(bits-1) - 1.
  double codes = std::ldexp(1.0, bits) - (symmetric ? 2 : 1);
  if (symmetric) {
    range.high = std::max(range.high, -range.low);
    range.low = -range.high;
  }
  if (estimator == RangeEstimator::MSE)
    range = leastError(statistics.histogram, range, codes, symmetric);
  if (symmetric)
    range = {kHeadroom * range.low, kHeadroom * range.high};
  CodeRange result{.scale = scaleOf(range.high - range.low, codes)};
  if (!symmetric) {
    double smallest = -std::ldexp(1.0, bits - 1), largest = -smallest - 1;
    double zero = std::floor(smallest - range.low / result.scale + 0.5);
    result.zeroPoint = static_cast<int32_t>(std::clamp(zero, smallest, largest));
  }
  return result;
}

CodeRange chooseRange(const ValueStatistics &statistics, RangeEstimator estimator, int bits) {
  return chooseRange(statistics, estimator, bits, /*symmetric=*/bits == 16);
}

} // namespace sdopt
