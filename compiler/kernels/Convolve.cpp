//===- Convolve.cpp - whole layers without accumulators ---------------------===//

#include "compiler/kernels/Convolve.h"
#include "compiler/kernels/FastConvolution.h"
#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/Scratch.h"

#include <algorithm>

namespace sdopt {

void convolve(const IntegerKernels &kernels, const ConvTile &tile, Codes x, const int8_t *weights,
              const ChannelParams *params, CodeFormat format, void *y) {
  const DotKernels *level = dotKernelsOf(kernels);
  const WeightTile whole{0, tile.outputChannels, 0, tile.inputChannels, weights};
  if (level && fastConvolve(*level, tile, x, {&whole, 1}, params, format, y))
    return;
  int64_t rows = tile.outputHeight * tile.outputWidth, size = rows * tile.outputChannels;
  thread_local Scratch scratch;
  auto *acc = reinterpret_cast<int64_t *>(scratch.reserve(size * int64_t(sizeof(int64_t))));
  std::fill_n(acc, size, 0);
  kernels.convAccumulate(tile, x, weights, acc);
  kernels.requantize(acc, rows, tile.outputChannels, params, format, y);
}

bool convolveTiles(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                   std::span<const WeightTile> weights, const ChannelParams *params,
                   CodeFormat format, void *y) {
  const DotKernels *level = dotKernelsOf(kernels);
  return level && fastConvolve(*level, tile, x, weights, params, format, y);
}

} // namespace sdopt
