// Measures the forms in which weights can be stored.

#include "compiler/schedule/WeightStorage.h"

#include "compiler/kernels/EntropyCoder.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/ZeroLayouts.h"
#include "compiler/schedule/LayerShapes.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace sdopt {
namespace {

/// Runs whose fullest decides which structure weights have.
constexpr std::array<int64_t, 3> kRuns = {4, 8, 16};
constexpr int64_t kRunBits = 4, kLongestZeros = 15; // of ZeroLayout::Runs
constexpr int64_t kFewLanes = 8;                    // an eighth
constexpr int64_t kLeastSaving = 64;
/// Products of an output and an input channel in a 3x3 window: plain ones, of F(2x2, 3x3), of
/// F(4x4, 3x3).
constexpr int64_t kPlainProducts = 9, kF2x2Products = 4;
constexpr double kF4x4Products = 2.25;

/// What one block of outputs contributes to all forms.
struct BlockCounts {
  SymbolCounts all = {}, nonzero = {};
  int64_t zeros = 0;
  int64_t runFillers = 0, runTail = 0; ///< zeros that Runs stores; zeros after the last code
  std::array<int64_t, kRuns.size()> fullest = {}; ///< weights other than 0 in a run
};

class Measurement {
public:
  Measurement(const WeightForm &plain, const StoredWeights &weights, std::span<const int8_t> meant,
              const WeightExtent &layer, int64_t lanes)
      : plain_(plain), weights_(weights), meant_(meant), layer_(layer), lanes_(lanes),
        alphabet_{.bits = plain.bits, .isSigned = plain.coding != WeightCoding::Palette},
        row_(layer.taps * layer.inputs),
        outputs_(
            std::clamp<int64_t>(kMeasuredBlock / std::max<int64_t>(row_, 1), 1, layer.outputs)),
        blocks_(static_cast<size_t>(ceilDiv(layer.outputs, outputs_))) {
    parallelFor(static_cast<int64_t>(blocks_.size()), [&](int64_t i, int) {
      countCodes(i);
      if (hasManyZeros(blocks_[i].zeros, blockWeights(i)))
        countZeros(i);
    });
    for (const BlockCounts &block : blocks_) {
      zeros_ += block.zeros;
      for (size_t s = 0; s < total_.size(); ++s)
        total_[s] += block.all[s];
      for (size_t r = 0; r < kRuns.size(); ++r)
        fullest_[r] = std::max(fullest_[r], block.fullest[r]);
    }
    // Blocks with few zeros were not looked at.
    for (size_t i = 0; i < blocks_.size(); ++i)
      if (!hasManyZeros(blocks_[i].zeros, blockWeights(static_cast<int64_t>(i))))
        fullest_ = kRuns;
  }

  int64_t zeros() const { return zeros_; }
  bool canLeaveZerosOut() const { return hasManyZeros(zeros_, layer_.weights()); }
  double entropyBytes() const { return zeroOrderEntropy(total_) / 8; }

  /// The fewest of a run that can be kept, for the run that takes the fewest bits; 0, 0: none.
  std::pair<int64_t, int64_t> structure() const {
    std::pair<int64_t, int64_t> best = {0, 0};
    int64_t leastBits = INT64_MAX; // of 16 weights
    for (size_t r = 0; r < kRuns.size(); ++r) {
      const int64_t kept = std::max<int64_t>(fullest_[r], 1), run = kRuns[r];
      if (kept >= run)
        continue;
      const int64_t bits = (kept * plain_.bits + combinationBits(kept, run)) * (16 / run);
      if (bits >= leastBits)
        continue;
      leastBits = bits;
      best = {kept, run};
    }
    return best;
  }

  /// All blocks in a form; no block more than in the plain one.
  int64_t bytes(const WeightForm &form) const {
    int64_t sum = 0;
    for (size_t i = 0; i < blocks_.size(); ++i)
      sum += blockBytes(form, static_cast<int64_t>(i));
    return sum;
  }

private:
  int64_t firstOutput(int64_t block) const { return block * outputs_; }
  int64_t outputsOf(int64_t block) const {
    return std::min(outputs_, layer_.outputs - firstOutput(block));
  }
  int64_t blockWeights(int64_t block) const { return outputsOf(block) * row_; }

  void countCodes(int64_t i) {
    BlockCounts &block = blocks_[i];
    const auto first = static_cast<size_t>(firstOutput(i) * row_),
               count = static_cast<size_t>(blockWeights(i));
    countSymbols(weights_.codes.subspan(first, count), alphabet_, block.all);
    const std::span<const int8_t> meant = meant_.subspan(first, count);
    block.zeros = std::count(meant.begin(), meant.end(), int8_t{0});
  }

