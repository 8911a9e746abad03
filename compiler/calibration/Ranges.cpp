//===- Ranges.cpp - from statistics to codes --------------------------------===//

#include "compiler/calibration/Ranges.h"

#include "compiler/kernels/IntegerKernels.h"

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
  for (int i = 0; i < histogram.bins() && error <= best; ++i) {
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

/// The elements of a histogram in [low, high], whole bins.
struct Inside {
  int first = 0, last = -1; ///< bins
};

Inside binsInside(const Histogram &histogram, Extremes range) {
  Inside inside{histogram.bins(), -1};
  for (int i = 0; i < histogram.bins(); ++i)
    if (histogram.counts()[i] > 0 && histogram.center(i) >= range.low &&
        histogram.center(i) <= range.high) {
      inside.first = std::min(inside.first, i);
      inside.last = i;
    }
  return inside;
}

/// At most `part` of the elements are outside on each side, or of the magnitudes if `symmetric`.
Extremes percentile(const Histogram &histogram, Extremes all, double percent, bool symmetric) {
  uint64_t total = 0;
  for (uint64_t count : histogram.counts())
    total += count;
  double part = (100 - percent) / 100, allowed = static_cast<double>(total) * part / 2;
  if (symmetric)
    allowed *= 2;
  int low = 0, high = histogram.bins() - 1;
  uint64_t below = 0, above = 0;
  if (symmetric) {
    // Bins -1 - i and i hold the magnitudes from i to i + 1 bins.
    while (low < high) {
      below += histogram.counts()[low] + histogram.counts()[high];
      if (static_cast<double>(below) > allowed)
        break;
      ++low;
      --high;
    }
  } else {
    while (low < high && static_cast<double>(below += histogram.counts()[low]) <= allowed)
      ++low;
    while (high > low && static_cast<double>(above += histogram.counts()[high]) <= allowed)
      --high;
  }
  return {std::clamp(histogram.edge(low), all.low, 0.0),
          std::clamp(histogram.edge(high + 1), 0.0, all.high)};
}

/// KL(P || Q) of what `codes` levels in the range keep; see Ranges.h.
double divergence(const Histogram &histogram, Extremes range, double codes, double total) {
  Inside inside = binsInside(histogram, range);
  if (inside.first > inside.last)
    return std::numeric_limits<double>::infinity();
  const std::vector<uint64_t> &counts = histogram.counts();
  double below = 0, above = 0;
  for (int i = 0; i < inside.first; ++i)
    below += static_cast<double>(counts[i]);
  for (int i = inside.last + 1; i < histogram.bins(); ++i)
    above += static_cast<double>(counts[i]);
  double kept = total - below - above, sum = 0, step = (range.high - range.low) / codes;
  auto level = [&](int bin) {
    return std::floor((histogram.center(bin) - range.low) / step + 0.5);
  };
  for (int first = inside.first; first <= inside.last;) {
    int end = first, filled = 0;
    double mass = 0;
    for (; end <= inside.last && level(end) == level(first); ++end) {
      mass += static_cast<double>(counts[end]);
      filled += counts[end] > 0;
    }
    for (int i = first; i < end; ++i) {
      if (counts[i] == 0)
        continue;
      double p = static_cast<double>(counts[i]) + (i == inside.first ? below : 0) +
                 (i == inside.last ? above : 0);
      double q = mass / filled;
      sum += p / total * deterministicLog2(p / total / (q / kept));
    }
    first = end;
  }
  return sum;
}

Extremes leastDivergence(const Histogram &histogram, Extremes all, double codes) {
  constexpr int kSmallestPercent = 20;
  double total = 0, best = std::numeric_limits<double>::infinity();
  for (uint64_t count : histogram.counts())
    total += static_cast<double>(count);
  Extremes chosen = all;
  for (int percent = 100; percent >= kSmallestPercent; --percent) {
    Extremes range{all.low * percent / 100, all.high * percent / 100};
    double found = divergence(histogram, range, codes, total);
    if (found < best) {
      best = found;
      chosen = range;
    }
  }
  return chosen;
}

/// [low, high] includes zero; symmetric codes want low = -high.
Extremes estimated(const ValueStatistics &statistics, Extremes all, const ActivationRange &range,
                   double codes, bool symmetric) {
  const Histogram &histogram = statistics.histogram;
  bool known = std::any_of(histogram.counts().begin(), histogram.counts().end(),
                           [](uint64_t count) { return count > 0; });
  if (!known)
    return all;
  Extremes found = all;
  switch (range.estimator) {
  case ActivationEstimator::MinMax:
    return all;
  case ActivationEstimator::MSE:
    return leastError(histogram, all, codes, symmetric);
  case ActivationEstimator::Entropy:
    return leastDivergence(histogram, all, codes);
  case ActivationEstimator::MovingAverage:
    found = {std::clamp(statistics.moving.min, all.low, 0.0),
             std::clamp(statistics.moving.max, 0.0, all.high)};
    break;
  case ActivationEstimator::Percentile:
    found = percentile(histogram, all, range.percentile, symmetric);
    break;
  }
  if (symmetric) {
    found.high = std::max(found.high, -found.low);
    found.low = -found.high;
  }
  return found;
}

} // namespace

CodeRange chooseRange(const ValueStatistics &statistics, const ActivationRange &estimator, int bits,
                      bool symmetric) {
  Extremes range{std::min(0.0, static_cast<double>(statistics.min)),
                 std::max(0.0, static_cast<double>(statistics.max))};
  // Symmetric codes use -(2^(bits-1) - 1) ... 2^(bits-1) - 1.
  double codes = std::ldexp(1.0, bits) - (symmetric ? 2 : 1);
  if (symmetric) {
    range.high = std::max(range.high, -range.low);
    range.low = -range.high;
  }
  range = estimated(statistics, range, estimator, codes, symmetric);
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

CodeRange chooseRange(const ValueStatistics &statistics, const ActivationRange &estimator,
                      int bits) {
  return chooseRange(statistics, estimator, bits, /*symmetric=*/bits == 16);
}

} // namespace sdopt
