//===- WeightQuantization.cpp - int8 codes and a scale per channel -----------===//

#include "compiler/reference/WeightQuantization.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

namespace sdopt {

namespace {

constexpr int kLanes = 16;
constexpr int kBlock = 256;
constexpr int kSmallestPercent = 30;

float largestMagnitude(std::span<const float> weights) {
  float largest = 0;
  for (float weight : weights)
    largest = std::max(largest, std::fabs(weight));
  return largest;
}

float candidateScale(float largest, int percent) {
  return largest * static_cast<float>(percent) / 100.0f / 127.0f;
}

/// Adds the squared errors of kLanes weights, in units of the squared scale. A loop of constant
/// length over memory that does not overlap becomes vector instructions.
void addErrors(const float *__restrict weights, float reciprocal, float *__restrict sums) {
  for (int i = 0; i < kLanes; ++i) {
    float v = weights[i] * reciprocal;
    float clamped = v < -127.0f ? -127.0f : v;
    clamped = clamped > 127.0f ? 127.0f : clamped;
    float error = v - static_cast<float>(static_cast<int32_t>(clamped + 128.5f) - 128);
    sums[i] += error * error;
  }
}

/// The same for `count` <= kBlock weights.
double blockError(const float *weights, size_t count, float reciprocal) {
  std::array<float, kLanes> sums{}, tail{};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    addErrors(weights + i, reciprocal, sums.data());
  if (i < count) {
    std::copy(weights + i, weights + count, tail.begin());
    addErrors(tail.data(), reciprocal, sums.data());
  }
  double total = 0;
  for (float sum : sums)
    total += sum;
  return total;
}

/// Squared error at `scale`, or anything above `best` as soon as it is above.
double squaredError(std::span<const float> weights, float scale, double best) {
  double unit = static_cast<double>(scale) * scale, total = 0;
  float reciprocal = 1.0f / scale;
  for (size_t i = 0; i < weights.size() && total * unit <= best; i += kBlock)
    total +=
        blockError(weights.data() + i, std::min<size_t>(kBlock, weights.size() - i), reciprocal);
  return total * unit;
}

/// What clipping alone costs: for each percent p of the largest magnitude, the sum of
/// (|w| - p% max)^2 over the weights above. It grows as p falls, so the search can stop early.
class ClippingError {
public:
  ClippingError(std::span<const float> weights, float largest) : largest_(largest) {
    float toPercent = 100.0f / largest;
    for (float weight : weights) {
      float magnitude = std::fabs(weight) * toPercent;
      if (magnitude < kSmallestPercent)
        continue;
      Moments &bin = bins_[std::min(static_cast<int>(magnitude), 100)];
      bin.count += 1;
      bin.sum += magnitude;
      bin.squares += static_cast<double>(magnitude) * magnitude;
    }
    for (int p = 99; p >= kSmallestPercent; --p) {
      bins_[p].count += bins_[p + 1].count;
      bins_[p].sum += bins_[p + 1].sum;
      bins_[p].squares += bins_[p + 1].squares;
    }
  }