  void countZeros(int64_t i) {
    BlockCounts &block = blocks_[i];
    const int64_t first = firstOutput(i) * row_, last = first + blockWeights(i);
    int64_t run = 0;
    for (int64_t at = first; at < last; ++at) {
      if (meant_[at] == 0) {
        ++run;
        continue;
      }
      ++block.nonzero[alphabet_.symbol(weights_.codes[at])];
      block.runFillers += run / (kLongestZeros + 1);
      run = 0;
    }
    block.runFillers += run / (kLongestZeros + 1);
    for (int64_t row = first; row < last; row += layer_.inputs)
      for (size_t r = 0; r < kRuns.size(); ++r)
        block.fullest[r] = std::max(block.fullest[r], fullestRun(row, kRuns[r]));
  }

  int64_t fullestRun(int64_t row, int64_t run) const {
    int64_t most = 0;
    for (int64_t i = 0; i < layer_.inputs; i += run) {
      int64_t count = 0;
      for (int64_t at = row + i; at < row + std::min(i + run, layer_.inputs); ++at)
        count += meant_[at] != 0;
      most = std::max(most, count);
    }
    return most;
  }

  int64_t blockBytes(const WeightForm &form, int64_t i) const {
    const BlockCounts &block = blocks_[i];
    const WeightExtent extent =
        blockAt(form, firstOutput(i), 0, outputsOf(i), layer_.taps, layer_.inputs);
    const int64_t plain = storedBytes(form, extent), weights = extent.weights();
    const int64_t parameters = plain - ceilDiv(weights * form.bits, 8);
    int64_t codes = weights, places = 0;
    const int64_t others = weights - block.zeros;
    switch (form.zeros) {
    case ZeroLayout::Dense:
      break;
    case ZeroLayout::Bitmap:
      codes = others;
      places = ceilDiv(weights, 8);
      break;
    case ZeroLayout::Structured:
      codes = structuredCodes(form, extent);
      places = structuredBytes(form, extent);
      break;
    case ZeroLayout::Runs:
      codes = others + block.runFillers;
      places = 4 + ceilDiv(codes * kRunBits, 8);
      break;
    }
    if (form.zeros != ZeroLayout::Dense && !hasManyZeros(block.zeros, weights))
      return plain;
    int64_t packed = ceilDiv(codes * form.bits, 8);
    if (form.lanes > 0 && form.zeros == ZeroLayout::Dense) {
      packed = estimatedEntropyBytes(block.all, alphabet_, form.lanes);
    } else if (form.lanes > 0) {
      SymbolCounts counts = block.nonzero;
      counts[alphabet_.symbol(0)] += codes - others;
      packed = estimatedEntropyBytes(counts, alphabet_, form.lanes);
    }
    return std::min(plain, parameters + places + packed);
  }

  const WeightForm &plain_;
  const StoredWeights &weights_;
  const std::span<const int8_t> meant_;
  const WeightExtent &layer_;
  const int64_t lanes_;
  const CodeAlphabet alphabet_;
  const int64_t row_, outputs_; ///< weights of an output; outputs of a block
  std::vector<BlockCounts> blocks_;
  SymbolCounts total_ = {};
  int64_t zeros_ = 0;
  std::array<int64_t, kRuns.size()> fullest_ = {};
};

bool isAllowed(Storage storage, const WeightForm &form) {
  switch (storage) {
  case Storage::Auto:
    return true;
  case Storage::Plain:
    return !form.varies();
  case Storage::Entropy:
    return form.lanes > 0 && form.zeros == ZeroLayout::Dense;
  case Storage::Bitmap:
    return form.zeros == ZeroLayout::Bitmap;
  case Storage::Structured:
    return form.zeros == ZeroLayout::Structured;
  case Storage::Runs:
    return form.zeros == ZeroLayout::Runs;
  }
  return false;
}

/// Cycles until the weights are there and used, whichever takes longest.
double layerCycles(const MeasuredForm &measured, int64_t weights, int64_t zeros,
                   const WeightUse &use, const Target &target) {
  const double bus = static_cast<double>(measured.bytes) / target.dram.bandwidth * target.clock;
  int64_t rate = target.decoder.weights;
  if (measured.form.lanes > 0)
    rate = std::min({rate, target.decoder.lanes, measured.form.lanes});
  const double decoder =
      measured.form.isPlainInt8() ? 0 : static_cast<double>(weights) / static_cast<double>(rate);
  const auto used = static_cast<double>(measured.form.tellsZeros() ? weights - zeros : weights);
  return std::max({bus, decoder, use.computeCycles * used / static_cast<double>(weights)});
}

/// Fast forms by their bytes; if the recipe insists on slow ones, those by their time.
bool isBetter(const MeasuredForm &measured, const StorageChoice &known, Storage storage) {
  if (!isAllowed(storage, measured.form) || measured.bytes >= known.tried[0].bytes ||
      (storage == Storage::Auto && !measured.isFast))
    return false;
  const MeasuredForm &best = known.best();
  if (known.chosen == 0 || measured.isFast != best.isFast)
    return known.chosen == 0 || measured.isFast;
  return measured.isFast ? measured.bytes < best.bytes : measured.cycles < best.cycles;
}

} // namespace

