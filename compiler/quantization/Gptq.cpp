//===- Gptq.cpp - rounding that makes up for its own errors ------------------===//

#include "compiler/quantization/Gptq.h"

#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/TargetClones.h"
#include "compiler/quantization/NarrowWeights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace sdopt {

namespace {

/// Columns whose errors reach the columns behind them together (section 3.3, "lazy batch-updates").
constexpr int64_t kLazyColumns = 128;
/// Columns behind that are brought up to date at once, and rows that share what they read.
constexpr int64_t kUpdatedColumns = 512, kSharedRows = 16;
constexpr double kDamping = 0.01;
/// Columns of a panel of the Cholesky decomposition.
constexpr int64_t kPanel = 64;
constexpr int kLanes = 8;
using Lanes __attribute__((vector_size(kLanes * sizeof(double)))) = double;

inline __attribute__((always_inline)) double dot(const double *a, const double *b, int64_t count) {
  Lanes sums{};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    Lanes x, y;
    std::memcpy(&x, a + i, sizeof(x));
    std::memcpy(&y, b + i, sizeof(y));
    sums += x * y;
  }
  double total = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    total += sums[lane];
  for (; i < count; ++i)
    total += a[i] * b[i];
  return total;
}

/// Row i of a panel's columns [first, last), of the decomposition.
SDOPT_CLONES void solveRow(double *matrix, int64_t n, int64_t i, int64_t first, int64_t last) {
  double *row = matrix + i * n;
  for (int64_t j = first; j < last; ++j) {
    const double *other = matrix + j * n;
    row[j] = (row[j] - dot(row + first, other + first, j - first)) / other[j];
  }
}

/// What the panel [first, last) takes from columns [last, i] of row i.
SDOPT_CLONES void updateRow(double *matrix, int64_t n, int64_t i, int64_t first, int64_t last) {
  double *row = matrix + i * n;
  for (int64_t j = last; j <= i; ++j)
    row[j] -= dot(row + first, matrix + j * n + first, last - first);
}

/// Cholesky decomposition M M^T of the lower triangle, in place; false if it is not positive
/// definite.
bool decompose(std::vector<double> &matrix, int64_t n) {
  constexpr int64_t kRows = 16;
  double *a = matrix.data();
  for (int64_t first = 0; first < n; first += kPanel) {
    const int64_t last = std::min(n, first + kPanel);
    for (int64_t i = first; i < last; ++i) {
      solveRow(a, n, i, first, i);
      double *row = a + i * n;
      const double square = row[i] - dot(row + first, row + first, i - first);
      if (!(square > 0) || !std::isfinite(square))
        return false;
      row[i] = std::sqrt(square);
    }
    parallelRanges(n - last, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = last + begin; i < last + end; ++i)
        solveRow(a, n, i, first, last);
    });
    parallelRanges(n - last, kRows, [&](int64_t begin, int64_t end) {
      for (int64_t i = last + begin; i < last + end; ++i)
        updateRow(a, n, i, first, last);
    });
  }
  return true;
}

/// Rows from `first` of the inverse's columns [first, first + kPanel), inverse[row][kPanel].
SDOPT_CLONES void invertPanel(const double *factor, int64_t n, int64_t first, double *inverse) {
  for (int64_t i = first; i < n; ++i) {
    double sums[kPanel] = {};
    if (i < first + kPanel)
      sums[i - first] = 1;
    for (int64_t k = first; k < i; ++k) {
      const double scale = factor[i * n + k];
      const double *row = inverse + k * kPanel;
      for (int64_t c = 0; c < kPanel; ++c)
        sums[c] -= scale * row[c];
    }
    const double diagonal = factor[i * n + i];
    for (int64_t c = 0; c < kPanel; ++c)
      inverse[i * kPanel + c] = sums[c] / diagonal;
  }
}

/// P M^-1 P of a lower triangle M, P being the reversal of all columns: an upper triangle.
std::vector<float> reversedInverse(const std::vector<double> &factor, int64_t n) {
  std::vector<float> upper(static_cast<size_t>(n * n), 0.0f);
  parallelRanges(n, kPanel, [&](int64_t first, int64_t last) {
    std::vector<double> inverse(static_cast<size_t>(n * kPanel));
    invertPanel(factor.data(), n, first, inverse.data());
    for (int64_t i = first; i < n; ++i)
      for (int64_t c = first; c < std::min(last, i + 1); ++c)
        upper[(n - 1 - i) * n + (n - 1 - c)] = static_cast<float>(inverse[i * kPanel + c - first]);
  });
  return upper;
}