  /// A lower bound, a little below the sum for the sake of rounding.
  double atLeast(int percent) const {
    const Moments &above = bins_[percent];
    double unit = static_cast<double>(largest_) / 100.0, p = percent;
    double sum = above.squares - 2 * p * above.sum + p * p * above.count;
    return (sum * 0.999 - 1e-6 * above.squares) * unit * unit;
  }

private:
  struct Moments {
    double count = 0, sum = 0, squares = 0;
  };
  float largest_;
  std::array<Moments, 101> bins_;
};

float leastErrorScale(std::span<const float> weights, float largest) {
  ClippingError clipping(weights, largest);
  double best = std::numeric_limits<double>::infinity();
  float bestScale = candidateScale(largest, 100);
  for (int percent = 100; percent >= kSmallestPercent; --percent) {
    if (clipping.atLeast(percent) > best)
      break;
    float scale = candidateScale(largest, percent);
    double error = squaredError(weights, scale, best);
    if (error < best) {
      best = error;
      bestScale = scale;
    }
  }
  return bestScale;
}

/// Strides of the channels along one axis: [outer][channels][inner].
struct ChannelLayout {
  int64_t outer = 1, channels = 1, inner = 1;
};

ChannelLayout channelLayout(const Shape &shape, int64_t axis) {
  ChannelLayout layout{.channels = shape[axis]};
  for (int64_t i = 0; i < static_cast<int64_t>(shape.size()); ++i)
    (i < axis ? layout.outer : layout.inner) *= i == axis ? 1 : shape[i];
  return layout;
}

template <typename T>
void moveChannel(const ChannelLayout &layout, int64_t channel, const T *from, int64_t fromStep,
                 T *to, int64_t toStep, bool gather) {
  for (int64_t o = 0; o < layout.outer; ++o) {
    const T *source = from + o * fromStep + (gather ? channel * layout.inner : 0);
    T *target = to + o * toStep + (gather ? 0 : channel * layout.inner);
    std::copy(source, source + layout.inner, target);
  }
}

/// Weights whose rounding errors are made to cancel.
int64_t groupSize(const Shape &shape, int64_t axis, int64_t channelSize) {
  int64_t taps = shape.size() == 4 && axis == 0 ? shape[2] * shape[3] : 1;
  return taps > 1 ? taps : channelSize;
}

int64_t findNonFinite(std::span<const float> weights) {
  for (size_t i = 0; i < weights.size(); ++i)
    if (!std::isfinite(weights[i]))
      return static_cast<int64_t>(i);
  return -1;
}

} // namespace

float weightScale(std::span<const float> weights, RangeEstimator range) {
  float largest = largestMagnitude(weights);
  float scale = candidateScale(largest, 100);
  // The smallest candidate must have a finite reciprocal.
  if (candidateScale(largest, kSmallestPercent) < std::numeric_limits<float>::min())
    return scale < std::numeric_limits<float>::min() ? 1.0f : scale;
  return range == RangeEstimator::MSE ? leastErrorScale(weights, largest) : scale;
}

void quantizeChannel(std::span<const float> weights, float scale, std::span<int8_t> codes) {
  double divisor = scale;
  for (size_t i = 0; i < weights.size(); ++i) {
    double value = std::clamp(static_cast<double>(weights[i]) / divisor, -127.0, 127.0);
    codes[i] = static_cast<int8_t>(static_cast<int32_t>(value + 128.5) - 128);
  }
}

void balanceCodes(std::span<const float> weights, float scale, std::span<int8_t> codes) {
  double divisor = scale, sum = 0;
  std::vector<double> errors(weights.size());
  for (size_t i = 0; i < weights.size(); ++i)
    sum += errors[i] = static_cast<double>(weights[i]) / divisor - codes[i];
  int direction = sum > 0 ? 1 : -1;
  for (auto steps = static_cast<int64_t>(std::fabs(sum) + 0.5); steps > 0; --steps) {
    double largest = 0;
    size_t chosen = weights.size();
    for (size_t i = 0; i < weights.size(); ++i)
      if (direction * errors[i] > largest && std::abs(codes[i]) < 127) {
        largest = direction * errors[i];
        chosen = i;
      }
    if (chosen == weights.size())
      return;
    codes[chosen] = static_cast<int8_t>(codes[chosen] + direction);
    errors[chosen] = 0; // moved once at most
  }
}

QuantizedWeights quantizeWeights(const Tensor &weights, int64_t axis, RangeEstimator range) {
  std::span<const float> values = weights.values<float>();
  ChannelLayout layout = channelLayout(weights.shape(), axis);
  QuantizedWeights result{.codes = Tensor(ElementType::I8, weights.shape()),
                          .scales = Tensor(ElementType::F32, {layout.channels}),
                          .firstNonFinite = findNonFinite(values)};
  if (result.firstNonFinite >= 0)
    return result;
  int8_t *codes = result.codes.mutableValues<int8_t>().data();
  int64_t channelSize = layout.outer * layout.inner, step = layout.channels * layout.inner;
  int64_t group = groupSize(weights.shape(), axis, channelSize);
  std::vector<float> gathered(layout.outer > 1 ? channelSize : 0);
  std::vector<int8_t> channelCodes(channelSize);
  for (int64_t c = 0; c < layout.channels; ++c) {
    std::span<const float> channel;
    if (layout.outer > 1) {
      moveChannel(layout, c, values.data(), step, gathered.data(), layout.inner, true);
      channel = gathered;
    } else {
      channel = values.subspan(c * channelSize, channelSize);
    }
    float scale = weightScale(channel, range);
    result.scales.mutableValues<float>()[c] = scale;
    quantizeChannel(channel, scale, channelCodes);
    for (int64_t first = 0; first < channelSize; first += group)
      balanceCodes(channel.subspan(first, group), scale,
                   std::span(channelCodes).subspan(first, group));
    moveChannel<int8_t>(layout, c, channelCodes.data(), layout.inner, codes, step, false);
  }
  return result;
}

} // namespace sdopt
