//===- NarrowWeights.cpp - codes of few bits and their groups ----------------===//

#include "compiler/quantization/NarrowWeights.h"

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/TargetClones.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

namespace sdopt {

int32_t widestGroupScale(const WeightForm &form) {
  if (!form.hasScales())
    return 1;
  return form.symmetric ? largestGroupScale(form.bits)
                        : std::min(kLargestGroupScale, 127 / ((1 << form.bits) - 1));
}

namespace {

constexpr int kLanes = 16;
using Lanes __attribute__((vector_size(kLanes * sizeof(float)))) = float;
using LaneCodes __attribute__((vector_size(kLanes * sizeof(int32_t)))) = int32_t;

/// Scales that are tried for one group.
constexpr int kMostTrials = 2 * kLargestGroupScale;

/// A scale and zero point for a group, as floats for the inner loop.
struct Trial {
  float reciprocal = 0, zero = 0; ///< of the step S * s
  int32_t scale = 1, zeroCode = 0;
};

/// Range of the codes.
struct Limits {
  explicit Limits(int64_t bits) : least(-(1 << (bits - 1))), most((1 << (bits - 1)) - 1) {}
  int32_t least, most;
};

/// Squared error of a group in units of the squared step, for each trial. The weights are a
/// multiple of kLanes, filled up with zeros, which cost nothing.
SDOPT_CLONES void trialErrors(const float *weights, int64_t count, const Trial *trials, int number,
                              Limits limits, float *errors) {
  const auto least = static_cast<float>(limits.least), most = static_cast<float>(limits.most);
  for (int t = 0; t < number; ++t) {
    Lanes sums{};
    for (int64_t i = 0; i < count; i += kLanes) {
      Lanes lanes;
      std::memcpy(&lanes, weights + i, sizeof(lanes));
      Lanes value = lanes * trials[t].reciprocal + trials[t].zero;
      Lanes clamped = value < least ? Lanes{} + least : value;
      clamped = clamped > most ? Lanes{} + most : clamped;
      LaneCodes code = __builtin_convertvector(clamped + (0.5f - least), LaneCodes);
      Lanes error = value - (__builtin_convertvector(code, Lanes) + least);
      sums += error * error;
    }
    float total = 0;
    for (int lane = 0; lane < kLanes; ++lane)
      total += sums[lane];
    errors[t] = total;
  }
}

/// How the weights of one channel are split into groups. Gathered weights lie group by group, each
/// filled up to a multiple of kLanes.
class Grouping {
public:
  struct Group {
    int64_t first = 0, count = 0; ///< in gathered order, without what fills it up
    int64_t padded() const { return (count + kLanes - 1) / kLanes * kLanes; }
  };

  Grouping(const WeightForm &form, int64_t inputs, int64_t taps) {
    const int64_t groupTaps = form.groupTaps(taps), size = form.groupSize ? form.groupSize : inputs;
    for (int64_t tap = 0; tap < groupTaps; ++tap)
      for (int64_t g = 0; g < form.groups(inputs); ++g) {
        Group group{static_cast<int64_t>(sources_.size()), 0};
        for (int64_t t = tap; t < (groupTaps == 1 ? taps : tap + 1); ++t)
          for (int64_t i = g * size; i < std::min((g + 1) * size, inputs); ++i, ++group.count)
            sources_.push_back(i * taps + t);
        sources_.resize(static_cast<size_t>(group.first + group.padded()), -1);
        groups_.push_back(group);
      }
  }

