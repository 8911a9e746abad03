//===- Masks.cpp - which weights become zero ---------------------------------===//

#include "compiler/prune/Masks.h"

#include "compiler/kernels/KernelThreads.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace sdopt {

namespace {

constexpr uint32_t kMagnitudeBits = 0x7fffffff;
constexpr int kLowBits = 16;

struct WeightShape {
  explicit WeightShape(const Tensor &weights)
      : outputs(weights.dim(0)), inputs(weights.dim(1)),
        taps(weights.rank() == 4 ? weights.dim(2) * weights.dim(3) : 1) {}
  int64_t row() const { return inputs * taps; }

  int64_t outputs, inputs, taps;
};

/// Scores of one output channel, in the order of its weights.
void scoreRow(const float *weights, const WeightShape &shape, std::span<const double> power,
              std::span<double> scores) {
  for (int64_t i = 0; i < shape.inputs; ++i)
    for (int64_t tap = 0; tap < shape.taps; ++tap) {
      const double norm = power.empty() ? 1.0 : std::sqrt(power[tap * shape.inputs + i]);
      const int64_t at = i * shape.taps + tap;
      scores[at] = std::fabs(static_cast<double>(weights[at])) * norm;
    }
}

/// Keeps at most `kept` of each run of a row.
void markRuns(std::span<const double> scores, const WeightShape &shape, const Sparsity &sparsity,
              std::span<uint8_t> kept) {
  std::array<double, kLargestPattern> run;
  std::array<uint8_t, kLargestPattern> stays;
  for (int64_t tap = 0; tap < shape.taps; ++tap)
    for (int64_t first = 0; first < shape.inputs; first += sparsity.group) {
      const int64_t count = std::min<int64_t>(sparsity.group, shape.inputs - first);
      for (int64_t i = 0; i < count; ++i)
        run[i] = scores[(first + i) * shape.taps + tap];
      markLowest({run.data(), static_cast<size_t>(count)},
                 std::max<int64_t>(0, count - sparsity.kept),
                 {stays.data(), static_cast<size_t>(count)});
      for (int64_t i = 0; i < count; ++i)
        kept[(first + i) * shape.taps + tap] = stays[i];
    }
}

/// Calls body(scores, kept) for each output channel.
template <typename Body>
Mask markRows(const Tensor &weights, std::span<const double> power, Body body) {
  const WeightShape shape(weights);
  Mask kept(static_cast<size_t>(weights.size()));
  parallelFor(shape.outputs, [&](int64_t o, int) {
    std::vector<double> scores(static_cast<size_t>(shape.row()));
    scoreRow(weights.values<float>().data() + o * shape.row(), shape, power, scores);
    body(o, scores, std::span(kept).subspan(o * shape.row(), shape.row()));
  });
  return kept;
}

Mask rowMask(const Tensor &weights, std::span<const double> power, const Sparsity &sparsity) {
  const WeightShape shape(weights);
  return markRows(weights, power,
                  [&](int64_t, std::span<const double> scores, std::span<uint8_t> kept) {
                    if (sparsity.hasPattern())
                      markRuns(scores, shape, sparsity, kept);
                    else
                      markLowest(scores, zeroCount(sparsity.fraction, shape.row()), kept);
                  });
}

uint32_t magnitudeBits(float weight) { return std::bit_cast<uint32_t>(weight) & kMagnitudeBits; }

/// Bin of the `rank`-th smallest of what a histogram counts; `rank` becomes its rank in the bin.
size_t binOf(const std::vector<int64_t> &histogram, int64_t &rank) {
  size_t bin = 0;
  for (; bin + 1 < histogram.size() && rank >= histogram[bin]; ++bin)
    rank -= histogram[bin];
  return bin;
}

/// For each output channel the sums of its lowest 1, 2, ... scores.
class ScoreSums {
public:
  ScoreSums(const Tensor &weights, std::span<const double> power) : shape_(weights) {
    sums_.resize(static_cast<size_t>(weights.size()));
    markRows(weights, power, [&](int64_t o, std::span<double> scores, std::span<uint8_t>) {
      std::ranges::sort(scores);
      std::partial_sum(scores.begin(), scores.end(), sums_.begin() + o * shape_.row());
    });
  }

  /// Zeros of a channel whose lowest scores may add up to `share` of all.
  int64_t zeros(int64_t output, double share) const {
    auto row = std::span(sums_).subspan(output * shape_.row(), shape_.row());
    return row.empty() ? 0
                       : std::upper_bound(row.begin(), row.end(), share * row.back()) - row.begin();
  }

  double fraction(double share) const {
    int64_t total = 0;
    for (int64_t o = 0; o < shape_.outputs; ++o)
      total += zeros(o, share);
    return static_cast<double>(total) / static_cast<double>(std::max<size_t>(1, sums_.size()));
  }

private:
  WeightShape shape_;
  std::vector<double> sums_;
};

} // namespace

int64_t zeroCount(double fraction, int64_t count) {
  return static_cast<int64_t>(std::floor(fraction * static_cast<double>(count)));
}

void markLowest(std::span<const double> scores, int64_t zeros, std::span<uint8_t> kept) {
  std::ranges::fill(kept, uint8_t(1));
  if (zeros <= 0)
    return;
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), int64_t(0));
  if (zeros < static_cast<int64_t>(order.size()))
    std::nth_element(order.begin(), order.begin() + zeros, order.end(), [&](int64_t a, int64_t b) {
      return scores[a] != scores[b] ? scores[a] < scores[b] : a < b;
    });
  for (int64_t i = 0; i < zeros; ++i)
    kept[order[i]] = 0;
}

