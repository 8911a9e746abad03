//===- AttentionVnni.cpp - products of attention by dot products ------------===//
//
// A sum of wide products S is one of whole codes modulo 2^32, L, and one of high bytes, A, three
// instructions for four depths where four products of bytes would take four. As S is nearer to
// 65536 * A than 2^31, and S >> 16 = L >> 16 modulo 2^16,
//
//   S >> 16 = A + the signed 16 bits of ((L >> 16) - A)
//

#include "compiler/kernels/AttentionProducts.h"
#include "compiler/kernels/VnniDots.h"

#include <algorithm>

namespace sdopt {

#if defined(__x86_64__)

namespace {

constexpr int64_t kStepBytes = 4 * kByteLanes; ///< of a panel, for four depths

/// Rows of unsigned bytes.
struct Rows {
  const uint8_t *first;
  int64_t stride;
};

/// sums[panel][row] += rows x panels, or = where that is `fresh`.
template <int kRows, int kPanels>
SDOPT_VNNI inline void multiply(Rows rows, const int8_t *const (&panels)[kPanels], int64_t depth,
                                bool fresh, int64_t sumStride, int32_t *const (&sums)[kPanels]) {
  __m512i lanes[kRows][kPanels];
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < kPanels; ++i)
      lanes[r][i] = fresh ? _mm512_setzero_si512() : _mm512_loadu_si512(sums[i] + r * sumStride);
  for (int64_t k = 0; k < depth; k += 4) {
    __m512i panel[kPanels];
    for (int i = 0; i < kPanels; ++i)
      panel[i] = _mm512_loadu_si512(panels[i] + k / 4 * kStepBytes);
    for (int r = 0; r < kRows; ++r) {
      const __m512i quad = _mm512_set1_epi32(quadAt(rows.first + r * rows.stride + k));
      for (int i = 0; i < kPanels; ++i)
        lanes[r][i] = addQuads(lanes[r][i], quad, panel[i]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < kPanels; ++i)
      _mm512_storeu_si512(sums[i] + r * sumStride, lanes[r][i]);
}

SDOPT_VNNI void narrowScores(const QueryRows &q, const KeyPanels &keys, int64_t firstKey,
                             int64_t groups, StepProducts &scores) {
  constexpr int64_t kHalf = kByteGroup / 2;
  const int64_t depth = keys.chunks() * kByteChunk;
  const auto panel = [&](int64_t g) { return keys.panel(firstKey + g * kByteLanes, 0); };
  int64_t g = 0;
  for (; g + 2 <= groups; g += 2)
    for (int64_t r = 0; r < kByteGroup; r += kHalf)
      multiply<kHalf, 2>({q.plane(0) + r * q.stride(), q.stride()}, {panel(g), panel(g + 1)}, depth,
                         true, kKeyStep,
                         {scores.high[r] + g * kByteLanes, scores.high[r] + (g + 1) * kByteLanes});
  if (g < groups)
    multiply<kByteGroup, 1>({q.plane(0), q.stride()}, {panel(g)}, depth, true, kKeyStep,
                            {scores.high[0] + g * kByteLanes});
}

SDOPT_VNNI void narrowValues(const ExponentialDigits &digits, const ValueChunks &values,
                             ValueSums &sums) {
  const int64_t depth = values.count * kKeyStep;
  multiply<kByteGroup, 1>({digits.high[0], kKeyBlock}, {values.high}, depth, false, kByteLanes,
                          {sums.high[0]});
  multiply<kByteGroup, 1>({digits.low[0], kKeyBlock}, {values.high}, depth, false, kByteLanes,
                          {sums.low[0]});
}

/// What wide rows and panels are multiplied from, high bytes and whole codes.
struct WideRows {
  Rows high, whole;
};
struct WidePanel {
  const int8_t *high, *whole;
};

/// give(row, panel, S >> 16, S & 65535) of S = rows x panels. Where rows and high bytes of panels
/// are unsigned or not: either way round. Sums of high bytes begin with those of `rowTerms`, sums
/// of whole codes with those of `laneTerms`; null: with 0.
template <int kRows, int kPanels, bool kUnsignedRows, typename Give>
SDOPT_VNNI inline void multiplyWide(const WideRows &rows, const WidePanel (&panels)[kPanels],
                                    int64_t depth, const int32_t *rowTerms,
                                    const int32_t *laneTerms, Give give) {
  __m512i high[kRows][kPanels], whole[kRows][kPanels];
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < kPanels; ++i) {
      high[r][i] = rowTerms ? _mm512_set1_epi32(rowTerms[r]) : _mm512_setzero_si512();
      whole[r][i] = laneTerms ? _mm512_loadu_si512(laneTerms) : _mm512_setzero_si512();
    }
  for (int64_t k = 0; k < depth; k += 4) {
    __m512i highs[kPanels], first[kPanels], second[kPanels];
    for (int i = 0; i < kPanels; ++i) {
      highs[i] = _mm512_loadu_si512(panels[i].high + k / 4 * kStepBytes);
      first[i] = _mm512_loadu_si512(panels[i].whole + k / 2 * kStepBytes);
      second[i] = _mm512_loadu_si512(panels[i].whole + (k / 2 + 1) * kStepBytes);
    }
    for (int r = 0; r < kRows; ++r) {
      const uint8_t *codes = rows.whole.first + r * rows.whole.stride + 2 * k;
      const __m512i quad = _mm512_set1_epi32(quadAt(rows.high.first + r * rows.high.stride + k));
      const __m512i pair = _mm512_set1_epi32(quadAt(codes));
      const __m512i next = _mm512_set1_epi32(quadAt(codes + 4));
      for (int i = 0; i < kPanels; ++i) {
        high[r][i] = kUnsignedRows ? addQuads(high[r][i], quad, highs[i])
                                   : addQuads(high[r][i], highs[i], quad);
        whole[r][i] = addPairs(whole[r][i], pair, first[i]);
        whole[r][i] = addPairs(whole[r][i], next, second[i]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < kPanels; ++i) {
      const __m512i lacks = _mm512_sub_epi32(_mm512_srli_epi32(whole[r][i], 16), high[r][i]);
      const __m512i carried = _mm512_srai_epi32(_mm512_slli_epi32(lacks, 16), 16);
      give(r, i, _mm512_add_epi32(high[r][i], carried),
           _mm512_and_si512(whole[r][i], _mm512_set1_epi32(65535)));
    }
}

/// Scores of kRows queries from `row` on and kPanels panels of keys.
template <int kRows, int kPanels>
SDOPT_VNNI inline void wideBlock(const QueryRows &q, const KeyPanels &keys, int64_t firstKey,
                                 int64_t row, StepProducts &scores, int64_t column) {
  const int64_t depth = keys.chunks() * kByteChunk;
  for (int64_t first = 0; first < depth; first += kWholeDepths) {
    const WideRows rows = {{q.plane(0) + row * q.stride() + first, q.stride()},
                           {q.plane(1) + 2 * (row * q.stride() + first), 2 * q.stride()}};
    WidePanel panels[kPanels];
    for (int i = 0; i < kPanels; ++i)
      panels[i] = {keys.panel(firstKey + i * kByteLanes, 0) + first * kByteLanes,
                   keys.panel(firstKey + i * kByteLanes, 1) + 2 * first * kByteLanes};
    multiplyWide<kRows, kPanels, false>(
        rows, panels, std::min(kWholeDepths, depth - first), q.highTerms(first) + row, nullptr,
        [&](int r, int i, __m512i high, __m512i low) SDOPT_VNNI {
          int32_t *toHigh = scores.high[row + r] + column + i * kByteLanes;
          int32_t *toLow = scores.low[row + r] + column + i * kByteLanes;
          if (first > 0) {
            high = _mm512_add_epi32(high, _mm512_load_si512(toHigh));
            low = _mm512_add_epi32(low, _mm512_load_si512(toLow));
          }
          _mm512_store_si512(toHigh, high);
          _mm512_store_si512(toLow, low);
          _mm512_store_si512(scores.middle[row + r] + column + i * kByteLanes,
                             _mm512_setzero_si512());
        });
  }
}

SDOPT_VNNI void wideScores(const QueryRows &q, const KeyPanels &keys, int64_t firstKey,
                           int64_t groups, StepProducts &scores) {
  constexpr int kRows = 4;
  for (int64_t r = 0; r < kByteGroup; r += kRows) {
    int64_t g = 0;
    for (; g + 2 <= groups; g += 2)
      wideBlock<kRows, 2>(q, keys, firstKey + g * kByteLanes, r, scores, g * kByteLanes);
    if (g < groups)
      wideBlock<kRows, 1>(q, keys, firstKey + g * kByteLanes, r, scores, g * kByteLanes);
  }
}

SDOPT_VNNI void wideValues(const ExponentialDigits &digits, const ValueChunks &values,
                           ValueSums &sums) {
  constexpr int kRows = 8;
  constexpr int64_t kChunkBytes = kByteChunk * kByteLanes;
  for (int64_t chunk = 0; chunk < values.count; ++chunk)
    for (int64_t row = 0; row < kByteGroup; row += kRows)
      multiplyWide<kRows, 1, true>(
          {{digits.high[row] + chunk * kKeyStep, kKeyBlock},
           {reinterpret_cast<const uint8_t *>(digits.whole[row] + chunk * kKeyStep),
            2 * kKeyBlock}},
          {{values.high + chunk * kChunkBytes, values.low + 2 * chunk * kChunkBytes}}, kKeyStep,
          nullptr, values.terms + chunk * kByteLanes,
          [&](int r, int, __m512i high, __m512i low) SDOPT_VNNI {
            int32_t *toHigh = sums.high[row + r], *toLow = sums.low[row + r];
            _mm512_store_si512(toHigh, _mm512_add_epi32(high, _mm512_load_si512(toHigh)));
            _mm512_store_si512(toLow, _mm512_add_epi32(low, _mm512_load_si512(toLow)));
          });
}

void noFrame() {}

} // namespace

const AttentionProducts *vnniAttentionProducts() {
  static const AttentionProducts products{
      noFrame, narrowScores, wideScores, narrowValues, wideValues, noFrame, WideForm::WholeCodes};
  return hasVnni() ? &products : nullptr;
}

#else

const AttentionProducts *vnniAttentionProducts() { return nullptr; }

#endif

} // namespace sdopt