  const std::vector<Group> &groups() const { return groups_; }
  /// Gathered position -> position in the channel, or -1.
  const std::vector<int64_t> &sources() const { return sources_; }

private:
  std::vector<Group> groups_;
  std::vector<int64_t> sources_;
};

struct GroupRange {
  float least = 0, most = 0; ///< of the weights and 0
};

struct Choice {
  double error = std::numeric_limits<double>::infinity();
  std::vector<int8_t> scales, zeros;
};

/// One channel, ready to be searched.
class Channel {
public:
  Channel(const WeightForm &form, const Grouping &grouping, std::span<const float> weights)
      : form_(form), limits_(form.bits), grouping_(grouping),
        weights_(grouping.sources().size(), 0.0f) {
    for (size_t i = 0; i < weights_.size(); ++i)
      if (int64_t source = grouping.sources()[i]; source >= 0)
        weights_[i] = weights[static_cast<size_t>(source)];
    for (const Grouping::Group &group : grouping.groups()) {
      auto [least, most] =
          std::minmax_element(weights_.begin() + group.first,
                              weights_.begin() + group.first + std::max<int64_t>(group.count, 1));
      ranges_.push_back({std::min(*least, 0.0f), std::max(*most, 0.0f)});
    }
  }

  const std::vector<float> &weights() const { return weights_; }

  /// The scale of the channel with which no group clips.
  float widestScale() const {
    float widest = 0;
    for (const GroupRange &range : ranges_)
      widest = std::max(widest, step(range));
    return widest / static_cast<float>(widestGroupScale(form_));
  }

  /// The best group scales under a channel scale.
  Choice choose(float scale, RangeEstimator range) const {
    Choice choice{.error = 0, .scales = {}, .zeros = {}};
    for (size_t g = 0; g < ranges_.size(); ++g)
      addGroup(g, scale, trialRange(g, scale, range, /*all=*/true), choice);
    return choice;
  }

  /// Its error, near enough to compare channel scales; anything above `limit` as soon as it is
  /// above.
  double error(float scale, RangeEstimator range, double limit) const {
    Choice choice{.error = 0, .scales = {}, .zeros = {}};
    for (size_t g = 0; g < ranges_.size() && choice.error <= limit; ++g)
      addGroup(g, scale, trialRange(g, scale, range, /*all=*/false), choice);
    return choice.error;
  }

private:
  /// Step of the codes that reaches all weights of a group.
  float step(const GroupRange &range) const {
    const auto least = static_cast<float>(limits_.least), most = static_cast<float>(limits_.most);
    if (form_.symmetric)
      return std::max(range.most / most, range.least / least);
    return (range.most - range.least) / (most - least);
  }

  bool staysInt8(int32_t zero, int32_t scale) const {
    return (limits_.most - zero) * scale <= 127 && (limits_.least - zero) * scale >= -128;
  }

  /// Up to two zero points around the one that centres the codes on the group.
  void addTrials(const GroupRange &range, float channelScale, int32_t scale, int &number,
                 Trial *trials) const {
    const float size = channelScale * static_cast<float>(scale);
    if (form_.symmetric) {
      trials[number++] = {1.0f / size, 0, scale, 0};
      return;
    }
    const auto unit = static_cast<int32_t>(form_.zeroStep());
    const float centre = -0.5f - (range.least + range.most) / 2 / size;
    const auto below = static_cast<int32_t>(
        std::floor(std::clamp(centre, -1e6f, 1e6f) / static_cast<float>(unit)));
    for (int32_t near : {below, below + 1}) {
      const int32_t zero =
          std::clamp(near, std::max(-8, limits_.least), std::min(7, limits_.most)) * unit;
      if (staysInt8(zero, scale))
        trials[number++] = {1.0f / size, static_cast<float>(zero), scale, zero};
    }
  }

  struct TrialRange {
    int32_t least, most;
  };

  /// Group scales to try: all, or the few among which the best of a common group is.
  TrialRange trialRange(size_t g, float channelScale, RangeEstimator range, bool all) const {
    const int32_t limit = !form_.hasScales() ? 1
                          : form_.symmetric  ? largestGroupScale(form_.bits)
                                             : kLargestGroupScale;
    if (range == RangeEstimator::MSE && all)
      return {1, limit};
    const float widest = step(ranges_[g]) / channelScale;
    int32_t most = 1;
    while (most < limit && static_cast<float>(most) < widest * (1 - 1e-6f))
      ++most;
    if (range == RangeEstimator::MinMax)
      return {most, most};
    return {std::max(1, most * (form_.bits <= 3 ? 15 : 45) / 100), most};
  }

