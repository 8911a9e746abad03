#include "compiler/simulator/WholeTapLayers.h"

#include "compiler/kernels/RecycledTensor.h"

#include <algorithm>
#include <cstring>

namespace sdopt {
namespace {

constexpr int64_t kSumBytes = int64_t{1} << 25; ///< of accumulators at a time
constexpr int64_t kTaps = 9, kReach = 2;        ///< input rows beyond those of the outputs

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
  const int64_t rowSums = tile.outputWidth * outputs;
  const int64_t rows =
      std::max<int64_t>(kSumBytes / int64_t(sizeof(int64_t)) / rowSums / kTapOutputs, 1) *
      kTapOutputs;
  Tensor sums = recycledTensor(ElementType::I64, {std::min(rows, tile.outputHeight) * rowSums});
  const int64_t rowBytes = tile.inputWidth * inputs * byteWidth(x.format.type);
  for (int64_t first = 0; first < tile.outputHeight; first += rows) {
    ConvTile part = tile;
    part.outputHeight = std::min(rows, tile.outputHeight - first);
    const int64_t seen = std::max<int64_t>(first - tile.padTop, 0);
    part.padTop = seen - (first - tile.padTop);
    part.inputHeight =
        std::min(first - tile.padTop + part.outputHeight + kReach, tile.inputHeight) - seen;
    int64_t *acc = sums.mutableValues<int64_t>().data();
    std::fill_n(acc, part.outputHeight * rowSums, 0);
    tapAccumulate(kernels, part,
                  {static_cast<const std::byte *>(x.data) + seen * rowBytes, x.format}, all, taps,
                  acc);
    kernels.requantize(acc, part.outputHeight * tile.outputWidth, outputs, params, format,
                       y + first * rowSums * byteWidth(format.type));
  }
  return true;
}

} // namespace sdopt
