//===- SharedWeights.cpp - weights that share few values ----------------------===//

#include "compiler/quantization/SharedWeights.h"

#include "compiler/kernels/IntegerKernels.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/share/Clusters.h"
#include "compiler/share/Palette.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

namespace sdopt {

namespace {

/// Share of the mean importance that every weight has.
constexpr float kLeastImportance = 0.01f;
/// Stretches between the extremes by which real centers are found; they only decide the scales.
constexpr int kStretches = 2048;
/// Scales that are tried, in percent of that with which the outermost center is the largest entry:
/// smaller ones clip it, and the others are finer.
constexpr int kPercentStep = 10, kLeastPercent = 30;
/// Entries and scales of several channels are improved in turns, while it pays.
constexpr int kTurns = 4;
constexpr double kLeastGain = 1e-3;
/// Rows that are added up together.
constexpr int64_t kRows = 32;
constexpr double kLeastUnit = 0x1p-100;

/// Steps between evenly spaced entries that are tried: from twice the largest number on down, then
/// between the best of them and the next.
constexpr int kCoarseSteps = 48, kFineSteps = 16;
constexpr double kCoarse = 0.8408964152537145, kFine = 0.9892280131939755; // 2^(-1/4), 2^(-1/64)

/// Sums over equal stretches from -limit to limit.
class Stretches {
public:
  explicit Stretches(double limit)
      : limit_(limit), perUnit_(kStretches / (2 * limit)), sums_(kStretches) {}

  void add(double number, double weight) {
    constexpr int kMiddle = kStretches / 2;
    const double place = number * perUnit_ + kMiddle;
    const int at = place < kStretches - 1 ? std::max(static_cast<int>(place), 0) : kStretches - 1;
    sums_[at].count += 1;
    sums_[at].weight += weight;
    sums_[at].sum += weight * number;
    sums_[at].squares += weight * number * number;
  }
  void add(const Stretches &other) {
    for (int i = 0; i < kStretches; ++i) {
      sums_[i].count += other.sums_[i].count;
      sums_[i].weight += other.sums_[i].weight;
      sums_[i].sum += other.sums_[i].sum;
      sums_[i].squares += other.sums_[i].squares;
    }
  }

  /// Of the nearest multiples of a step, from -most to most times: bits that telling them takes for
  /// each number, and the squared error.
  struct Multiples {
    double entropy = 0, error = 0;
  };
  Multiples multiples(double step, int most) const {
    std::vector<double> counts(2 * static_cast<size_t>(most) + 1);
    Multiples result;
    double total = 0;
    for (int i = 0; i < kStretches; ++i) {
      const Sums &sums = sums_[i];
      if (!(sums.count > 0))
        continue;
      const double middle = (i + 0.5) / perUnit_ - limit_;
      const double number = sums.weight > 0 ? sums.sum / sums.weight : middle;
      const double index = std::clamp<double>(std::floor(number / step + 0.5), -most, most);
      counts[static_cast<size_t>(index + most)] += sums.count;
      total += sums.count;
      const double value = index * step;
      result.error += sums.squares - 2 * value * sums.sum + value * value * sums.weight;
    }
    for (double count : counts)
      if (count > 0)
        result.entropy -= count * deterministicLog2(count / total) / total;
    return result;
  }

  double limit() const { return limit_; }

  WeightedPoints points() const {
    WeightedPoints points;
    for (const Sums &sums : sums_)
      if (sums.weight > 0)
        points.append(sums.weight, sums.sum, sums.squares);
    return points;
  }