  void addGroup(size_t g, float channelScale, TrialRange range, Choice &choice) const {
    const Grouping::Group &group = grouping_.groups()[g];
    std::array<Trial, kMostTrials> trials;
    int number = 0;
    for (int32_t scale = range.most; scale >= range.least || number == 0; --scale)
      addTrials(ranges_[g], channelScale, scale, number, trials.data());
    std::array<float, kMostTrials> errors;
    trialErrors(weights_.data() + group.first, group.padded(), trials.data(), number, limits_,
                errors.data());
    double best = std::numeric_limits<double>::infinity();
    int chosen = 0;
    for (int t = 0; t < number; ++t) {
      const double size = static_cast<double>(channelScale) * trials[t].scale;
      if (const double error = errors[t] * size * size; error < best) {
        best = error;
        chosen = t;
      }
    }
    choice.error += best;
    choice.scales.push_back(static_cast<int8_t>(trials[chosen].scale));
    choice.zeros.push_back(static_cast<int8_t>(trials[chosen].zeroCode));
  }

  const WeightForm &form_;
  Limits limits_;
  const Grouping &grouping_;
  std::vector<float> weights_; ///< gathered
  std::vector<GroupRange> ranges_;
};

/// The channel scale of least error among percents of `widest`, from large to small: in coarse
/// steps, then the neighbours of the best one. `error(scale, best)` may give up above `best`.
template <typename Error>
float searchScale(const WeightForm &form, RangeEstimator range, float widest, Error error) {
  // Scales too small for a reciprocal code nothing.
  if (widest < std::numeric_limits<float>::min() * 64)
    return 1;
  if (range == RangeEstimator::MinMax)
    return widest;
  // Group scales do the clipping; the channel's scale sets their grid.
  const bool grid = form.hasScales();
  const int last = form.bits <= 3 ? 15 : grid ? 52 : 30, fine = grid ? 4 : 1, coarse = 2 * fine;
  double best = std::numeric_limits<double>::infinity();
  int chosen = 100;
  const auto attempt = [&](int percent) {
    const float scale = widest * static_cast<float>(percent) / 100.0f;
    if (const double found = error(scale, best); found < best) {
      best = found;
      chosen = percent;
    }
  };
  for (int percent = 100; percent >= last; percent -= coarse)
    attempt(percent);
  const int centre = chosen;
  if (centre < 100)
    attempt(centre + fine);
  attempt(centre - fine);
  return widest * static_cast<float>(chosen) / 100.0f;
}

/// Everything about one call.
class Quantizer {
public:
  Quantizer(const Tensor &weights, const WeightForm &form, RangeEstimator range,
            const Tensor *means)
      : form_(form), range_(range), values_(weights.values<float>()), outputs_(weights.dim(0)),
        inputs_(weights.rank() > 1 ? weights.dim(1) : 1),
        size_(outputs_ > 0 ? weights.size() / outputs_ : 0),
        grouping_(form, inputs_, inputs_ > 0 ? size_ / inputs_ : 1) {
    result_.codes = Tensor(ElementType::I8, weights.shape());
    result_.scales = Tensor(ElementType::F32, {outputs_});
    const Shape groups = {outputs_, static_cast<int64_t>(grouping_.groups().size())};
    if (form.hasScales())
      result_.groupScales = Tensor(ElementType::I8, groups);
    if (!form.symmetric)
      result_.zeroPoints = Tensor(ElementType::I8, groups);
    if (means && size_ > 0) {
      means_ = weightMeans(*means, size_);
      result_.correction = Tensor(ElementType::F32, {outputs_});
    }
  }