SDOPT_CLONES void subtract(float *__restrict row, const float *__restrict other, float scale,
                           int64_t count) {
  for (int64_t i = 0; i < count; ++i)
    row[i] -= scale * other[i];
}

double decibels(double signal, double error) {
  return error > 0 ? 10 * std::log10(signal / error) : std::numeric_limits<double>::infinity();
}

} // namespace

std::vector<float> inverseFactor(const InputMoments &moments, std::span<const int64_t> order,
                                 bool secondMoments) {
  const auto n = static_cast<int64_t>(order.size());
  const auto moment = [&](int64_t a, int64_t b) {
    const double mean = secondMoments ? moments.mean[a] * moments.mean[b] : 0;
    return moments.covariance[a * moments.columns() + b] + mean;
  };
  double trace = 0;
  for (int64_t column : order)
    trace += moment(column, column);
  const double average = n > 0 ? trace / static_cast<double>(n) : 0;
  std::vector<double> factor(static_cast<size_t>(n * n));
  for (double damping = kDamping;; damping *= 10) {
    // H = U^-1 U^-T with an upper triangle U^-1, which a Cholesky decomposition of H gives that
    // begins at the last column.
    const bool known = average > 0 && std::isfinite(average) && damping < 1e6;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = order[n - 1 - i];
      for (int64_t j = 0; j <= i; ++j)
        factor[i * n + j] = known ? moment(row, order[n - 1 - j]) : 0;
      factor[i * n + i] += known ? damping * average : 1;
    }
    if (decompose(factor, n))
      return reversedInverse(factor, n);
  }
}

double OutputPower::sqnrBefore() const { return decibels(signal, nearest); }
double OutputPower::sqnrAfter() const { return decibels(signal, rounded); }

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
    subtract(row + k + 1, factor + k + 1, error, end - k - 1);
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
          subtract(weights + r * n + at, block.factor.data() + k * n + at, errors[r * n + k],
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

std::vector<LayerRounding::RowPower> LayerRounding::powerOf(const Tensor &rows,
                                                            const InputMoments &moments) const {
  const int64_t columns = moments.columns();
  const Tensor covariance(ElementType::F32, {columns, columns}, nullptr,
                          reinterpret_cast<const std::byte *>(moments.covariance.data()));
  const Tensor products = matmul(rows, covariance);
  std::vector<RowPower> powers(static_cast<size_t>(outputs_));
  for (int64_t o = 0; o < outputs_; ++o)
    for (int64_t k = 0; k < columns; ++k) {
      const double value = rows.values<float>()[o * columns + k];
      powers[o].variance += value * products.values<float>()[o * columns + k];
      powers[o].mean += value * moments.mean[k];
    }
  return powers;
}

void LayerRounding::keepBetter(const InputMoments &moments, const Block &block,
                               const QuantizedWeights &rounded) {
  const std::vector<RowPower> signal = powerOf(errorsOf(nullptr, moments), moments);
  const std::vector<RowPower> before = powerOf(errorsOf(&result_, moments), moments);
  const std::vector<RowPower> after = powerOf(errorsOf(&rounded, moments), moments);
  std::vector<RowPower> inBias(static_cast<size_t>(outputs_));
  if (pruned_.bytes() && corrected_)
    inBias = powerOf(pruningErrors(moments), moments);
  const int64_t row = inputs_ * taps_;
  const int64_t groupsOfRow = form_.groups(inputs_) * form_.groupTaps(taps_);
  const auto counted = [&](const RowPower &power) {
    return std::max(power.variance, 0.0) + (corrected_ ? 0 : power.mean * power.mean);
  };
  for (int64_t o = 0; o < outputs_; ++o) {
    const bool better = counted(after[o]) < counted(before[o]);
    power_.signal += std::max(signal[o].variance, 0.0);
    power_.nearest += counted(before[o]);
    power_.rounded += counted((better ? after : before)[o]);
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
