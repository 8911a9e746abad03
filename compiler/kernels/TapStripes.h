//===- TapStripes.h - layers by F(4x4, 3x3), some rows at a time -*- C++ -*-===//

#ifndef SDOPT_COMPILER_KERNELS_TAPSTRIPES_H
#define SDOPT_COMPILER_KERNELS_TAPSTRIPES_H

#include "compiler/kernels/RecycledTensor.h"
#include "compiler/kernels/TapMatrices.h"

#include <algorithm>

namespace sdopt {

/// Some rows of a layer, from a multiple of 4 on.
struct TapStripe {
  ConvTile tile;
  Codes x;
  int64_t firstRow = 0;
};

/// Calls body(stripe) from top to bottom, for as many rows at a time as have 32 MB of sums.
template <typename Body> void forTapStripes(const ConvTile &tile, Codes x, Body body) {
  constexpr int64_t kSums = int64_t{4} << 20;
  const int64_t rowSums = std::max<int64_t>(1, tile.outputWidth * tile.outputChannels);
  const int64_t height = std::max<int64_t>(1, kSums / rowSums / kTapOutputs) * kTapOutputs;
  const int64_t rowBytes = tile.inputWidth * tile.inputChannels * byteWidth(x.format.type);
  for (int64_t row = 0; row < tile.outputHeight; row += height) {
    TapStripe stripe{tile, x, row};
    const int64_t top = row - tile.padTop;
    stripe.tile.outputHeight = std::min(height, tile.outputHeight - row);
    const int64_t first = std::clamp<int64_t>(top, 0, tile.inputHeight),
                  last = std::clamp<int64_t>(top + stripe.tile.outputHeight + kTapWindow - 1, first,
                                             tile.inputHeight);
    stripe.tile.inputHeight = last - first;
    stripe.tile.padTop = first - top;
    stripe.x.data = static_cast<const std::byte *>(x.data) + first * rowBytes;
    body(stripe);
  }
}

/// I64 accumulators of a stripe, 0.
inline Tensor clearedTapSums(const ConvTile &tile) {
  Tensor sums =
      recycledTensor(ElementType::I64, {tile.outputHeight, tile.outputWidth, tile.outputChannels});
  std::ranges::fill(sums.mutableValues<int64_t>(), 0);
  return sums;
}

} // namespace sdopt

#endif // SDOPT_COMPILER_KERNELS_TAPSTRIPES_H
