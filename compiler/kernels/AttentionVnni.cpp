//===- AttentionVnni.cpp - products of attention by dot products ------------===//

#include "compiler/kernels/AttentionProducts.h"
#include "compiler/kernels/VnniDots.h"

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
                             int64_t groups, StepScores &scores) {
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

void noFrame() {}

} // namespace

const AttentionProducts *vnniAttentionProducts() {
  static const AttentionProducts products{noFrame,      narrowScores, nullptr,
                                          narrowValues, nullptr,      noFrame};
  return hasVnni() ? &products : nullptr;
}

#else

const AttentionProducts *vnniAttentionProducts() { return nullptr; }

#endif

} // namespace sdopt
