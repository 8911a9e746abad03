//===- FastAttention.cpp - exact integer attention at speed -----------------===//
//
// Products of two 16-bit factors do not fit the int32 lanes of DotPanels. Queries and exponentials
// are therefore cut into two 8-bit digits, x = 256 * high + low, and each digit is multiplied on
// its own:
//
//   scores:  q = 256 * qh + ql, ql in [-128, 127], qh in [-128, 128]:  |qh * k| <= 2^22
//   values:  E = 256 * eh + el, both in [0, 255]:                      |eh * v| <  2^23
//
// Keys and values are packed once for the tile; groups of eight queries pass over them.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/FastAttention.h"
#include "compiler/kernels/AttentionPanels.h"
#include "compiler/kernels/ByteAttention.h"
#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/VectorLoop.h"
#include "compiler/kernels/WorkSharing.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace sdopt {

namespace {

constexpr int64_t kMaxScorePairs = 255;
// 128 pairs of 255 * 2^15 * 2 stay below 2^31.
constexpr int64_t kKeyBlock = 256;

bool fits(Codes codes) {
  const CodeFormat &format = codes.format;
  return format.type == ElementType::I8
             ? format.zeroPoint >= format.min() && format.zeroPoint <= format.max()
             : format.zeroPoint == 0;
}

int64_t queryGroups(const AttentionTile &tile) { return (tile.queries + kDotRows - 1) / kDotRows; }

bool isWide(Codes codes) { return codes.format.type == ElementType::I16; }

// Products of bytes that there are for heads of this size; null if there are none.
const AttentionProducts *byteProducts(const DotKernels &kernels, const AttentionTile &tile) {
  const bool fits = kernels.bytes && tile.headDim >= 1 && tile.headDim <= kMaxByteHeadDim;
  return fits ? kernels.bytes->attention : nullptr;
}

// Rows of codes minus zero point as dense int16 with an even row length.
std::vector<int16_t> widenedRows(const DotKernels &kernels, Codes codes, int64_t rows,
                                 int64_t stride, int64_t count, int64_t paddedCount) {
  std::vector<int16_t> result(rows * paddedCount);
  for (int64_t r = 0; r < rows; ++r) {
    int16_t *target = result.data() + r * paddedCount;
    if (isWide(codes))
      std::copy_n(static_cast<const int16_t *>(codes.data) + r * stride, count, target);
    else
      kernels.widen(static_cast<const int8_t *>(codes.data) + r * stride, count,
                    codes.format.zeroPoint, target);
  }
  return result;
}

// Keys in panels: [panel of 16 keys][pair of dims][16][2].
class PackedKeys {
public:
  PackedKeys(const DotKernels &kernels, const AttentionTile &tile, Codes k)
      : pairs((tile.headDim + 1) / 2) {
    std::vector<int16_t> rows =
        widenedRows(kernels, k, tile.keys, tile.keyStride, tile.headDim, 2 * pairs);
    int64_t panelCount = (tile.keys + kDotLanes - 1) / kDotLanes * 2;
    panels.resize(panelCount * panelSize());
    for (int64_t i = 0; i * kPanelLanes < tile.keys; ++i)
      packPanel(rows.data() + i * kPanelLanes * 2 * pairs, 2 * pairs,
                std::min(kPanelLanes, tile.keys - i * kPanelLanes), 2 * pairs,
                panels.data() + i * panelSize());
  }

  int64_t panelSize() const { return pairs * 2 * kPanelLanes; }
  const int16_t *panel(int64_t firstKey) const {
    return panels.data() + firstKey / kPanelLanes * panelSize();
  }

  int64_t pairs;

private:
  std::vector<int16_t> panels;
};

// Values in panels: [block of keys][panel of 16 dims][pair of keys][16][2].
class PackedValues {
public:
  PackedValues(const DotKernels &kernels, const AttentionTile &tile, Codes v)
      : dimPanels((tile.headDim + kDotLanes - 1) / kDotLanes * 2) {
    std::vector<int16_t> rows =
        widenedRows(kernels, v, tile.keys, tile.keyStride, tile.headDim, tile.headDim);
    int64_t blocks = (tile.keys + kKeyBlock - 1) / kKeyBlock;
    panels.resize(blocks * dimPanels * kPanelSize);
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t i = 0; i * kPanelLanes < tile.headDim; ++i)
        packPanelColumns(rows.data() + block * kKeyBlock * tile.headDim + i * kPanelLanes,
                         tile.headDim, std::min(kPanelLanes, tile.headDim - i * kPanelLanes),
                         std::min(kKeyBlock, tile.keys - block * kKeyBlock),
                         panels.data() + (block * dimPanels + i) * kPanelSize);
  }

  static constexpr int64_t kPanelSize = kKeyBlock * kPanelLanes;
  const int16_t *panel(int64_t firstKey, int64_t firstDim) const {
    return panels.data() + (firstKey / kKeyBlock * dimPanels + firstDim / kPanelLanes) * kPanelSize;
  }

private:
  int64_t dimPanels;
  std::vector<int16_t> panels;
};