  /// As sums of a palette whose entries are `unit` apart.
  PaletteSums scaled(double unit) const {
    PaletteSums result;
    for (const Sums &sums : sums_)
      if (sums.weight > 0)
        result.add(static_cast<float>(sums.sum / sums.weight / unit), sums.weight * unit * unit);
    return result;
  }

private:
  struct Sums {
    double count = 0, weight = 0, sum = 0, squares = 0;
  };
  double limit_, perUnit_;
  std::vector<Sums> sums_;
};

int64_t paletteOf(const WeightForm &form, int64_t output) {
  return form.paletteOutputs > 0 ? output / form.paletteOutputs : 0;
}

class Sharing {
public:
  Sharing(const Tensor &weights, const WeightForm &form, const SharingOptions &options)
      : form_(form), options_(options), values_(weights.values<float>()), outputs_(weights.dim(0)),
        inputs_(weights.dim(1)), size_(outputs_ > 0 ? weights.size() / outputs_ : 0),
        count_(std::min(1 << form.bits, 2 * kLargestEntry + 1)), palettes_(form.palettes(outputs_)),
        rowsOfPalette_(form.paletteOutputs > 0 ? form.paletteOutputs : outputs_) {
    result_.codes = Tensor(ElementType::I8, weights.shape());
    result_.scales = Tensor(ElementType::F32, {outputs_});
    result_.palettes = Tensor(ElementType::I8, {palettes_, int64_t{1} << form.bits});
    if (options.means && size_ > 0) {
      means_ = weightMeans(*options.means, size_);
      result_.correction = Tensor(ElementType::F32, {outputs_});
    }
    scales_ = result_.scales.mutableValues<float>();
    weigh();
  }

  QuantizedWeights run() {
    if (options_.knownScales) {
      std::ranges::copy(options_.knownScales->values<float>(), scales_.begin());
      std::ranges::copy(options_.knownPalettes->values<int8_t>(),
                        result_.palettes.mutableValues<int8_t>().begin());
    } else {
      chooseUnits();
      overPalettes([&](int64_t palette) { choose(palette); });
    }
    const std::vector<PaletteCodes> codes = paletteCodes();
    parallelFor(outputs_, [&](int64_t o, int) { code(o, codes[paletteOf(form_, o)]); });
    return std::move(result_);
  }

private:
  std::span<const float> row(int64_t o) const {
    return values_.subspan(static_cast<size_t>(o * size_), static_cast<size_t>(size_));
  }
  int64_t firstRow(int64_t palette) const { return palette * rowsOfPalette_; }
  int64_t behindRow(int64_t palette) const {
    return std::min(outputs_, (palette + 1) * rowsOfPalette_);
  }

  void weigh() {
    importance_.assign(static_cast<size_t>(size_), 1.0f);
    if (!options_.importance || size_ == 0)
      return;
    double total = 0;
    for (float importance : options_.importance->values<float>())
      total += importance;
    const auto least = static_cast<float>(total / static_cast<double>(inputs_) * kLeastImportance);
    if (!(least > 0) || !std::isfinite(least))
      return;
    for (int64_t i = 0; i < size_; ++i)
      importance_[i] = options_.importance->values<float>()[i / (size_ / inputs_)] + least;
  }

  /// Several palettes at once, or all threads on the rows of one.
  template <typename Body> void overPalettes(Body body) {
    if (palettes_ > 1)
      parallelFor(palettes_, [&](int64_t palette, int) { body(palette); });
    else
      body(0);
  }

  /// Calls body(first, last, part) for stretches of a palette's rows, each with a part of its own,
  /// and then join(part) in their order.
  template <typename Part, typename Body, typename Join>
  void overRows(int64_t palette, const Part &empty, Body body, Join join) const {
    const int64_t first = firstRow(palette), behind = behindRow(palette);
    const int64_t stretches = (behind - first + kRows - 1) / kRows;
    const auto stretch = [&](int64_t i, Part &part) {
      body(first + i * kRows, std::min(behind, first + (i + 1) * kRows), part);
    };
    if (palettes_ > 1) {
      for (int64_t i = 0; i < stretches; ++i) {
        Part part = empty;
        stretch(i, part);
        join(part);
      }
      return;
    }
    std::vector<Part> parts(static_cast<size_t>(stretches), empty);
    parallelFor(stretches, [&](int64_t i, int) { stretch(i, parts[i]); });
    for (const Part &part : parts)
      join(part);
  }