Mask wandaMask(const Tensor &weights, std::span<const double> power, const Sparsity &sparsity) {
  return rowMask(weights, power, sparsity);
}

Mask wandaLayerMask(const Tensor &weights, std::span<const double> power, double fraction) {
  constexpr int kDigit = 16;
  const WeightShape shape(weights);
  std::vector<double> scores(static_cast<size_t>(shape.row()));
  const auto forEach = [&](const auto &body) {
    for (int64_t o = 0; o < shape.outputs; ++o) {
      scoreRow(weights.values<float>().data() + o * shape.row(), shape, power, scores);
      for (double score : scores)
        body(std::bit_cast<uint64_t>(score)); // in the order of the scores, none being negative
    }
  };
  int64_t rank = zeroCount(fraction, weights.size());
  uint64_t threshold = 0, known = 0; // digit by digit, so that scores need not be kept
  for (int shift = 64 - kDigit; shift >= 0; shift -= kDigit) {
    std::vector<int64_t> histogram(size_t(1) << kDigit);
    forEach([&](uint64_t bits) {
      if ((bits & known) == threshold)
        ++histogram[bits >> shift & (histogram.size() - 1)];
    });
    threshold |= static_cast<uint64_t>(binOf(histogram, rank)) << shift;
    known |= static_cast<uint64_t>(histogram.size() - 1) << shift;
  }
  Mask kept;
  kept.reserve(static_cast<size_t>(weights.size()));
  forEach([&](uint64_t bits) {
    kept.push_back(bits > threshold || (bits == threshold && rank-- <= 0));
  });
  return kept;
}

Mask magnitudeMask(const Tensor &weights, const Sparsity &sparsity) {
  return rowMask(weights, {}, sparsity);
}

Mask thresholdSearchMask(const Tensor &weights, std::span<const double> power, double fraction) {
  constexpr double kTolerance = 0.001;
  const ScoreSums sums(weights, power);
  // The published search begins at 0.4 between 0 and 0.8.
  double least = 0, most = 0.8, share = 0.4;
  double reached = sums.fraction(share);
  while (std::fabs(reached - fraction) > kTolerance && most - least >= kTolerance) {
    (reached > fraction ? most : least) = share;
    share = (least + most) / 2;
    reached = sums.fraction(share);
  }
  return markRows(weights, power,
                  [&](int64_t o, std::span<const double> scores, std::span<uint8_t> kept) {
                    markLowest(scores, sums.zeros(o, share), kept);
                  });
}

void MagnitudeThreshold::add(const Tensor &weights, double fraction) {
  zeros_ += zeroCount(fraction, weights.size());
  for (float weight : weights.values<float>())
    ++high_[magnitudeBits(weight) >> kLowBits];
}

void MagnitudeThreshold::refine(const Tensor &weights) {
  if (low_.empty()) {
    low_.resize(size_t(1) << kLowBits);
    equal_ = zeros_;
    threshold_ = static_cast<uint32_t>(binOf(high_, equal_)) << kLowBits;
  }
  for (float weight : weights.values<float>())
    if (const uint32_t bits = magnitudeBits(weight); bits >> kLowBits == threshold_ >> kLowBits)
      ++low_[bits & ((1u << kLowBits) - 1)];
}

Mask MagnitudeThreshold::mask(const Tensor &weights) {
  if (!std::exchange(complete_, true))
    threshold_ |= static_cast<uint32_t>(binOf(low_, equal_));
  Mask kept;
  kept.reserve(static_cast<size_t>(weights.size()));
  for (float weight : weights.values<float>()) {
    const uint32_t bits = magnitudeBits(weight);
    kept.push_back(bits > threshold_ || (bits == threshold_ && equal_-- <= 0));
  }
  return kept;
}

Tensor packMask(const Mask &kept) {
  Tensor packed(ElementType::I8, {static_cast<int64_t>((kept.size() + 7) / 8)});
  std::span<int8_t> bytes = packed.mutableValues<int8_t>();
  for (size_t i = 0; i < kept.size(); ++i)
    bytes[i / 8] = static_cast<int8_t>(bytes[i / 8] | (kept[i] << (i % 8)));
  return packed;
}

Mask unpackMask(const Tensor &packed, int64_t count) {
  Mask kept(static_cast<size_t>(count));
  const int8_t *bytes = packed.values<int8_t>().data();
  for (int64_t i = 0; i < count; ++i)
    kept[i] = (static_cast<uint8_t>(bytes[i / 8]) >> (i % 8)) & 1;
  return kept;
}

Tensor prunedWeights(const Tensor &weights, const Tensor &packed) {
  Tensor result(ElementType::F32, weights.shape());
  const float *from = weights.values<float>().data();
  const int8_t *bytes = packed.values<int8_t>().data();
  float *to = result.mutableValues<float>().data();
  for (int64_t i = 0; i < weights.size(); ++i)
    to[i] = (static_cast<uint8_t>(bytes[i / 8]) >> (i % 8)) & 1 ? from[i] : 0.0f;
  return result;
}

Mask nonZeros(const Tensor &weights) {
  Mask kept;
  kept.reserve(static_cast<size_t>(weights.size()));
  for (float weight : weights.values<float>())
    kept.push_back(weight != 0);
  return kept;
}

int64_t zerosOf(const Mask &kept) { return std::ranges::count(kept, uint8_t(0)); }

} // namespace sdopt