// Eight queries, cut into digits where they are 16 bits wide.
class QueryGroup {
public:
  QueryGroup(const DotKernels &kernels, const AttentionTile &tile, Codes q, int64_t first)
      : rows(std::min(kDotRows, tile.queries - first)), kernels(kernels),
        stride((tile.headDim + 1) / 2 * 2), low(kDotRows * stride) {
    Codes part = q;
    part.data =
        static_cast<const char *>(q.data) + first * tile.queryStride * byteWidth(q.format.type);
    std::vector<int16_t> wide =
        widenedRows(kernels, part, rows, tile.queryStride, tile.headDim, stride);
    std::copy(wide.begin(), wide.end(), low.begin());
    if (!isWide(q))
      return;
    high.resize(kDotRows * stride);
    for (size_t i = 0; i < low.size(); ++i) {
      high[i] = static_cast<int16_t>((low[i] + 128) >> 8);
      low[i] = static_cast<int16_t>(low[i] - 256 * high[i]);
    }
  }

  // scores[row][lane] of `lanes` <= 32 keys.
  void scores(const PackedKeys &keys, int64_t firstKey, int64_t lanes, int64_t *scores) const {
    std::fill_n(scores, kDotRows * kDotLanes, 0);
    if (!high.empty()) {
      multiply(high, keys, firstKey, lanes, scores);
      vectorLoop(kDotRows * kDotLanes, [scores](int64_t i) SDOPT_INLINE { scores[i] *= 256; });
    }
    multiply(low, keys, firstKey, lanes, scores);
  }

  int64_t rows;

private:
  void multiply(const std::vector<int16_t> &digits, const PackedKeys &keys, int64_t firstKey,
                int64_t lanes, int64_t *scores) const {
    for (int64_t p = 0; p < keys.pairs; p += kMaxScorePairs) {
      DotTile dot;
      dot.a = digits.data() + 2 * p;
      dot.aStride = stride;
      dot.panel = keys.panel(firstKey) + p * 2 * kPanelLanes;
      dot.panelStride = keys.panelSize();
      dot.pairs = std::min(kMaxScorePairs, keys.pairs - p);
      dot.acc = scores;
      dot.accStride = kDotLanes;
      dot.rows = rows;
      dot.lanes = lanes;
      kernels.dot(dot);
    }
  }

  const DotKernels &kernels;
  int64_t stride;
  std::vector<int16_t> low, high;
};

// Keys of the tile that a query may see.
int64_t visibleKeys(const AttentionTile &tile, const AttentionParams &params, int64_t query) {
  if (!params.causal)
    return tile.keys;
  return std::clamp<int64_t>(tile.firstQuery + query - tile.firstKey + 1, 0, tile.keys);
}

