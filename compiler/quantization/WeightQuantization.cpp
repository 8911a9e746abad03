//===- WeightQuantization.cpp - int8 codes and a scale per channel -----------===//

#include "compiler/quantization/WeightQuantization.h"

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/TargetClones.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace sdopt {

namespace {

constexpr int kLanes = 16;
constexpr int kBlock = 256;
constexpr int kSmallestPercent = 30;

// Magnitudes of floats are ordered as their bits without the sign; what is not finite lies above.
constexpr uint32_t kMagnitudeBits = 0x7fffffff;
constexpr uint32_t kInfinity = 0x7f800000;

SDOPT_CLONES uint32_t largestBits(const float *weights, size_t count) {
  uint32_t largest = 0;
  for (size_t i = 0; i < count; ++i)
    largest = std::max(largest, std::bit_cast<uint32_t>(weights[i]) & kMagnitudeBits);
  return largest;
}

float largestMagnitude(std::span<const float> weights) {
  return std::bit_cast<float>(largestBits(weights.data(), weights.size()));
}

float candidateScale(float largest, int percent) {
  return largest * static_cast<float>(percent) / 100.0f / 127.0f;
}

using Lanes __attribute__((vector_size(kLanes * sizeof(float)))) = float;
using LaneCodes __attribute__((vector_size(kLanes * sizeof(int32_t)))) = int32_t;

inline __attribute__((always_inline)) void addErrors(const float *weights, float reciprocal,
                                                     Lanes *sums) {
  Lanes lanes;
  std::memcpy(&lanes, weights, sizeof(lanes));
  Lanes value = lanes * reciprocal;
  Lanes clamped = value < -127.0f ? Lanes{} - 127.0f : value;
  clamped = clamped > 127.0f ? Lanes{} + 127.0f : clamped;
  LaneCodes code = __builtin_convertvector(clamped + 128.5f, LaneCodes) - 128;
  Lanes error = value - __builtin_convertvector(code, Lanes);
  *sums += error * error;
}

/// Squared error of `count` <= kBlock weights, in units of the squared scale.
SDOPT_CLONES double blockError(const float *weights, size_t count, float reciprocal) {
  Lanes sums{};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    addErrors(weights + i, reciprocal, &sums);
  if (i < count) {
    std::array<float, kLanes> tail{};
    std::copy(weights + i, weights + count, tail.begin());
    addErrors(tail.data(), reciprocal, &sums);
  }
  double total = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    total += sums[lane];
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

/// Weights whose rounding errors are made to cancel.
int64_t groupSize(const Shape &shape, int64_t axis, int64_t channelSize) {
  int64_t taps = shape.size() == 4 && axis == 0 ? shape[2] * shape[3] : 1;
  return taps > 1 ? taps : channelSize;
}

bool isFinite(std::span<const float> weights) {
  return largestBits(weights.data(), weights.size()) < kInfinity;
}

int64_t findNonFinite(std::span<const float> weights) {
  if (isFinite(weights))
    return -1;
  auto found =
      std::find_if(weights.begin(), weights.end(), [](float w) { return !std::isfinite(w); });
  return found - weights.begin();
}

/// Codes, and what they leave: weight / scale - code.
SDOPT_CLONES void roundWeights(const float *__restrict weights, size_t count, double scale,
                               int8_t *__restrict codes, double *__restrict errors) {
  for (size_t i = 0; i < count; ++i) {
    double value = static_cast<double>(weights[i]) / scale;
    double clamped = value < -127.0 ? -127.0 : value;
    clamped = clamped > 127.0 ? 127.0 : clamped;
    int32_t code = static_cast<int32_t>(clamped + 128.5) - 128;
    codes[i] = static_cast<int8_t>(code);
    errors[i] = value - code;
  }
}

/// So many weights a kernel has at most whose errors are balanced one by one.
constexpr size_t kFew = 16;

/// The `steps` largest errors of a kernel's few weights, one after the other.
void moveOneByOne(std::span<double> errors, std::span<int8_t> codes, int direction, size_t steps) {
  for (; steps > 0; --steps) {
    double largest = 0;
    size_t chosen = errors.size();
    for (size_t i = 0; i < errors.size(); ++i)
      if (direction * errors[i] > largest && std::abs(codes[i]) < 127) {
        largest = direction * errors[i];
        chosen = i;
      }
    if (chosen == errors.size())
      return;
    codes[chosen] = static_cast<int8_t>(codes[chosen] + direction);
    errors[chosen] = 0; // moved once at most
  }
}

constexpr size_t kSums = 8;

/// A kernel's few in order; of more, every eighth together.
SDOPT_CLONES double sumOf(const double *errors, size_t count) {
  std::array<double, kSums> sums{};
  size_t i = 0;
  if (count > kFew)
    for (; i + kSums <= count; i += kSums)
      for (size_t lane = 0; lane < kSums; ++lane)
        sums[lane] += errors[i + lane];
  for (size_t lane = 0; i<count; ++i, lane += count> kFew)
    sums[lane] += errors[i];
  double sum = 0;
  for (double part : sums)
    sum += part;
  return sum;
}

/// balanceCodes() on errors that are known, which it may change. `order` is scratch memory.
void balance(std::span<double> errors, std::span<int8_t> codes, std::vector<size_t> &order) {
  const double sum = sumOf(errors.data(), errors.size());
  if (std::fabs(sum) < 0.5)
    return;
  int direction = sum > 0 ? 1 : -1;
  auto steps = static_cast<size_t>(std::llround(std::fabs(sum)));
  if (errors.size() <= kFew)
    return moveOneByOne(errors, codes, direction, steps);
  auto collect = [&](double above) {
    order.clear();
    for (size_t i = 0; i < errors.size(); ++i)
      if (direction * errors[i] > above && std::abs(codes[i]) < 127)
        order.push_back(i);
  };
  // Errors are spread evenly within half a code, so that few of them can be among the largest.
  double share = static_cast<double>(steps) / static_cast<double>(errors.size());
  collect(std::max(0.0, 0.5 - 2 * share));
  if (order.size() < steps)
    collect(0);
  steps = std::min(steps, order.size());
  std::nth_element(order.begin(), order.begin() + static_cast<int64_t>(steps), order.end(),
                   [&](size_t a, size_t b) {
                     double first = direction * errors[a], second = direction * errors[b];
                     return first != second ? first > second : a < b;
                   });
  for (size_t i = 0; i < steps; ++i)
    codes[order[i]] = static_cast<int8_t>(codes[order[i]] + direction);
}

constexpr int64_t kKernels = 8;
using Doubles __attribute__((vector_size(kKernels * sizeof(double)))) = double;
using Longs __attribute__((vector_size(kKernels * sizeof(int64_t)))) = int64_t;

/// balance() of kKernels kernels side by side, of which no code is -127 or 127.
SDOPT_CLONES void balanceKernels(const double *errors, int64_t taps, int8_t *codes) {
  std::array<Doubles, kFew> error;
  Doubles sum{};
  for (int64_t t = 0; t < taps; ++t) {
    for (int64_t kernel = 0; kernel < kKernels; ++kernel)
      error[t][kernel] = errors[kernel * taps + t];
    sum += error[t];
  }
  const Doubles size = sum < 0.0 ? -sum : sum;
  const Doubles direction = sum > 0.0 ? Doubles{} + 1.0 : Doubles{} - 1.0;
  Longs steps = size < 0.5 ? Longs{} : __builtin_convertvector(size + 0.5, Longs);
  for (bool again = true; again;) {
    Doubles largest{};
    Longs chosen = Longs{} - 1;
    for (int64_t t = 0; t < taps; ++t) {
      const Doubles along = direction * error[t];
      const Longs isLarger = along > largest;
      largest = isLarger ? along : largest;
      chosen = isLarger ? Longs{} + t : chosen;
    }
    chosen = steps > 0 ? chosen : Longs{} - 1;
    steps = chosen < 0 ? Longs{} : steps - 1;
    again = false;
    for (int64_t kernel = 0; kernel < kKernels; ++kernel) {
      again |= steps[kernel] > 0;
      if (chosen[kernel] < 0)
        continue;
      int8_t &code = codes[kernel * taps + chosen[kernel]];
      code = static_cast<int8_t>(code + (direction[kernel] > 0 ? 1 : -1));
    }
    for (int64_t t = 0; t < taps; ++t) // moved once at most
      error[t] = chosen == t ? Doubles{} : error[t];
  }
}

SDOPT_CLONES bool anyAtLimit(const int8_t *codes, int64_t count) {
  int limits = 0;
  for (int64_t i = 0; i < count; ++i)
    limits += std::abs(codes[i]) == 127;
  return limits > 0;
}

/// What the codes of a channel lack, weighted by the mean of each weight's input.
SDOPT_CLONES float correctionOf(const float *__restrict weights, const int8_t *__restrict codes,
                                const double *__restrict means, size_t count, double scale) {
  std::array<double, kSums> sums{};
  size_t i = 0;
  for (; i + kSums <= count; i += kSums)
    for (size_t lane = 0; lane < kSums; ++lane)
      sums[lane] += (weights[i + lane] - scale * codes[i + lane]) * means[i + lane];
  for (size_t lane = 0; i < count; ++i, ++lane)
    sums[lane] += (weights[i] - scale * codes[i]) * means[i];
  double sum = 0;
  for (double part : sums)
    sum += part;
  return static_cast<float>(sum);
}

/// Scratch memory of one thread.
struct Scratch {
  std::vector<float> weights;
  std::vector<int8_t> codes;
  std::vector<double> errors;
  std::vector<size_t> order;
};

/// Channels that are moved together, so that what lies side by side is read and written at once.
constexpr int64_t kChannelBlock = 32;

/// Copies between [outer][channels][inner] and [block][outer][inner], for `count` channels.
template <typename T>
void moveChannels(const ChannelLayout &layout, int64_t count, T *all, T *block, bool gather) {
  for (int64_t o = 0; o < layout.outer; ++o)
    for (int64_t c = 0; c < count; ++c) {
      T *strided = all + (o * layout.channels + c) * layout.inner;
      T *dense = block + (c * layout.outer + o) * layout.inner;
      gather ? std::copy_n(strided, layout.inner, dense)
             : std::copy_n(dense, layout.inner, strided);
    }
}

/// One channel whose elements are dense.
void quantizeDense(std::span<const float> weights, int64_t group, float scale,
                   std::span<int8_t> codes, Scratch &scratch) {
  scratch.errors.resize(weights.size());
  roundWeights(weights.data(), weights.size(), scale, codes.data(), scratch.errors.data());
  size_t first = 0;
  const auto together = static_cast<size_t>(kKernels * group);
  if (group <= static_cast<int64_t>(kFew))
    for (; first + together <= weights.size(); first += together) {
      if (anyAtLimit(codes.data() + first, kKernels * group))
        for (size_t i = first; i < first + together; i += group)
          balance(std::span(scratch.errors).subspan(i, group), codes.subspan(i, group),
                  scratch.order);
      else
        balanceKernels(scratch.errors.data() + first, group, codes.data() + first);
    }
  for (; first < weights.size(); first += group)
    balance(std::span(scratch.errors).subspan(first, group), codes.subspan(first, group),
            scratch.order);
}

} // namespace

std::vector<double> weightMeans(const Tensor &means, int64_t channelSize) {
  std::vector<double> all;
  all.reserve(channelSize);
  for (float mean : means.values<float>())
    all.insert(all.end(), channelSize / means.size(), mean);
  return all;
}

float weightCorrection(std::span<const float> weights, std::span<const int8_t> decoded,
                       std::span<const double> means, double scale) {
  return correctionOf(weights.data(), decoded.data(), means.data(), weights.size(), scale);
}

int64_t firstNonFiniteWeight(const Tensor &weights) {
  return findNonFinite(weights.values<float>());
}

Tensor commonWeightScale(const Tensor &weights, int64_t axis, RangeEstimator range) {
  Tensor scales(ElementType::F32, {weights.dim(axis)});
  std::ranges::fill(scales.mutableValues<float>(), weightScale(weights.values<float>(), range));
  return scales;
}

float weightScale(std::span<const float> weights, RangeEstimator range) {
  float largest = largestMagnitude(weights);
  float scale = candidateScale(largest, 100);
  // The smallest candidate must have a finite reciprocal.
  if (candidateScale(largest, kSmallestPercent) < std::numeric_limits<float>::min())
    return scale < std::numeric_limits<float>::min() ? 1.0f : scale;
  return range == RangeEstimator::MSE ? leastErrorScale(weights, largest) : scale;
}

void quantizeChannel(std::span<const float> weights, float scale, std::span<int8_t> codes) {
  std::vector<double> errors(weights.size());
  roundWeights(weights.data(), weights.size(), scale, codes.data(), errors.data());
}

void balanceCodes(std::span<const float> weights, float scale, std::span<int8_t> codes) {
  std::vector<double> errors(weights.size());
  std::vector<size_t> order;
  for (size_t i = 0; i < weights.size(); ++i)
    errors[i] = static_cast<double>(weights[i]) / scale - codes[i];
  balance(errors, codes, order);
}

QuantizedWeights quantizeWeights(const Tensor &weights, int64_t axis, RangeEstimator range,
                                 const Tensor *knownScales, const Tensor *means) {
  std::span<const float> values = weights.values<float>();
  ChannelLayout layout = channelLayout(weights.shape(), axis);
  QuantizedWeights result{.codes = Tensor(ElementType::I8, weights.shape()),
                          .scales = Tensor(ElementType::F32, {layout.channels})};
  int8_t *codes = result.codes.mutableValues<int8_t>().data();
  float *scales = result.scales.mutableValues<float>().data();
  int64_t channelSize = layout.outer * layout.inner;
  int64_t group = groupSize(weights.shape(), axis, channelSize);
  bool dense = layout.outer == 1;
  float *corrections = nullptr;
  std::vector<double> meanOfWeight;
  if (means && channelSize > 0) {
    result.correction = Tensor(ElementType::F32, {layout.channels});
    corrections = result.correction.mutableValues<float>().data();
    meanOfWeight = weightMeans(*means, channelSize);
  }
  int64_t blocks = (layout.channels + kChannelBlock - 1) / kChannelBlock;
  std::vector<Scratch> scratches(kernelThreads());
  std::atomic<bool> areFinite = true;
  parallelFor(blocks, [&](int64_t block, int thread) {
    Scratch &scratch = scratches[thread];
    if (!dense) {
      scratch.weights.resize(kChannelBlock * channelSize);
      scratch.codes.resize(kChannelBlock * channelSize);
    }
    int64_t first = block * kChannelBlock;
    int64_t count = std::min(kChannelBlock, layout.channels - first);
    auto *from = const_cast<float *>(values.data()) + first * layout.inner;
    int8_t *to = codes + first * layout.inner;
    if (!dense)
      moveChannels(layout, count, from, scratch.weights.data(), /*gather=*/true);
    for (int64_t c = 0; c < count; ++c) {
      const float *channel = (dense ? from : scratch.weights.data()) + c * channelSize;
      int8_t *coded = (dense ? to : scratch.codes.data()) + c * channelSize;
      std::span<const float> weightsOfChannel(channel, static_cast<size_t>(channelSize));
      if (!isFinite(weightsOfChannel)) {
        areFinite = false;
        continue;
      }
      scales[first + c] = knownScales ? knownScales->values<float>()[first + c]
                                      : weightScale(weightsOfChannel, range);
      quantizeDense(weightsOfChannel, group, scales[first + c],
                    {coded, static_cast<size_t>(channelSize)}, scratch);
      if (corrections)
        corrections[first + c] = weightCorrection(
            weightsOfChannel, {coded, weightsOfChannel.size()}, meanOfWeight, scales[first + c]);
    }
    if (!dense)
      moveChannels(layout, count, to, scratch.codes.data(), /*gather=*/false);
  });
  if (!areFinite)
    result.firstNonFinite = findNonFinite(values);
  return result;
}

} // namespace sdopt