  QuantizedWeights run(bool oneScale, const Tensor *knownScales) {
    float *scales = result_.scales.mutableValues<float>().data();
    if (knownScales)
      std::copy_n(knownScales->values<float>().data(), outputs_, scales);
    else if (oneScale)
      std::fill_n(scales, outputs_, commonScale());
    int8_t *codes = result_.codes.mutableValues<int8_t>().data();
    int8_t *groupScales = bytesOf(result_.groupScales), *zeros = bytesOf(result_.zeroPoints);
    float *corrections =
        means_.empty() ? nullptr : result_.correction.mutableValues<float>().data();
    parallelFor(outputs_, [&](int64_t o, int) {
      const Channel channel = channelOf(o);
      if (!knownScales && !oneScale)
        scales[o] =
            searchScale(form_, range_, channel.widestScale(), [&](float scale, double best) {
              return channel.error(scale, range_, best);
            });
      const Choice choice = channel.choose(scales[o], range_);
      const auto groups = static_cast<int64_t>(choice.scales.size());
      if (groupScales)
        std::copy_n(choice.scales.data(), groups, groupScales + o * groups);
      if (zeros)
        std::copy_n(choice.zeros.data(), groups, zeros + o * groups);
      std::vector<int8_t> decoded(static_cast<size_t>(size_));
      code(channel, choice, scales[o], codes + o * size_, decoded.data());
      if (corrections)
        corrections[o] =
            weightCorrection(values_.subspan(o * size_, size_), decoded, means_, scales[o]);
    });
    return std::move(result_);
  }

private:
  static int8_t *bytesOf(Tensor &tensor) {
    return tensor.size() > 0 && tensor.type() == ElementType::I8
               ? tensor.mutableValues<int8_t>().data()
               : nullptr;
  }

  Channel channelOf(int64_t o) const {
    return Channel(form_, grouping_, values_.subspan(o * size_, size_));
  }

  /// One scale for all channels.
  float commonScale() const {
    std::vector<float> widest(static_cast<size_t>(outputs_));
    parallelFor(outputs_, [&](int64_t o, int) { widest[o] = channelOf(o).widestScale(); });
    const float all = outputs_ > 0 ? *std::max_element(widest.begin(), widest.end()) : 0;
    return searchScale(form_, range_, all, [&](float scale, double best) {
      std::vector<double> errors(static_cast<size_t>(outputs_));
      parallelFor(outputs_,
                  [&](int64_t o, int) { errors[o] = channelOf(o).error(scale, range_, best); });
      return std::accumulate(errors.begin(), errors.end(), 0.0);
    });
  }

  /// A weight of one kernel while its rounding errors are balanced.
  struct Coded {
    double error = 0, step = 0; ///< of the real weight
    int32_t code = 0, zero = 0, scale = 1;
    bool moved = false;
  };

  /// Makes the rounding errors of a kernel cancel, as balanceCodes() does, where steps differ:
  /// while moving the code whose error is the largest part of its step brings the sum nearer to 0.
  static void balanceKernel(std::span<Coded> kernel, Limits limits) {
    for (size_t moves = 0; moves < kernel.size(); ++moves) {
      double sum = 0, largest = 0;
      for (const Coded &weight : kernel)
        sum += weight.error;
      const int32_t direction = sum > 0 ? 1 : -1;
      Coded *chosen = nullptr;
      for (Coded &weight : kernel) {
        const double part = direction * weight.error / weight.step;
        const int32_t to = weight.code + direction;
        if (weight.moved || part <= largest || to < limits.least || to > limits.most)
          continue;
        largest = part;
        chosen = &weight;
      }
      if (!chosen || std::fabs(sum - direction * chosen->step) >= std::fabs(sum))
        return;
      chosen->code += direction;
      chosen->error -= direction * chosen->step;
      chosen->moved = true;
    }
  }

