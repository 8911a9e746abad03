//===- AttentionAmx.cpp - products of attention by tiles --------------------===//
//
// Tiles: 0, 1 planes of queries or exponentials, 2, 3 planes of keys or values, 4..6 sums of
// high * high, of the two mixed products and of low * low.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/AmxTiles.h"
#include "compiler/kernels/AttentionProducts.h"

namespace sdopt {

#if defined(__x86_64__)

namespace {

constexpr int64_t kTileBytes = kByteChunk * kByteLanes;

SDOPT_AMX void wideScoreTiles(const QueryRows &q, const KeyPanels &keys, int64_t firstKey,
                              int64_t groups, StepProducts &scores) {
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
                                int64_t groups, StepProducts &scores) {
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

} // namespace

const AttentionProducts *amxAttentionProducts() {
  static const AttentionProducts products{configureTiles,    narrowScoreTiles, wideScoreTiles,
                                          narrowValueTiles,  wideValueTiles,   releaseTiles,
                                          WideForm::LowBytes};
  return hasAmx() ? &products : nullptr;
}

#else

const AttentionProducts *amxAttentionProducts() { return nullptr; }

#endif

} // namespace sdopt
