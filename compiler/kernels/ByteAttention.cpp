//===- ByteAttention.cpp - attention by products of bytes -------------------===//
//
// Sixteen queries pass over the keys in steps of 64; the exponentials of 256 keys meet the values
// at once. Where maxima and sums are asked for together, the scores of the first pass are kept for
// the second: 6 bytes each.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/ByteAttention.h"
#include "compiler/kernels/InstructionSets.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/WorkSharing.h"

#include <algorithm>

namespace sdopt {

#if defined(__x86_64__)

namespace {

// 2 * 255^2 * 16384 < 2^31
constexpr int64_t kFlushKeys = 16384;

SDOPT_AVX512 void addValueSums(const int32_t *high, const int32_t *middle, const int32_t *low,
                               int64_t highFactor, int64_t correction, int64_t count,
                               int64_t *acc) {
  for (int64_t i = 0; i < count; ++i)
    acc[i] += highFactor * high[i] + 256 * int64_t(middle[i]) + low[i] + correction;
}

// Calls work(first query) for each group, from several threads where there is much to do.
template <typename Work> void forQueryGroups(const AttentionTile &tile, Work work) {
  constexpr int64_t kFewScores = 1 << 16;
  int threads = tile.queries * tile.keys < kFewScores ? 1 : kernelThreads();
  int64_t groups = (tile.queries + kByteGroup - 1) / kByteGroup;
  shareItems(groups, threads, [&](int64_t group) { work(group * kByteGroup); });
}

CodeRows rowsOf(Codes codes, int64_t first, int64_t rows, int64_t columns, int64_t stride) {
  int64_t width = byteWidth(codes.format.type);
  codes.data = static_cast<const std::byte *>(codes.data) + first * stride * width;
  return {codes, rows, columns, stride};
}

CodeRows keyRows(Codes codes, const AttentionTile &tile) {
  return rowsOf(codes, 0, tile.keys, tile.headDim, tile.keyStride);
}

// Up to sixteen queries of a tile.
class QueryGroup {
public:
  QueryGroup(const DotKernels &kernels, const AttentionProducts &products,
             const AttentionTile &tile, Codes q, const ScoreFormat &format, const KeyPanels &keys,
             const AttentionParams &params, int64_t first)
      : products(products), tile(tile), params(params), keys(keys), narrow(format.narrow),
        first(first), rows(std::min(kByteGroup, tile.queries - first)),
        queries(kernels, rowsOf(q, first, rows, tile.headDim, tile.queryStride), format) {}

  const AttentionProducts &products;

  bool isNarrow() const { return narrow; }
  int64_t rowCount() const { return rows; }
  const int64_t *terms() const { return queries.terms(); }

  /// Keys that the last row sees, and with it every other.
  int64_t visibleKeys() const { return visibleKeys(rows - 1); }

  /// How many keys from `key` on each row sees, up to one step.
  void visibleCounts(int64_t key, int64_t *counts) const {
    for (int64_t r = 0; r < kByteGroup; ++r)
      counts[r] = r < rows ? std::clamp<int64_t>(visibleKeys(r) - key, 0, kKeyStep) : 0;
  }

  void score(int64_t key, StepScores &scores) const {
    int64_t count = std::min(kKeyStep, tile.keys - key);
    int64_t groups = (count + kByteLanes - 1) / kByteLanes;
    StepProducts sums;
    if (narrow) {
      products.narrowScores(queries, keys, key, groups, sums);
      narrowScores(sums, keys.terms() + key, scores);
    } else {
      products.wideScores(queries, keys, key, groups, sums);
      wideScores(sums, scores);
    }
  }

private:
  int64_t visibleKeys(int64_t row) const {
    if (!params.causal)
      return tile.keys;
    return std::clamp<int64_t>(tile.firstQuery + first + row - tile.firstKey + 1, 0, tile.keys);
  }

