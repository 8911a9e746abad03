//===- ByteBlocksVnni.cpp - byte products by dot product instructions -------===//

#include "compiler/kernels/AttentionProducts.h"
#include "compiler/kernels/ByteBlocks.h"
#include "compiler/kernels/VnniDots.h"

namespace sdopt {

#if defined(__x86_64__)

namespace {

constexpr int kRows = 8;

template <int Panels>
SDOPT_VNNI void eightRows(const ByteBlock &b, const uint8_t *rows, int32_t *out) {
  __m512i sums[kRows][Panels];
  for (auto &row : sums)
    for (auto &sum : row)
      sum = _mm512_setzero_si512();
  int64_t at = 0;
  for (int64_t tap : b.taps)
    for (int64_t k = 0; k < b.tapDepth; k += 4, at += 4 * kByteLanes) {
      __m512i lanes[Panels];
      for (int i = 0; i < Panels; ++i)
        lanes[i] = _mm512_loadu_si512(b.panels[i] + at);
      for (int r = 0; r < kRows; ++r) {
        __m512i quad = _mm512_set1_epi32(quadAt(rows + r * b.rowStride + tap + k));
        for (int i = 0; i < Panels; ++i)
          sums[r][i] = addQuads(sums[r][i], quad, lanes[i]);
      }
    }
  for (int r = 0; r < kRows; ++r)
    for (int i = 0; i < Panels; ++i)
      _mm512_storeu_si512(out + r * kBlockLanes + i * kByteLanes, sums[r][i]);
}

void noFrame() {}

void blockSums(const ByteBlock &b) {
  for (int group = 0; group < 2 && b.rows[group]; ++group)
    for (int64_t r = 0; r < kByteGroup; r += kRows) {
      const uint8_t *rows = b.rows[group] + r * b.rowStride;
      int32_t *out = b.sums + (group * kByteGroup + r) * kBlockLanes;
      b.panels[1] ? eightRows<2>(b, rows, out) : eightRows<1>(b, rows, out);
    }
}

} // namespace

const ByteKernels *vnniByteKernels() {
  static const ByteKernels kernels{noFrame, blockSums, noFrame, vnniAttentionProducts()};
  return hasVnni() ? &kernels : nullptr;
}

#else

const ByteKernels *vnniByteKernels() { return nullptr; }

#endif

} // namespace sdopt
