//===- WeightedPoints.cpp - numbers on a line, and what they weigh ------------===//

#include "compiler/share/WeightedPoints.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sdopt {

namespace {

constexpr size_t kHalves = 1 << 16;
constexpr int32_t kHalfSign = 1 << 15, kInfinity = 0x7c00;
constexpr uint32_t kDroppedBits = 0x1fff; ///< of a float's fraction that a half lacks
constexpr int kExponentShift = 13;
constexpr uint32_t kLeastNormal = 113u << 23, kBehindNormal = 143u << 23;
constexpr uint32_t kExponentOffset = 112u << 10; ///< bias of a float above that of a half
constexpr float kLeastSubnormal = 0x1p-24f;
constexpr float kSubnormals = 1024;

/// Bits of the half that is equal to `number`, or -1.
inline int32_t equalHalf(float number) {
  const auto bits = std::bit_cast<uint32_t>(number);
  const uint32_t magnitude = bits & 0x7fffffff;
  const auto sign = static_cast<int32_t>(bits >> 16) & kHalfSign;
  if (magnitude >= kLeastNormal && magnitude < kBehindNormal)
    return magnitude & kDroppedBits
               ? -1
               : sign | static_cast<int32_t>((magnitude >> kExponentShift) - kExponentOffset);
  const float steps = std::bit_cast<float>(magnitude) / kLeastSubnormal;
  if (!(steps < kSubnormals) || steps != std::floor(steps))
    return -1;
  return sign | static_cast<int32_t>(steps);
}

/// A finite half by its bits.
double halfValue(int32_t bits) {
  const int32_t exponent = (bits & kInfinity) >> 10, fraction = bits & 0x3ff;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return bits & kHalfSign ? -magnitude : magnitude;
}

} // namespace

void WeightedPoints::append(double weight, double sum, double squares) {
  const Sums last = sums_.back();
  sums_.push_back({last.weight + weight, last.sum + sum, last.squares + squares});
}

WeightedPoints WeightedPoints::mirrored(int64_t first, int64_t last) const {
  WeightedPoints points;
  points.sums_.reserve(static_cast<size_t>(last - first + 1));
  for (int64_t i = last; i > first; --i)
    points.append(sums_[i].weight - sums_[i - 1].weight, sums_[i - 1].sum - sums_[i].sum,
                  sums_[i].squares - sums_[i - 1].squares);
  return points;
}

PointCollector::PointCollector() : halves_(kHalves, 0.0) {}

void PointCollector::add(std::span<const float> numbers, std::span<const float> weights) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    const float weight = weights.empty() ? 1.0f : weights[i];
    if (const int32_t half = equalHalf(numbers[i]); half >= 0)
      halves_[static_cast<size_t>(half)] += weight;
    else if (weight > 0)
      others_.emplace_back(numbers[i], weight);
  }
}

WeightedPoints PointCollector::take() {
  std::ranges::sort(others_);
  WeightedPoints points;
  size_t next = 0;
  const auto appendNumber = [&](double number, double weight) {
    if (weight > 0)
      points.append(weight, weight * number, weight * number * number);
  };
  const auto appendOthers = [&](double below) {
    while (next < others_.size() && others_[next].first < below) {
      const float number = others_[next].first;
      double weight = 0;
      for (; next < others_.size() && others_[next].first == number; ++next)
        weight += others_[next].second;
      appendNumber(number, weight);
    }
  };
  const auto appendHalf = [&](int32_t bits, double weight) {
    if (weight <= 0)
      return;
    appendOthers(halfValue(bits));
    appendNumber(halfValue(bits), weight);
  };
  for (int32_t magnitude = kInfinity - 1; magnitude > 0; --magnitude)
    appendHalf(kHalfSign | magnitude, halves_[kHalfSign | magnitude]);
  appendHalf(0, halves_[0] + halves_[kHalfSign]);
  for (int32_t magnitude = 1; magnitude < kInfinity; ++magnitude)
    appendHalf(magnitude, halves_[magnitude]);
  appendOthers(HUGE_VAL);
  halves_.assign(kHalves, 0.0);
  others_ = {};
  return points;
}

} // namespace sdopt
