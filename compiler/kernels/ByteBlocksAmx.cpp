//===- ByteBlocksAmx.cpp - byte products by tiles ---------------------------===//
//
// Tiles of 16 rows x 64 bytes: 0..3 sums, 4..5 rows, 6..7 weights.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/AmxTiles.h"
#include "compiler/kernels/AttentionProducts.h"
#include "compiler/kernels/ByteBlocks.h"

namespace sdopt {

#if defined(__x86_64__)

namespace {

template <bool TwoGroups, bool TwoPanels> SDOPT_AMX void blockSumsOf(const ByteBlock &b) {
  constexpr int64_t kTileBytes = kByteChunk * kByteLanes;
  tileFence();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const int8_t *first = b.panels[0], *second = b.panels[1];
  for (int64_t tap : b.taps)
    for (int64_t k = tap; k < tap + b.tapDepth; k += kByteChunk) {
      _tile_loadd(4, b.rows[0] + k, b.rowStride);
      _tile_loadd(6, first, kByteChunk);
      _tile_dpbusd(0, 4, 6);
      if constexpr (TwoPanels) {
        _tile_loadd(7, second, kByteChunk);
        _tile_dpbusd(1, 4, 7);
        second += kTileBytes;
      }
      if constexpr (TwoGroups) {
        _tile_loadd(5, b.rows[1] + k, b.rowStride);
        _tile_dpbusd(2, 5, 6);
        if constexpr (TwoPanels)
          _tile_dpbusd(3, 5, 7);
      }
      first += kTileBytes;
    }
  constexpr int64_t kStride = kBlockLanes * sizeof(int32_t);
  int32_t *lower = b.sums + kByteGroup * kBlockLanes;
  _tile_stored(0, b.sums, kStride);
  if constexpr (TwoPanels)
    _tile_stored(1, b.sums + kByteLanes, kStride);
  if constexpr (TwoGroups)
    _tile_stored(2, lower, kStride);
  if constexpr (TwoGroups && TwoPanels)
    _tile_stored(3, lower + kByteLanes, kStride);
}

void blockSums(const ByteBlock &b) {
  if (b.rows[1])
    b.panels[1] ? blockSumsOf<true, true>(b) : blockSumsOf<true, false>(b);
  else
    b.panels[1] ? blockSumsOf<false, true>(b) : blockSumsOf<false, false>(b);
}

} // namespace

const ByteKernels *amxByteKernels() {
  static const ByteKernels kernels{configureTiles, blockSums, releaseTiles, amxAttentionProducts()};
  return hasAmx() ? &kernels : nullptr;
}

#else

const ByteKernels *amxByteKernels() { return nullptr; }

#endif

} // namespace sdopt
