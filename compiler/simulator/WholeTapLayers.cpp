#include "compiler/simulator/WholeTapLayers.h"

#include "compiler/kernels/RecycledTensor.h"

#include <algorithm>
#include <cstring>

namespace sdopt {
namespace {

constexpr int64_t kTaps = 9;

/// [outputs][taps][inputs] in one piece.
void gather(const WeightTile &tile, int64_t inputs, int8_t *weights) {
  for (int64_t row = 0; row < tile.outputs * kTaps; ++row)
    std::memcpy(weights + (tile.firstOutput * kTaps + row) * inputs + tile.firstInput,
                tile.weights + row * tile.inputs, static_cast<size_t>(tile.inputs));
}

} // namespace

bool convolveTapWise(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                     std::span<const WeightTile> weights, const TapShifts &taps,
                     const ChannelParams *params, CodeFormat format, std::byte *y) {
  if (!std::all_of(params, params + tile.outputChannels,
                   [](const ChannelParams &p) { return p.shift >= 1 && p.shift <= 62; }))
    return false;
  const int64_t inputs = tile.inputChannels, outputs = tile.outputChannels;
  Tensor whole;
  const int8_t *all = weights.front().weights;
  if (weights.size() > 1) {
    whole = recycledTensor(ElementType::I8, {outputs * kTaps * inputs});
    int8_t *together = whole.mutableValues<int8_t>().data();
    for (const WeightTile &part : weights)
      gather(part, inputs, together);
    all = together;
  }
  tapConvolve(kernels, tile, x, all, taps, params, format, y);
  return true;
}

} // namespace sdopt
