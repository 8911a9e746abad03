#include "compiler/kernels/TapWinograd.h"

#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/TapLanes.h"
#include "compiler/kernels/TapMatrices.h"
#include "compiler/kernels/TapStripes.h"
#include "compiler/kernels/TargetClones.h"

namespace sdopt {

namespace {

SDOPT_CLONES void widenCodes(const int16_t *from, int64_t count, int32_t zeroPoint, int32_t *to) {
  for (int64_t c = 0; c < count; ++c)
    to[c] = from[c] - zeroPoint;
}

/// F(4x4, 3x3) of WinogradStrips.h.
class TapForm {
public:
  static constexpr int64_t kOutputs = kTapOutputs, kInputs = kTapInputs;
  /// Of products of -2^21 to 2^21.
  static constexpr int64_t kMostPairs = (INT32_MAX >> (kTapCodeBits + kTapWeightBits - 2)) / 2;
  static constexpr int64_t kPlaneFactor = kTapWidePlane;

  TapForm(const DotKernels &kernels, const ConvTile &tile, Codes x, const TapShifts &shifts)
      : kernels_(kernels), t_(tile), x_(x), shifts_(shifts) {
    for (int64_t p = 0; p < kTapProducts; ++p)
      powers_[p] = static_cast<int>(kTapExponents[p / kInputs] + kTapExponents[p % kInputs]) +
                   shifts.codes[p] + shifts.weights[p];
  }

  void codes(int64_t top, int64_t left, int64_t first, WinogradChunk *v) const {
    const int32_t zeroPoint = x_.format.zeroPoint;
    if (x_.format.type == ElementType::I8) {
      readWinogradTile<int8_t, int16_t>(t_, x_.data, kInputs, top, left, first, v,
                                        [&](const int8_t *from, int64_t count, int16_t *to) {
                                          kernels_.widen(from, count, zeroPoint, to);
                                        });
      transformTapCodes(v);
      return roundTaps(shifts_.codes, kTapCodeBits, v);
    }
    alignas(64) WinogradLanes<int32_t> d[kTapProducts];
    readWinogradTile<int16_t, int32_t>(t_, x_.data, kInputs, top, left, first, d,
                                       [&](const int16_t *from, int64_t count, int32_t *to) {
                                         widenCodes(from, count, zeroPoint, to);
                                       });
    transformTapCodes(d);
    roundWideTaps(shifts_.codes, d, v);
  }

  void weights(const WinogradChunk *w, WinogradChunk *u) const {
    transformTapWeights(w, u);
    roundTaps(shifts_.weights, kTapWeightBits, u);
  }

  void sums(const int64_t *m, int64_t step, int64_t (*y)[kDotLanes]) const {
    transformTapSums(m, step, powers_, y);
  }

private:
  const DotKernels &kernels_;
  const ConvTile &t_;
  const Codes x_;
  const TapShifts &shifts_;
  std::array<int, kTapProducts> powers_ = {};
};

} // namespace

void tapAccumulate(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                   const int8_t *weights, const TapShifts &shifts, int64_t *acc) {
  if (tile.outputHeight * tile.outputWidth * tile.outputChannels * tile.inputChannels == 0)
    return;
  const DotKernels *level = dotKernelsOf(kernels);
  if (!level) {
    naiveTapAccumulate(tile, x, weights, shifts, acc);
    return;
  }
  WinogradStrips(*level, tile, TapForm(*level, tile, x, shifts), x.format.type == ElementType::I16,
                 weights, acc)
      .run();
}

void tapConvolve(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                 const int8_t *weights, const TapShifts &shifts, const ChannelParams *params,
                 CodeFormat format, void *y) {
  const int64_t rowBytes = tile.outputWidth * tile.outputChannels * byteWidth(format.type);
  forTapStripes(tile, x, [&](const TapStripe &stripe) {
    Tensor sums = clearedTapSums(stripe.tile);
    int64_t *acc = sums.mutableValues<int64_t>().data();
    tapAccumulate(kernels, stripe.tile, stripe.x, weights, shifts, acc);
    kernels.requantize(acc, stripe.tile.outputHeight * tile.outputWidth, tile.outputChannels,
                       params, format, static_cast<std::byte *>(y) + stripe.firstRow * rowBytes);
  });
}

} // namespace sdopt
