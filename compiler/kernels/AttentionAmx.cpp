//===- AttentionAmx.cpp - attention by tiles --------------------------------===//
//
// Sixteen queries pass over the keys in steps of 64; the exponentials of 256 keys meet the values
// at once. Tiles: 0, 1 planes of queries or exponentials, 2, 3 planes of keys or values, 4..6 sums
// of high * high, of the two mixed products and of low * low.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/AttentionAmx.h"
#include "compiler/kernels/AmxTiles.h"
#include "compiler/kernels/AttentionVectors.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/WorkSharing.h"

#include <algorithm>

namespace sdopt {

#if defined(__x86_64__)

namespace {

constexpr int64_t kTileBytes = kByteChunk * kByteLanes;
// 2 * 255^2 * 16384 < 2^31
constexpr int64_t kFlushKeys = 16384;

SDOPT_AMX void wideScoreTiles(const QueryRows &q, const KeyPanels &keys, int64_t firstKey,
                              int64_t groups, StepScores &scores) {
  constexpr int64_t kStride = kKeyStep * sizeof(int32_t);
  tileFence();
  for (int64_t g = 0; g < groups; ++g) {
    const int8_t *high = keys.panel(firstKey + g * kByteLanes, 0);
    const int8_t *low = keys.panel(firstKey + g * kByteLanes, 1);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    for (int64_t chunk = 0; chunk < keys.chunks(); ++chunk) {
      _tile_loadd(0, q.plane(0) + chunk * kByteChunk, q.stride());
      _tile_loadd(1, q.plane(1) + chunk * kByteChunk, q.stride());
      _tile_loadd(2, high + chunk * kTileBytes, kByteChunk);
      _tile_loadd(3, low + chunk * kTileBytes, kByteChunk);
      _tile_dpbssd(4, 0, 2);
      _tile_dpbsud(5, 0, 3);
      _tile_dpbuud(6, 1, 3);
      _tile_dpbusd(5, 1, 2);
    }
    _tile_stored(4, scores.high[0] + g * kByteLanes, kStride);
    _tile_stored(5, scores.middle[0] + g * kByteLanes, kStride);
    _tile_stored(6, scores.low[0] + g * kByteLanes, kStride);
  }
}

SDOPT_AMX void narrowScoreTiles(const QueryRows &q, const KeyPanels &keys, int64_t firstKey,
                                int64_t groups, StepScores &scores) {
  tileFence();
  for (int64_t g = 0; g < groups; ++g) {
    const int8_t *panel = keys.panel(firstKey + g * kByteLanes, 0);
    _tile_zero(4);
    for (int64_t chunk = 0; chunk < keys.chunks(); ++chunk) {
      _tile_loadd(0, q.plane(0) + chunk * kByteChunk, q.stride());
      _tile_loadd(2, panel + chunk * kTileBytes, kByteChunk);
      _tile_dpbusd(4, 0, 2);
    }
    _tile_stored(4, scores.high[0] + g * kByteLanes, kKeyStep * sizeof(int32_t));
  }
}

// Sums of E * v for sixteen dimensions; narrow values have no middle.
struct ValueSums {
  alignas(64) int32_t high[kByteGroup][kByteLanes];
  alignas(64) int32_t middle[kByteGroup][kByteLanes];
  alignas(64) int32_t low[kByteGroup][kByteLanes];
};

// Chunks of keys that lie one after the other in a panel.
struct ValueChunks {
  const int8_t *high, *low;
  int64_t count;
};

SDOPT_AMX void wideValueTiles(const ExponentialDigits &digits, const ValueChunks &values,
                              ValueSums &sums) {
  constexpr int64_t kStride = kByteLanes * sizeof(int32_t);
  tileFence();
  _tile_loadd(4, sums.high, kStride);
  _tile_loadd(5, sums.middle, kStride);
  _tile_loadd(6, sums.low, kStride);
  for (int64_t chunk = 0; chunk < values.count; ++chunk) {
    _tile_loadd(0, digits.high[0] + chunk * kKeyStep, kKeyBlock);
    _tile_loadd(1, digits.low[0] + chunk * kKeyStep, kKeyBlock);
    _tile_loadd(2, values.high + chunk * kTileBytes, kByteChunk);
    _tile_loadd(3, values.low + chunk * kTileBytes, kByteChunk);
    _tile_dpbusd(4, 0, 2);
    _tile_dpbuud(5, 0, 3);
    _tile_dpbuud(6, 1, 3);
    _tile_dpbusd(5, 1, 2);
  }
  _tile_stored(4, sums.high, kStride);
  _tile_stored(5, sums.middle, kStride);
  _tile_stored(6, sums.low, kStride);
}

SDOPT_AMX void narrowValueTiles(const ExponentialDigits &digits, const ValueChunks &values,
                                ValueSums &sums) {
  constexpr int64_t kStride = kByteLanes * sizeof(int32_t);
  tileFence();
  _tile_loadd(4, sums.high, kStride);
  _tile_loadd(6, sums.low, kStride);
  for (int64_t chunk = 0; chunk < values.count; ++chunk) {
    _tile_loadd(0, digits.high[0] + chunk * kKeyStep, kKeyBlock);
    _tile_loadd(1, digits.low[0] + chunk * kKeyStep, kKeyBlock);
    _tile_loadd(2, values.high + chunk * kTileBytes, kByteChunk);
    _tile_dpbusd(4, 0, 2);
    _tile_dpbusd(6, 1, 2);
  }
  _tile_stored(4, sums.high, kStride);
  _tile_stored(6, sums.low, kStride);
}

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
  QueryGroup(const DotKernels &kernels, const AttentionTile &tile, Codes q,
             const ScoreFormat &format, const KeyPanels &keys, const AttentionParams &params,
             int64_t first)
      : tile(tile), params(params), keys(keys), narrow(format.narrow), first(first),
        rows(std::min(kByteGroup, tile.queries - first)),
        queries(kernels, rowsOf(q, first, rows, tile.headDim, tile.queryStride), format) {}

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
    narrow ? narrowScoreTiles(queries, keys, key, groups, scores)
           : wideScoreTiles(queries, keys, key, groups, scores);
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

void groupMaxima(const QueryGroup &group, const KeyPanels &keys, bool narrow, int64_t *rowMax) {
  MaximumLanes lanes;
  StepScores scores;
  configureTiles();
  for (int64_t key = 0; key < group.visibleKeys(); key += kKeyStep) {
    int64_t counts[kByteGroup];
    group.visibleCounts(key, counts);
    group.score(key, scores);
    narrow ? lanes.addNarrow(scores, keys.terms() + key, counts) : lanes.addWide(scores, counts);
  }
  releaseTiles();
  for (int64_t r = 0; r < group.rowCount(); ++r) {
    int64_t maximum = 0;
    if (narrow ? lanes.narrow(r, maximum) : lanes.wide(r, maximum))
      rowMax[r] = std::max(rowMax[r], maximum + group.terms()[r]);
  }
}

// One group of queries over all keys of the tile.
class GroupAccumulation {
public:
  GroupAccumulation(const QueryGroup &group, const KeyPanels &keys, const ValuePanels &values,
                    const Exponentials &exponentials, int64_t headDim, int32_t valueZero)
      : group(group), keys(keys), values(values), exponentials(exponentials), headDim(headDim),
        valueZero(valueZero), sums((headDim + kByteLanes - 1) / kByteLanes) {}