  /// In units of which the weights of all channels are alike: the root of the mean square.
  void chooseUnits() {
    units_.resize(static_cast<size_t>(outputs_));
    double weight = 0;
    for (float importance : importance_)
      weight += importance;
    parallelFor(outputs_, [&](int64_t o, int) {
      double squares = 0;
      for (int64_t i = 0; i < size_; ++i) {
        const double value = row(o)[i];
        squares += importance_[i] * value * value;
      }
      units_[o] = squares / weight;
    });
    if (options_.oneScale) {
      double all = 0;
      for (double unit : units_)
        all += unit;
      std::ranges::fill(units_, all / static_cast<double>(std::max<int64_t>(outputs_, 1)));
    }
    for (double &unit : units_)
      unit = std::sqrt(unit);
  }

  void choose(int64_t palette) {
    const int64_t first = firstRow(palette), behind = behindRow(palette);
    const std::optional<Stretches> stretches = stretchesOf(palette);
    // At least one entry to each side of 0.
    if (stretches && options_.codedBits > 0 && form_.bits > 1)
      return chooseEven(palette, *stretches);
    setScales(palette, stretches ? chooseFactor(*stretches) : 1);
    Palette best = bestPalette(sumsOf(palette), count_, options_.withZero);
    const bool improves = behind - first > 1 && !options_.oneScale;
    for (int turn = 1; improves && turn < kTurns; ++turn) {
      const double before = best.error;
      fitScales(palette, best);
      best = bestPalette(sumsOf(palette), count_, options_.withZero);
      if (!(best.error < before * (1 - kLeastGain)))
        break;
    }
    setEntries(palette, best.entries);
  }

  void setScales(int64_t palette, double factor) {
    for (int64_t o = firstRow(palette); o < behindRow(palette); ++o) {
      const auto scale = static_cast<float>(units_[o] * factor);
      scales_[o] = scale > static_cast<float>(kLeastUnit) ? scale : 1.0f;
    }
  }

  void setEntries(int64_t palette, std::span<const int8_t> best) {
    const int64_t width = int64_t{1} << form_.bits;
    int8_t *entries = result_.palettes.mutableValues<int8_t>().data() + palette * width;
    std::ranges::copy(best, entries);
    std::fill(entries + best.size(), entries + width, best.back());
  }

  /// Entries one step apart, of the least error with which codes carry at most `codedBits`.
  void chooseEven(int64_t palette, const Stretches &stretches) {
    const int most = std::min((1 << (form_.bits - 1)) - 1, kLargestEntry);
    double step = stretches.limit() * 2, least = std::numeric_limits<double>::infinity();
    const auto tryFrom = [&](double tried, double factor, int count) {
      for (int i = 0; i < count; ++i, tried *= factor)
        if (const Stretches::Multiples found = stretches.multiples(tried, most);
            found.entropy <= options_.codedBits && found.error < least) {
          least = found.error;
          step = tried;
        }
    };
    tryFrom(step, kCoarse, kCoarseSteps);
    tryFrom(step, kFine, kFineSteps);
    // One more than numbers need: what makes up for other errors may be larger.
    const double needed = std::floor(stretches.limit() / step + 0.5) + 1;
    const int side = needed < most ? static_cast<int>(needed) : most;
    const int spacing = kLargestEntry / side;
    std::vector<int8_t> entries;
    for (int i = -side; i <= side; ++i)
      entries.push_back(static_cast<int8_t>(i * spacing));
    setScales(palette, step / spacing);
    setEntries(palette, entries);
  }