  void code(const Channel &channel, const Choice &choice, float scale, int8_t *codes,
            int8_t *decoded) const {
    const Limits limits(form_.bits);
    std::vector<Coded> weights(static_cast<size_t>(size_));
    for (size_t g = 0; g < choice.scales.size(); ++g) {
      const Grouping::Group &group = grouping_.groups()[g];
      const double step = static_cast<double>(scale) * choice.scales[g];
      for (int64_t i = group.first; i < group.first + group.count; ++i) {
        const double value = static_cast<double>(channel.weights()[i]) / step + choice.zeros[g];
        const double clamped = std::clamp<double>(value, limits.least, limits.most);
        const auto coded = static_cast<int32_t>(clamped + (0.5 - limits.least)) + limits.least;
        weights[grouping_.sources()[i]] = {.error = (value - coded) * step,
                                           .step = step,
                                           .code = coded,
                                           .zero = choice.zeros[g],
                                           .scale = choice.scales[g]};
      }
    }
    if (const int64_t taps = size_ / inputs_; taps > 1)
      for (int64_t i = 0; i < inputs_; ++i)
        balanceKernel(std::span(weights).subspan(i * taps, taps), limits);
    for (int64_t i = 0; i < size_; ++i) {
      codes[i] = static_cast<int8_t>(weights[i].code);
      decoded[i] = decodedWeight(weights[i].code, weights[i].zero, weights[i].scale);
    }
  }

  const WeightForm &form_;
  RangeEstimator range_;
  std::span<const float> values_;
  int64_t outputs_, inputs_, size_;
  Grouping grouping_;
  std::vector<double> means_;
  QuantizedWeights result_;
};

} // namespace

QuantizedWeights quantizeNarrowWeights(const Tensor &weights, const WeightForm &form, bool oneScale,
                                       RangeEstimator range, const Tensor *knownScales,
                                       const Tensor *means) {
  return Quantizer(weights, form, range, means).run(oneScale, knownScales);
}

GroupCode chooseGroup(const WeightForm &form, std::span<const float> weights, float channelScale,
                      RangeEstimator range) {
  WeightForm one = form;
  const auto inputs = static_cast<int64_t>(weights.size());
  if (one.groupSize > 0)
    one.groupSize = inputs;
  const Grouping grouping(one, inputs, 1);
  const Choice choice = Channel(one, grouping, weights).choose(channelScale, range);
  return {choice.scales[0], choice.zeros[0]};
}

Tensor decodeWeightTensor(const WeightForm &form, const Tensor &codes, const Tensor *scales,
                          const Tensor *zeros, bool inputsLast) {
  Tensor result(ElementType::I8, codes.shape());
  const int64_t outputs = codes.dim(0);
  const int64_t inputs = codes.dim(inputsLast ? codes.rank() - 1 : 1);
  const int64_t row = outputs > 0 ? codes.size() / outputs : 0,
                taps = inputs > 0 ? row / inputs : 0;
  const int64_t groupTaps = form.groupTaps(taps), groups = form.groups(inputs);
  const int8_t *from = codes.values<int8_t>().data();
  const int8_t *scale = scales ? scales->values<int8_t>().data() : nullptr;
  const int8_t *zero = zeros ? zeros->values<int8_t>().data() : nullptr;
  int8_t *to = result.mutableValues<int8_t>().data();
  parallelFor(outputs, [&](int64_t o, int) {
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t i = 0; i < inputs; ++i) {
        const int64_t at = o * row + (inputsLast ? tap * inputs + i : i * taps + tap);
        const int64_t group = (o * groupTaps + (groupTaps == 1 ? 0 : tap)) * groups +
                              (form.groupSize == 0 ? 0 : i / form.groupSize);
        to[at] = decodedWeight(from[at], zero ? zero[group] : 0, scale ? scale[group] : 1);
      }
  });
  return result;
}

} // namespace sdopt