inline int64_t difference(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

void groupMaxima(const DotKernels &kernels, const AttentionTile &tile, Codes q,
                 const PackedKeys &keys, const AttentionParams &params, int64_t firstQuery,
                 int64_t *rowMax) {
  QueryGroup group(kernels, tile, q, firstQuery);
  int64_t scores[kDotRows * kDotLanes], best[kDotRows * kDotLanes];
  std::fill_n(best, kDotRows * kDotLanes, INT64_MIN);
  int64_t end = visibleKeys(tile, params, firstQuery + group.rows - 1);
  for (int64_t key = 0; key < end; key += kDotLanes) {
    group.scores(keys, key, std::min(kDotLanes, tile.keys - key), scores);
    for (int64_t r = 0; r < group.rows; ++r) {
      int64_t count = std::min(kDotLanes, visibleKeys(tile, params, firstQuery + r) - key);
      vectorLoop(count, [to = best + r * kDotLanes, from = scores + r * kDotLanes](int64_t i)
                            SDOPT_INLINE { to[i] = std::max(to[i], from[i]); });
    }
  }
  for (int64_t r = 0; r < group.rows; ++r) {
    const int64_t *lanes = best + r * kDotLanes;
    int64_t &maximum = rowMax[firstQuery + r];
    maximum = std::max(maximum, *std::max_element(lanes, lanes + kDotLanes));
  }
}

// One group of queries over all keys of the tile.
class GroupAccumulation {
public:
  GroupAccumulation(const DotKernels &kernels, const AttentionTile &tile, Codes q,
                    const AttentionParams &params, int64_t firstQuery)
      : kernels(kernels), tile(tile), params(params), firstQuery(firstQuery),
        group(kernels, tile, q, firstQuery), high(kDotRows * tile.headDim),
        low(kDotRows * tile.headDim) {}

  void run(const PackedKeys &keys, const PackedValues &values, const int64_t *rowMax,
           int64_t *rowSum, int64_t *acc) {
    int64_t end = visibleKeys(tile, params, firstQuery + group.rows - 1);
    for (int64_t block = 0; block < end; block += kKeyBlock) {
      int64_t count = std::min(kKeyBlock, end - block);
      exponentials(keys, block, count, rowMax + firstQuery, rowSum + firstQuery);
      multiply(highDigits, values, block, count, high);
      multiply(lowDigits, values, block, count, low);
    }
    for (int64_t i = 0; i < group.rows * tile.headDim; ++i)
      acc[firstQuery * tile.headDim + i] += 256 * high[i] + low[i];
  }

private:
  void exponentials(const PackedKeys &keys, int64_t block, int64_t count, const int64_t *rowMax,
                    int64_t *rowSum) {
    highDigits.fill(0);
    lowDigits.fill(0);
    for (int64_t key = block; key < block + count; key += kDotLanes) {
      int64_t scores[kDotRows * kDotLanes];
      group.scores(keys, key, std::min(kDotLanes, tile.keys - key), scores);
      for (int64_t r = 0; r < group.rows; ++r) {
        int64_t lanes = std::min(kDotLanes, visibleKeys(tile, params, firstQuery + r) - key);
        if (lanes > 0)
          rowSum[r] += rowExponentials(scores + r * kDotLanes, lanes, rowMax[r],
                                       r * kKeyBlock + key - block);
      }
    }
  }

  // Writes the digits of E at `position` and returns the sum of E.
  int64_t rowExponentials(int64_t *scores, int64_t lanes, int64_t rowMax, int64_t position) {
    uint16_t e[kDotLanes];
    vectorLoop(lanes, [=](int64_t i) SDOPT_INLINE { scores[i] = difference(rowMax, scores[i]); });
    kernels.exponentials({scores, lanes, params.exponent.multiplier, params.exponent.shift}, e);
    int16_t *highDigit = highDigits.data() + position, *lowDigit = lowDigits.data() + position;
    vectorLoop(lanes, [=, &e](int64_t i) SDOPT_INLINE {
      highDigit[i] = static_cast<int16_t>(e[i] >> 8);
      lowDigit[i] = static_cast<int16_t>(e[i] & 255);
    });
    return std::accumulate(e, e + lanes, int64_t(0));
  }

  using Digits = std::array<int16_t, kDotRows * kKeyBlock>;

  void multiply(const Digits &digits, const PackedValues &values, int64_t block, int64_t count,
                std::vector<int64_t> &sums) {
    for (int64_t dim = 0; dim < tile.headDim; dim += kDotLanes) {
      DotTile dot;
      dot.a = digits.data();
      dot.aStride = kKeyBlock;
      dot.panel = values.panel(block, dim);
      dot.panelStride = PackedValues::kPanelSize;
      dot.pairs = (count + 1) / 2;
      dot.acc = sums.data() + dim;
      dot.accStride = tile.headDim;
      dot.rows = group.rows;
      dot.lanes = std::min(kDotLanes, tile.headDim - dim);
      kernels.dot(dot);
    }
  }

  const DotKernels &kernels;
  const AttentionTile &tile;
  const AttentionParams &params;
  int64_t firstQuery;
  QueryGroup group;
  std::vector<int64_t> high, low;
  Digits highDigits, lowDigits;
};

} // namespace

void fastAttentionMaxima(const DotKernels &kernels, const AttentionTile &tile, Codes q, Codes k,
                         const AttentionParams &params, int64_t *rowMax) {
  if (!fits(q) || !fits(k))
    return naiveKernels().attentionMaxima(tile, q, k, params, rowMax);
  if (const AttentionProducts *products = byteProducts(kernels, tile))
    return byteAttentionMaxima(kernels, *products, tile, q, k, params, rowMax);
  PackedKeys keys(kernels, tile, k);
  shareItems(queryGroups(tile), kernelThreads(), [&](int64_t group) {
    groupMaxima(kernels, tile, q, keys, params, group * kDotRows, rowMax);
  });
}

void fastAttentionAccumulate(const DotKernels &kernels, const AttentionTile &tile, Codes q, Codes k,
                             Codes v, const AttentionParams &params, const int64_t *rowMax,
                             int64_t *rowSum, int64_t *acc) {
  if (!fits(q) || !fits(k) || !fits(v))
    return naiveKernels().attentionAccumulate(tile, q, k, v, params, rowMax, rowSum, acc);
  if (const AttentionProducts *products = byteProducts(kernels, tile))
    return byteAttentionAccumulate(kernels, *products, tile, q, k, v, params, rowMax, rowSum, acc);
  PackedKeys keys(kernels, tile, k);
  PackedValues values(kernels, tile, v);
  shareItems(queryGroups(tile), kernelThreads(), [&](int64_t group) {
    GroupAccumulation(kernels, tile, q, params, group * kDotRows)
        .run(keys, values, rowMax, rowSum, acc);
  });
}

void fastAttention(const DotKernels &kernels, const AttentionTile &tile, Codes q, Codes k, Codes v,
                   const AttentionParams &params, int64_t *rowMax, int64_t *rowSum, int64_t *acc) {
  const AttentionProducts *products = byteProducts(kernels, tile);
  if (products && fits(q) && fits(k) && fits(v))
    return byteAttention(kernels, *products, tile, q, k, v, params, rowMax, rowSum, acc);
  fastAttentionMaxima(kernels, tile, q, k, params, rowMax);
  fastAttentionAccumulate(kernels, tile, q, k, v, params, rowMax, rowSum, acc);
}

} // namespace sdopt