  /// Of a palette's weights in units of their channels; nothing if all are 0.
  std::optional<Stretches> stretchesOf(int64_t palette) const {
    double limit = 0;
    overRows(
        palette, 0.0,
        [&](int64_t from, int64_t to, double &most) {
          for (int64_t o = from; o < to; ++o)
            if (units_[o] > kLeastUnit)
              for (float weight : row(o))
                most = std::max(most, std::fabs(static_cast<double>(weight)) / units_[o]);
        },
        [&](double most) { limit = std::max(limit, most); });
    if (!(limit > 0))
      return std::nullopt;
    Stretches stretches(limit);
    overRows(
        palette, stretches,
        [&](int64_t from, int64_t to, Stretches &part) {
          for (int64_t o = from; o < to; ++o) {
            if (!(units_[o] > kLeastUnit))
              continue;
            const double unit = 1 / units_[o], square = units_[o] * units_[o];
            for (int64_t i = 0; i < size_; ++i)
              part.add(row(o)[i] * unit, importance_[i] * square);
          }
        },
        [&](const Stretches &part) { stretches.add(part); });
    return stretches;
  }

  /// How many units of its channel an entry of 1 is.
  double chooseFactor(const Stretches &stretches) const {
    const Clusters centers = bestClusters(stretches.points(), count_);
    const double widest =
        std::max(std::fabs(centers.centers.front()), std::fabs(centers.centers.back()));
    if (!(widest > 0))
      return 1;
    double best = std::numeric_limits<double>::infinity(), factor = 1;
    for (int percent = 100; percent >= kLeastPercent; percent -= kPercentStep) {
      const double tried = widest * percent / 100 / kLargestEntry;
      const Palette palette = bestPalette(stretches.scaled(tried), count_, options_.withZero);
      if (palette.error < best) {
        best = palette.error;
        factor = tried;
      }
    }
    return factor;
  }

  PaletteSums sumsOf(int64_t palette) const {
    PaletteSums sums;
    overRows(
        palette, PaletteSums(),
        [&](int64_t from, int64_t to, PaletteSums &part) {
          for (int64_t o = from; o < to; ++o) {
            const double square = static_cast<double>(scales_[o]) * scales_[o];
            for (int64_t i = 0; i < size_; ++i)
              part.add(row(o)[i] / scales_[o], importance_[i] * square);
          }
        },
        [&](const PaletteSums &part) { sums.add(part); });
    return sums;
  }

  /// The scale of each channel with the least error for the entries that its weights have now.
  void fitScales(int64_t palette, const Palette &entries) {
    const PaletteCodes codes(entries.entries);
    overRows(
        palette, 0,
        [&](int64_t from, int64_t to, int &) {
          for (int64_t o = from; o < to; ++o) {
            double products = 0, squares = 0;
            for (int64_t i = 0; i < size_; ++i) {
              const double weight = row(o)[i];
              const double entry = entries.entries[codes(row(o)[i] / scales_[o])];
              products += importance_[i] * weight * entry;
              squares += importance_[i] * entry * entry;
            }
            if (const double scale = products / squares; scale > kLeastUnit && squares > 0)
              scales_[o] = static_cast<float>(scale);
          }
        },
        [](int) {});
  }

  std::vector<PaletteCodes> paletteCodes() const {
    const size_t width = size_t{1} << form_.bits;
    std::vector<PaletteCodes> codes;
    for (int64_t palette = 0; palette < palettes_; ++palette)
      codes.emplace_back(result_.palettes.values<int8_t>().subspan(palette * width, width));
    return codes;
  }

  /// A weight of one kernel while its rounding errors are balanced.
  struct Coded {
    double error = 0; ///< weight / scale - entry
    bool moved = false;
  };

