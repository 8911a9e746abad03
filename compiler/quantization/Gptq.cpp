//===- Gptq.cpp - rounding that makes up for its own errors ------------------===//

#include "compiler/quantization/Gptq.h"

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/KernelThreads.h"

#include <algorithm>
#include <cmath>

namespace sdopt {

namespace {

/// Columns whose errors reach the columns behind them together (section 3.3, "lazy batch-updates").
constexpr int64_t kLazyColumns = 128;
/// Columns behind that are brought up to date at once, and rows that share what they read.
constexpr int64_t kUpdatedColumns = 512, kSharedRows = 16;

} // namespace

/// Consecutive columns, in the order of rounding, with a scale and zero point of their own.
struct LayerRounding::Group {
  int64_t first = 0, count = 0;
  int64_t index = 0; ///< among the group scales of a row
};

struct LayerRounding::Block {
  std::vector<int64_t> order;  ///< columns of the moments as they are rounded
  std::vector<int64_t> source; ///< of each column as it is rounded: where its weight is in a row
  std::vector<Group> groups;
  std::vector<float> factor;

  void sortByPower(const InputMoments &moments) {
    std::vector<std::pair<float, size_t>> places;
    for (size_t i = 0; i < order.size(); ++i)
      places.emplace_back(-moments.covariance[order[i] * (moments.columns() + 1)], i);
    std::ranges::sort(places);
    std::vector<int64_t> sorted, sources;
    for (auto [power, place] : places) {
      sorted.push_back(order[place]);
      sources.push_back(source[place]);
    }
    order = std::move(sorted);
    source = std::move(sources);
  }
};

LayerRounding::LayerRounding(const Tensor &weights, const WeightForm &form, RangeEstimator range,
                             bool corrected, QuantizedWeights nearest, const Tensor &pruned)
    : weights_(weights), pruned_(pruned), form_(form), range_(range), corrected_(corrected),
      outputs_(weights.dim(0)), inputs_(weights.dim(1)),
      taps_(weights.rank() == 4 ? weights.dim(2) * weights.dim(3) : 1), result_(std::move(nearest)),
      outputMeans_(outputs_), corrections_(outputs_) {
  if (form_.coding != WeightCoding::Palette)
    return;
  const auto width = static_cast<size_t>(form_.paletteEntries());
  for (int64_t i = 0; i < form_.palettes(outputs_); ++i)
    paletteCodes_.emplace_back(result_.palettes.values<int8_t>().subspan(i * width, width));
}

LayerRounding::Block LayerRounding::blockOf(const InputMoments &moments) const {
  const int64_t size = form_.groupSize > 0 ? form_.groupSize : inputs_;
  const int64_t last = moments.firstChannel + moments.channels, groups = form_.groups(inputs_);
  const int64_t groupTaps = form_.groupTaps(taps_);
  Block block;
  for (int64_t tap = 0; tap < groupTaps; ++tap)
    for (int64_t i = moments.firstChannel; i < last; i += size) {
      Group group{static_cast<int64_t>(block.order.size()), 0, tap * groups + i / size};
      for (int64_t t = tap; t < (groupTaps == 1 ? taps_ : tap + 1); ++t)
        for (int64_t c = i; c < std::min(i + size, last); ++c, ++group.count) {
          block.order.push_back(t * moments.channels + c - moments.firstChannel);
          block.source.push_back(c * taps_ + t);
        }
      block.groups.push_back(group);
    }
  // Without groups nothing ties columns together: those that matter most come first, while there
  // are many left to make up for them (the option "act-order" of the authors' program).
  if (form_.groupSize == 0)
    block.sortByPower(moments);
  block.factor = inverseFactor(moments, block.order, /*secondMoments=*/!corrected_);
  return block;
}

/// Memory of one thread: the rows that it rounds, and what each column lost, divided by the
/// diagonal of the factor.
struct LayerRounding::Scratch {
  std::vector<float> weights, errors; ///< [rows][columns]
};

GroupCode LayerRounding::codeOf(const Group &group, std::span<const float> weights, int64_t output,
                                QuantizedWeights &rounded) const {
  if (form_.coding != WeightCoding::Grouped)
    return {};
  const GroupCode code =
      chooseGroup(form_, weights, result_.scales.values<float>()[output], range_);
  const int64_t at = output * form_.groups(inputs_) * form_.groupTaps(taps_) + group.index;
  if (form_.hasScales())
    rounded.groupScales.mutableValues<int8_t>()[at] = static_cast<int8_t>(code.scale);
  if (!form_.symmetric)
    rounded.zeroPoints.mutableValues<int8_t>()[at] = static_cast<int8_t>(code.zero);
  return code;
}

LayerRounding::Coded LayerRounding::coded(float weight, GroupCode group, int64_t output) const {
  const double scale = result_.scales.values<float>()[output];
  if (form_.coding == WeightCoding::Palette) {
    const int64_t palette = paletteOf(output);
    const uint8_t code = paletteCodes_[palette](static_cast<float>(weight / scale));
    const int8_t entry = result_.palettes.values<int8_t>()[palette * form_.paletteEntries() + code];
    return {static_cast<int8_t>(code), entry * scale};
  }
  const double least = form_.coding == WeightCoding::Raw ? -127 : -(1 << (form_.bits - 1));
  const double most = (1 << (form_.bits - 1)) - 1, step = scale * group.scale;
  const double code = std::clamp(std::floor(weight / step + group.zero + 0.5), least, most);
  return {static_cast<int8_t>(code), (code - group.zero) * step};
}

void LayerRounding::roundGroup(const Block &block, const Group &group, int64_t output, float *row,
                               float *errors, int64_t end, QuantizedWeights &rounded) const {
  const auto n = static_cast<int64_t>(block.order.size());
  std::vector<float> chosen;
  std::span<const float> weights(row + group.first, static_cast<size_t>(group.count));
  if (pruned_.bytes()) {
    chosen.assign(weights.begin(), weights.end());
    for (int64_t k = 0; k < group.count; ++k)
      if (isZero(output, block.source[group.first + k]))
        chosen[k] = 0;
    weights = chosen;
  }
  const GroupCode code = codeOf(group, weights, output, rounded);
  int8_t *codes = rounded.codes.mutableValues<int8_t>().data() + output * inputs_ * taps_;
  for (int64_t k = group.first; k < group.first + group.count; ++k) {
    const Coded nearest = coded(isZero(output, block.source[k]) ? 0.0f : row[k], code, output);
    codes[block.source[k]] = nearest.code;
    const float *factor = block.factor.data() + k * n;
    const float error = static_cast<float>(row[k] - nearest.value) / factor[k];
    errors[k] = error;
    subtractScaled(row + k + 1, factor + k + 1, error, end - k - 1);
  }
}

void LayerRounding::roundRows(const Block &block, int64_t first, int64_t count, Scratch &scratch,
                              QuantizedWeights &rounded) const {
  const auto n = static_cast<int64_t>(block.order.size());
  scratch.weights.resize(static_cast<size_t>(count * n));
  scratch.errors.resize(static_cast<size_t>(count * n));
  float *weights = scratch.weights.data(), *errors = scratch.errors.data();
  const Tensor &start = pruned_.bytes() ? pruned_ : weights_;
  for (int64_t r = 0; r < count; ++r)
    for (int64_t k = 0; k < n; ++k)
      weights[r * n + k] = start.values<float>()[(first + r) * inputs_ * taps_ + block.source[k]];
  for (auto group = block.groups.begin(); group != block.groups.end();) {
    // Groups are never parted, so that their scales are chosen for weights that are up to date.
    auto behind = group;
    int64_t begin = group->first, end = begin;
    for (; behind != block.groups.end() && end - begin < kLazyColumns; ++behind)
      end = behind->first + behind->count;
    for (int64_t r = 0; r < count; ++r)
      for (auto now = group; now != behind; ++now)
        roundGroup(block, *now, first + r, weights + r * n, errors + r * n, end, rounded);
    for (int64_t at = end; at < n; at += kUpdatedColumns)
      for (int64_t r = 0; r < count; ++r)
        for (int64_t k = begin; k < end; ++k)
          subtractScaled(weights + r * n + at, block.factor.data() + k * n + at, errors[r * n + k],
                         std::min(kUpdatedColumns, n - at));
    group = behind;
  }
}

Tensor LayerRounding::errorsOf(const QuantizedWeights *codes, const InputMoments &moments) const {
  const int64_t columns = moments.columns(), groupTaps = form_.groupTaps(taps_);
  const int64_t groups = form_.groups(inputs_);
  const bool grouped = form_.coding == WeightCoding::Grouped;
  const auto bytes = [&](const Tensor &tensor, bool known) {
    return grouped && known ? tensor.values<int8_t>().data() : nullptr;
  };
  const int8_t *groupScales = codes ? bytes(codes->groupScales, form_.hasScales()) : nullptr;
  const int8_t *zeros = codes ? bytes(codes->zeroPoints, !form_.symmetric) : nullptr;
  const int8_t *palettes =
      form_.coding == WeightCoding::Palette ? result_.palettes.values<int8_t>().data() : nullptr;
  const float *weights = weights_.values<float>().data(),
              *scales = result_.scales.values<float>().data();
  Tensor errors(ElementType::F32, {outputs_, columns});
  float *to = errors.mutableValues<float>().data();
  parallelFor(outputs_, [&](int64_t o, int) {
    for (int64_t tap = 0; tap < taps_; ++tap)
      for (int64_t c = 0; c < moments.channels; ++c) {
        const int64_t channel = moments.firstChannel + c;
        const int64_t at = (o * inputs_ + channel) * taps_ + tap;
        double decoded = 0;
        if (codes) {
          const int64_t group = (o * groupTaps + (groupTaps == 1 ? 0 : tap)) * groups +
                                (form_.groupSize == 0 ? 0 : channel / form_.groupSize);
          const int8_t code = codes->codes.values<int8_t>()[at];
          decoded = static_cast<double>(scales[o]) *
                    (palettes ? palettes[(paletteOf(o) << form_.bits) + static_cast<uint8_t>(code)]
                              : decodedWeight(code, zeros ? zeros[group] : 0,
                                              groupScales ? groupScales[group] : 1));
        }
        to[o * columns + tap * moments.channels + c] = static_cast<float>(weights[at] - decoded);
      }
  });
  return errors;
}

bool LayerRounding::isZero(int64_t output, int64_t source) const {
  return pruned_.bytes() && pruned_.values<float>()[output * inputs_ * taps_ + source] == 0;
}

Tensor LayerRounding::pruningErrors(const InputMoments &moments) const {
  const int64_t columns = moments.columns();
  Tensor errors(ElementType::F32, {outputs_, columns});
  for (int64_t o = 0; o < outputs_; ++o)
    for (int64_t k = 0; k < columns; ++k) {
      const int64_t channel = moments.firstChannel + k % moments.channels;
      const int64_t at = (o * inputs_ + channel) * taps_ + k / moments.channels;
      errors.mutableValues<float>()[o * columns + k] =
          weights_.values<float>()[at] - pruned_.values<float>()[at];
    }
  return errors;
}

void LayerRounding::keepBetter(const InputMoments &moments, const Block &block,
                               const QuantizedWeights &rounded) {
  const std::vector<RowPower> signal = rowPowers(errorsOf(nullptr, moments), moments);
  const std::vector<RowPower> before = rowPowers(errorsOf(&result_, moments), moments);
  const std::vector<RowPower> after = rowPowers(errorsOf(&rounded, moments), moments);
  std::vector<RowPower> inBias(static_cast<size_t>(outputs_));
  if (pruned_.bytes() && corrected_)
    inBias = rowPowers(pruningErrors(moments), moments);
  const int64_t row = inputs_ * taps_;
  const int64_t groupsOfRow = form_.groups(inputs_) * form_.groupTaps(taps_);
  const auto counted = [&](const RowPower &power) {
    return power.variance + (corrected_ ? 0 : power.mean * power.mean);
  };
  for (int64_t o = 0; o < outputs_; ++o) {
    const bool better = counted(after[o]) < counted(before[o]);
    power_.signal += signal[o].variance;
    power_.before += counted(before[o]);
    power_.after += counted((better ? after : before)[o]);
    outputMeans_[o] += signal[o].mean;
    corrections_[o] += (better ? after : before)[o].mean - inBias[o].mean;
    if (!better)
      continue;
    const auto copy = [&](const Tensor &from, Tensor &to, int64_t at) {
      to.mutableValues<int8_t>()[at] = from.values<int8_t>()[at];
    };
    for (int64_t source : block.source)
      copy(rounded.codes, result_.codes, o * row + source);
    for (const Group &group : block.groups) {
      if (form_.hasScales())
        copy(rounded.groupScales, result_.groupScales, o * groupsOfRow + group.index);
      if (!form_.symmetric)
        copy(rounded.zeroPoints, result_.zeroPoints, o * groupsOfRow + group.index);
    }
  }
}

void LayerRounding::round(const InputMoments &moments) {
  const Block block = blockOf(moments);
  QuantizedWeights rounded{.codes = Tensor(ElementType::I8, result_.codes.shape()), .scales = {}};
  if (form_.hasScales())
    rounded.groupScales = Tensor(ElementType::I8, result_.groupScales.shape());
  if (!form_.symmetric)
    rounded.zeroPoints = Tensor(ElementType::I8, result_.zeroPoints.shape());
  std::vector<Scratch> scratches(static_cast<size_t>(kernelThreads()));
  parallelFor((outputs_ + kSharedRows - 1) / kSharedRows, [&](int64_t i, int thread) {
    roundRows(block, i * kSharedRows, std::min(kSharedRows, outputs_ - i * kSharedRows),
              scratches[thread], rounded);
  });
  keepBetter(moments, block, rounded);
}

QuantizedWeights LayerRounding::take() {
  for (double mean : outputMeans_)
    power_.signal += mean * mean;
  if (corrected_) {
    result_.correction = Tensor(ElementType::F32, {outputs_});
    for (int64_t o = 0; o < outputs_; ++o)
      result_.correction.mutableValues<float>()[o] = static_cast<float>(corrections_[o]);
  }
  return std::move(result_);
}

} // namespace sdopt