const char *name(Storage storage) {
  static constexpr const char *kNames[] = {"auto",   "plain",      "entropy",
                                           "bitmap", "structured", "runs"};
  return kNames[static_cast<size_t>(storage)];
}

std::optional<Storage> parseStorage(std::string_view text) {
  for (Storage storage : {Storage::Auto, Storage::Plain, Storage::Entropy, Storage::Bitmap,
                          Storage::Structured, Storage::Runs})
    if (text == name(storage))
      return storage;
  return std::nullopt;
}

WeightUse weightUse(double products, bool wideInput, WinogradForm winograd, const Target &target) {
  const double peak =
      static_cast<double>(target.array.count * target.array.rows * target.array.columns);
  const double cycles = products / peak / (wideInput ? target.array.a16w8Rate : 1.0);
  if (winograd == WinogradForm::None)
    return {cycles, winograd};
  const double kept = winograd == WinogradForm::F2x2 ? kF2x2Products : kF4x4Products;
  return {cycles * kept / kPlainProducts, winograd};
}

bool isMostlyZeros(int64_t zeros, int64_t weights) {
  return kPlainProducts * (weights - zeros) < kF2x2Products * weights;
}

void StorageChoice::extend(int64_t some, int64_t all) {
  const double factor = static_cast<double>(all) / static_cast<double>(some);
  const auto extended = [&](int64_t count) {
    return static_cast<int64_t>(static_cast<Int128>(count) * all / some);
  };
  for (MeasuredForm &form : tried) {
    form.bytes = extended(form.bytes);
    form.cycles *= factor;
  }
  zeros = extended(zeros);
  entropy *= factor;
}

int64_t StorageChoice::share() const {
  const Int128 share = (static_cast<Int128>(best().bytes) * kShareUnit + tried[0].bytes - 1) /
                       std::max<int64_t>(tried[0].bytes, 1);
  return std::clamp<int64_t>(static_cast<int64_t>(share), 1, kShareUnit);
}

StorageChoice chooseStorage(const WeightForm &plain, const StoredWeights &weights,
                            std::span<const int8_t> meant, const WeightExtent &layer,
                            Storage storage, const WeightUse &use, const Target &target) {
  const int64_t lanes = std::min(target.decoder.lanes, kMostLanes);
  const Measurement measurement(plain, weights, meant, layer, lanes);
  StorageChoice choice;
  choice.zeros = measurement.zeros();
  choice.entropy = measurement.entropyBytes();
  // Each lane costs some bytes of a block: fewer of them may do.
  const int64_t few = std::max<int64_t>(lanes / kFewLanes, 1);
  std::vector<WeightForm> forms = {plain};
  for (int64_t coded : {lanes, few}) {
    forms.push_back(plain);
    forms.back().lanes = coded;
  }
  if (measurement.canLeaveZerosOut())
    for (int64_t coded : {int64_t{0}, lanes, few})
      for (ZeroLayout zeros : {ZeroLayout::Bitmap, ZeroLayout::Structured, ZeroLayout::Runs}) {
        WeightForm form = plain;
        form.zeros = zeros;
        form.lanes = coded;
        if (zeros == ZeroLayout::Structured)
          std::tie(form.kept, form.run) = measurement.structure();
        const bool isThere = zeros != ZeroLayout::Structured || form.run > 0;
        if (isThere && (use.winograd == WinogradForm::None || !form.tellsZeros()))
          forms.push_back(form);
      }
  double allowedCycles = 0;
  for (const WeightForm &form : forms) {
    MeasuredForm measured{form, measurement.bytes(form)};
    measured.cycles = layerCycles(measured, layer.weights(), choice.zeros, use, target);
    if (choice.tried.empty())
      allowedCycles = measured.cycles;
    measured.isFast = measured.cycles <= allowedCycles;
    choice.tried.push_back(measured);
  }
  for (size_t i = 1; i < choice.tried.size(); ++i)
    if (isBetter(choice.tried[i], choice, storage))
      choice.chosen = i;
  if (storage != Storage::Auto || choice.best().form.tellsZeros())
    return choice;
  const MeasuredForm smallest = choice.best();
  for (size_t i = 1; i < choice.tried.size(); ++i) {
    const MeasuredForm &measured = choice.tried[i];
    const bool pays = measured.bytes <= smallest.bytes + smallest.bytes / 32 ||
                      measured.cycles <= smallest.cycles * 7 / 8;
    if (measured.form.tellsZeros() && measured.isFast && pays &&
        measured.bytes < choice.tried[0].bytes &&
        (!choice.best().form.tellsZeros() || measured.bytes < choice.best().bytes))
      choice.chosen = i;
  }
  const int64_t plainBytes = choice.tried[0].bytes;
  if (!choice.best().form.tellsZeros() &&
      choice.best().bytes > plainBytes - plainBytes / kLeastSaving)
    choice.chosen = 0;
  return choice;
}

} // namespace sdopt