  /// Makes the errors of a kernel cancel, as balanceCodes() does: while moving the code whose error
  /// is the largest part of its step to the next entry brings the sum nearer to 0.
  void balance(std::span<Coded> kernel, const int8_t *entries, uint8_t *codes) const {
    for (size_t moves = 0; moves < kernel.size(); ++moves) {
      double sum = 0, largest = 0, chosenStep = 0;
      for (const Coded &weight : kernel)
        sum += weight.error;
      const int direction = sum > 0 ? 1 : -1;
      size_t chosen = kernel.size();
      for (size_t i = 0; i < kernel.size(); ++i) {
        const int to = neighbour(entries, codes[i], direction);
        if (kernel[i].moved || to < 0)
          continue;
        const double step = std::abs(entries[to] - entries[codes[i]]);
        if (const double part = direction * kernel[i].error / step; part > largest) {
          largest = part;
          chosen = i;
          chosenStep = step;
        }
      }
      if (chosen == kernel.size() || std::fabs(sum - direction * chosenStep) >= std::fabs(sum))
        return;
      codes[chosen] = static_cast<uint8_t>(neighbour(entries, codes[chosen], direction));
      kernel[chosen].error -= direction * chosenStep;
      kernel[chosen].moved = true;
    }
  }

  /// The next different entry, or -1.
  int neighbour(const int8_t *entries, int code, int direction) const {
    const int last = (1 << form_.bits) - 1, to = code + direction;
    return to < 0 || to > last || entries[to] == entries[code] ? -1 : to;
  }

  void code(int64_t o, const PaletteCodes &nearest) {
    const int8_t *entries =
        result_.palettes.values<int8_t>().data() + (paletteOf(form_, o) << form_.bits);
    auto *codes =
        reinterpret_cast<uint8_t *>(result_.codes.mutableValues<int8_t>().data()) + o * size_;
    const float scale = scales_[o];
    for (int64_t i = 0; i < size_; ++i)
      codes[i] = nearest(row(o)[i] / scale);
    if (const int64_t taps = inputs_ > 0 ? size_ / inputs_ : 0; taps > 1) {
      std::vector<Coded> kernel(static_cast<size_t>(taps));
      for (int64_t first = 0; first < size_; first += taps) {
        for (int64_t t = 0; t < taps; ++t) {
          const float weight = row(o)[first + t];
          kernel[t] = {.error = static_cast<double>(weight) / scale - entries[codes[first + t]],
                       .moved = options_.withZero && weight == 0};
        }
        balance(kernel, entries, codes + first);
      }
    }
    if (means_.empty())
      return;
    std::vector<int8_t> decoded(static_cast<size_t>(size_));
    for (int64_t i = 0; i < size_; ++i)
      decoded[i] = entries[codes[i]];
    result_.correction.mutableValues<float>()[o] = weightCorrection(row(o), decoded, means_, scale);
  }

  const WeightForm &form_;
  const SharingOptions &options_;
  std::span<const float> values_;
  int64_t outputs_, inputs_, size_;
  int count_;
  int64_t palettes_, rowsOfPalette_;
  std::span<float> scales_;
  std::vector<float> importance_; ///< of each weight of a channel
  std::vector<double> units_, means_;
  QuantizedWeights result_;
};

} // namespace

QuantizedWeights shareWeights(const Tensor &weights, const WeightForm &form,
                              const SharingOptions &options) {
  return Sharing(weights, form, options).run();
}

Tensor decodeSharedWeights(const WeightForm &form, const Tensor &codes, const Tensor &palettes) {
  Tensor result(ElementType::I8, codes.shape());
  const int64_t outputs = codes.dim(0), row = outputs > 0 ? codes.size() / outputs : 0;
  const int64_t mask = form.paletteEntries() - 1;
  const int8_t *from = codes.values<int8_t>().data();
  int8_t *to = result.mutableValues<int8_t>().data();
  parallelFor(outputs, [&](int64_t o, int) {
    const int8_t *entries = palettes.values<int8_t>().data() + (paletteOf(form, o) << form.bits);
    for (int64_t i = o * row; i < (o + 1) * row; ++i)
      to[i] = entries[static_cast<uint8_t>(from[i]) & mask];
  });
  return result;
}

} // namespace sdopt