  void run(bool narrow, const int64_t *rowMax, int64_t *rowSum, int64_t *acc) {
    for (int64_t r = 0; r < group.rowCount(); ++r)
      maxima[r] = static_cast<int64_t>(static_cast<uint64_t>(rowMax[r]) -
                                       static_cast<uint64_t>(group.terms()[r]));
    int64_t end = group.visibleKeys();
    configureTiles();
    for (int64_t block = 0; block < end; block += kKeyBlock) {
      int64_t steps = 0;
      for (int64_t key = block; key < std::min(end, block + kKeyBlock); key += kKeyStep, ++steps)
        addStep(narrow, key, key - block);
      for (int64_t i = 0; i < static_cast<int64_t>(sums.size()); ++i)
        addValues(block, i, steps);
      if ((block + kKeyBlock) % kFlushKeys == 0)
        flush(rowSum, acc);
    }
    releaseTiles();
    flush(rowSum, acc);
  }

private:
  void addStep(bool narrow, int64_t key, int64_t column) {
    int64_t counts[kByteGroup];
    group.visibleCounts(key, counts);
    group.score(key, scores);
    Exponentials::Rows rows{maxima, counts, exponentialSums};
    if (narrow)
      exponentials.narrow(scores, keys.terms() + key, rows, column, digits);
    else
      exponentials.wide(scores, rows, column, digits);
  }

  void addValues(int64_t key, int64_t panel, int64_t steps) {
    int64_t dim = panel * kByteLanes;
    if (values.isNarrow())
      narrowValueTiles(digits, {values.panel(key, dim, 0), nullptr, steps}, sums[panel]);
    else
      wideValueTiles(digits, {values.panel(key, dim, 0), values.panel(key, dim, 1), steps},
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
  const KeyPanels &keys;
  const ValuePanels &values;
  const Exponentials &exponentials;
  int64_t headDim;
  int32_t valueZero;
  int64_t maxima[kByteGroup] = {};
  int64_t exponentialSums[kByteGroup] = {};
  StepScores scores;
  ExponentialDigits digits;
  std::vector<ValueSums> sums;
};

} // namespace

void amxAttentionMaxima(const DotKernels &kernels, const AttentionTile &tile, Codes q, Codes k,
                        const AttentionParams &params, int64_t *rowMax) {
  ScoreFormat format(q, k);
  KeyPanels keys(kernels, keyRows(k, tile), format);
  forQueryGroups(tile, [&](int64_t first) {
    groupMaxima(QueryGroup(kernels, tile, q, format, keys, params, first), keys, format.narrow,
                rowMax + first);
  });
}

void amxAttentionAccumulate(const DotKernels &kernels, const AttentionTile &tile, Codes q, Codes k,
                            Codes v, const AttentionParams &params, const int64_t *rowMax,
                            int64_t *rowSum, int64_t *acc) {
  ScoreFormat format(q, k);
  KeyPanels keys(kernels, keyRows(k, tile), format);
  ValuePanels values(kernels, keyRows(v, tile));
  Exponentials exponentials(kernels, params);
  forQueryGroups(tile, [&](int64_t first) {
    QueryGroup group(kernels, tile, q, format, keys, params, first);
    GroupAccumulation(group, keys, values, exponentials, tile.headDim, v.format.zeroPoint)
        .run(format.narrow, rowMax + first, rowSum + first, acc + first * tile.headDim);
  });
}

#else

void amxAttentionMaxima(const DotKernels &, const AttentionTile &, Codes, Codes,
                        const AttentionParams &, int64_t *) {}
void amxAttentionAccumulate(const DotKernels &, const AttentionTile &, Codes, Codes, Codes,
                            const AttentionParams &, const int64_t *, int64_t *, int64_t *) {}

#endif

} // namespace sdopt