  const AttentionTile &tile;
  const AttentionParams &params;
  const KeyPanels &keys;
  bool narrow;
  int64_t first, rows;
  QueryRows queries;
};

// Scores of any step anew, in place of those of the one before.
class FreshScores {
public:
  explicit FreshScores(const QueryGroup &group) : group(group) {}
  const StepScores &at(int64_t key) {
    group.score(key, scores);
    return scores;
  }

private:
  const QueryGroup &group;
  StepScores scores;
};

// All that a group sees; the first time that they are asked for, steps come one after the other.
class KeptScores {
public:
  explicit KeptScores(const QueryGroup &group) : group(group) {
    thread_local Scratch scratch;
    const int64_t steps = (group.visibleKeys() + kKeyStep - 1) / kKeyStep;
    scores = reinterpret_cast<StepScores *>(
        scratch.reserve(std::max<int64_t>(steps, 1) * int64_t(sizeof(StepScores))));
  }
  const StepScores &at(int64_t key) {
    if (key == end) {
      group.score(key, scores[key / kKeyStep]);
      end += kKeyStep;
    }
    return scores[key / kKeyStep];
  }

private:
  const QueryGroup &group;
  StepScores *scores;
  int64_t end = 0;
};

template <typename Scores>
void groupMaxima(const QueryGroup &group, Scores &scores, int64_t *rowMax) {
  const bool narrow = group.isNarrow();
  MaximumLanes lanes;
  group.products.begin();
  for (int64_t key = 0; key < group.visibleKeys(); key += kKeyStep) {
    int64_t counts[kByteGroup];
    group.visibleCounts(key, counts);
    const StepScores &step = scores.at(key);
    narrow ? lanes.addNarrow(step, counts) : lanes.addWide(step, counts);
  }
  group.products.end();
  for (int64_t r = 0; r < group.rowCount(); ++r) {
    int64_t maximum = 0;
    if (narrow ? lanes.narrow(r, maximum) : lanes.wide(r, maximum))
      rowMax[r] = std::max(rowMax[r], maximum + group.terms()[r]);
  }
}

// One group of queries over all keys of the tile.
template <typename Scores> class GroupAccumulation {
public:
  GroupAccumulation(const QueryGroup &group, Scores &scores, const ValuePanels &values,
                    const Exponentials &exponentials, int64_t headDim, int32_t valueZero)
      : group(group), scores(scores), values(values), exponentials(exponentials), headDim(headDim),
        valueZero(valueZero), sums((headDim + kByteLanes - 1) / kByteLanes) {}

  void run(const int64_t *rowMax, int64_t *rowSum, int64_t *acc) {
    for (int64_t r = 0; r < group.rowCount(); ++r)
      maxima[r] = static_cast<int64_t>(static_cast<uint64_t>(rowMax[r]) -
                                       static_cast<uint64_t>(group.terms()[r]));
    int64_t end = group.visibleKeys();
    group.products.begin();
    for (int64_t block = 0; block < end; block += kKeyBlock) {
      int64_t steps = 0;
      for (int64_t key = block; key < std::min(end, block + kKeyBlock); key += kKeyStep, ++steps)
        addStep(key, key - block);
      for (int64_t i = 0; i < static_cast<int64_t>(sums.size()); ++i)
        addValues(block, i, steps);
      if ((block + kKeyBlock) % kFlushKeys == 0)
        flush(rowSum, acc);
    }
    group.products.end();
    flush(rowSum, acc);
  }

private:
  void addStep(int64_t key, int64_t column) {
    int64_t counts[kByteGroup];
    group.visibleCounts(key, counts);
    Exponentials::Rows rows{maxima, counts, exponentialSums};
    if (group.isNarrow())
      exponentials.narrow(scores.at(key), rows, column, digits);
    else
      exponentials.wide(scores.at(key), rows, column, digits);
  }

  void addValues(int64_t key, int64_t panel, int64_t steps) {
    int64_t dim = panel * kByteLanes;
    if (values.isNarrow())
      group.products.narrowValues(digits, {values.panel(key, dim, 0), nullptr, nullptr, steps},
                                  sums[panel]);
    else
      group.products.wideValues(
          digits,
          {values.panel(key, dim, 0), values.panel(key, dim, 1), values.terms(key, dim), steps},
          sums[panel]);
  }

  // Adds what has come together and starts again.
  void flush(int64_t *rowSum, int64_t *acc) {
    int64_t highFactor = values.isNarrow() ? 256 : 65536;
    for (int64_t r = 0; r < group.rowCount(); ++r) {
      int64_t correction = values.isNarrow() ? -valueZero * exponentialSums[r] : 0;
      for (int64_t d = 0; d < headDim; d += kByteLanes) {
        const ValueSums &s = sums[d / kByteLanes];
        addValueSums(s.high[r], s.middle[r], s.low[r], highFactor, correction,
                     std::min(kByteLanes, headDim - d), acc + r * headDim + d);
      }
      rowSum[r] += exponentialSums[r];
    }
    std::fill(sums.begin(), sums.end(), ValueSums());
    std::fill_n(exponentialSums, kByteGroup, 0);
  }

  const QueryGroup &group;
  Scores &scores;
  const ValuePanels &values;
  const Exponentials &exponentials;
  int64_t headDim;
  int32_t valueZero;
  int64_t maxima[kByteGroup] = {};
  int64_t exponentialSums[kByteGroup] = {};
  ExponentialDigits digits;
  std::vector<ValueSums> sums;
};

// Calls begin(group, scores, first query) before the sums of each group.
template <typename Scores, typename Begin>
void sumGroups(const DotKernels &kernels, const AttentionProducts &products,
               const AttentionTile &tile, Codes q, Codes k, Codes v, const AttentionParams &params,
               const int64_t *rowMax, int64_t *rowSum, int64_t *acc, Begin begin) {
  ScoreFormat format(q, k, products.wide);
  KeyPanels keys(kernels, keyRows(k, tile), format);
  ValuePanels values(kernels, keyRows(v, tile), products.wide);
  Exponentials exponentials(kernels, params, values.isWhole());
  forQueryGroups(tile, [&](int64_t first) {
    const QueryGroup group(kernels, products, tile, q, format, keys, params, first);
    Scores scores(group);
    begin(group, scores, first);
    GroupAccumulation(group, scores, values, exponentials, tile.headDim, v.format.zeroPoint)
        .run(rowMax + first, rowSum + first, acc + first * tile.headDim);
  });
}

} // namespace

void byteAttentionMaxima(const DotKernels &kernels, const AttentionProducts &products,
                         const AttentionTile &tile, Codes q, Codes k, const AttentionParams &params,
                         int64_t *rowMax) {
  ScoreFormat format(q, k, products.wide);
  KeyPanels keys(kernels, keyRows(k, tile), format);
  forQueryGroups(tile, [&](int64_t first) {
    const QueryGroup group(kernels, products, tile, q, format, keys, params, first);
    FreshScores scores(group);
    groupMaxima(group, scores, rowMax + first);
  });
}

void byteAttentionAccumulate(const DotKernels &kernels, const AttentionProducts &products,
                             const AttentionTile &tile, Codes q, Codes k, Codes v,
                             const AttentionParams &params, const int64_t *rowMax, int64_t *rowSum,
                             int64_t *acc) {
  sumGroups<FreshScores>(kernels, products, tile, q, k, v, params, rowMax, rowSum, acc,
                         [](const QueryGroup &, FreshScores &, int64_t) {});
}

void byteAttention(const DotKernels &kernels, const AttentionProducts &products,
                   const AttentionTile &tile, Codes q, Codes k, Codes v,
                   const AttentionParams &params, int64_t *rowMax, int64_t *rowSum, int64_t *acc) {
  sumGroups<KeptScores>(kernels, products, tile, q, k, v, params, rowMax, rowSum, acc,
                        [&](const QueryGroup &group, KeptScores &scores, int64_t first) {
                          groupMaxima(group, scores, rowMax + first);
                        });
}

#else

void byteAttentionMaxima(const DotKernels &, const AttentionProducts &, const AttentionTile &,
                         Codes, Codes, const AttentionParams &, int64_t *) {}
void byteAttentionAccumulate(const DotKernels &, const AttentionProducts &, const AttentionTile &,
                             Codes, Codes, Codes, const AttentionParams &, const int64_t *,
                             int64_t *, int64_t *) {}
void byteAttention(const DotKernels &, const AttentionProducts &, const AttentionTile &, Codes,
                   Codes, Codes, const AttentionParams &, int64_t *, int64_t *, int64_t *) {}

#endif

} // namespace sdopt
