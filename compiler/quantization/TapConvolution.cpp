//===- TapConvolution.cpp - whole layers by F(4x4, 3x3) ---------------------===//

#include "compiler/quantization/TapConvolution.h"

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/TapLanes.h"
#include "compiler/kernels/TapMatrices.h"
#include "compiler/kernels/TapStripes.h"
#include "compiler/quantization/SignalToNoise.h"

#include <algorithm>

namespace sdopt {

namespace {

/// Codes of a tile minus the zero point, transformed.
template <typename T>
void transformedCodes(const ConvTile &tile, Codes x, int64_t top, int64_t left, int64_t first,
                      WinogradLanes<int32_t> *v) {
  readWinogradTile<T, int32_t>(tile, x.data, kTapInputs, top, left, first, v,
                               [&](const T *from, int64_t count, int32_t *to) {
                                 for (int64_t c = 0; c < count; ++c)
                                   to[c] = from[c] - x.format.zeroPoint;
                               });
  transformTapCodes(v);
}

/// Sum of the squared errors of rounding by `shift` and saturating.
template <typename Lane>
int64_t squaredError(const WinogradLanes<Lane> &values, int64_t count, int shift, int32_t least,
                     int32_t most) {
  const int32_t half = (1 << shift) >> 1;
  int64_t sum = 0;
  for (int64_t c = 0; c < count; ++c) {
    const int32_t rounded = std::clamp((values[c] + half) >> shift, least, most);
    const int32_t error = rounded * (1 << shift) - values[c];
    sum += int64_t{error} * error;
  }
  return sum;
}

template <size_t Shifts>
std::array<uint8_t, kTapProducts>
leastErrors(const std::array<std::array<double, Shifts>, kTapProducts> &errors, int64_t count) {
  std::array<uint8_t, kTapProducts> shifts = {};
  for (int64_t p = 0; p < kTapProducts; ++p)
    shifts[p] = static_cast<uint8_t>(
        std::min_element(errors[p].begin(), errors[p].begin() + count) - errors[p].begin());
  return shifts;
}

} // namespace

std::optional<int64_t> firstOverflowingTapChannel(std::span<const int64_t> bounds,
                                                  std::span<const ChannelParams> params) {
  constexpr int64_t kLimit = int64_t{1} << (kTapAccumulatorBits - 1);
  for (size_t channel = 0; channel < params.size(); ++channel) {
    const int64_t bias = params[channel].bias;
    if (bounds[channel] >= kLimit - (bias < 0 ? -bias : bias))
      return static_cast<int64_t>(channel);
  }
  return std::nullopt;
}

std::array<uint8_t, kTapProducts> tapWeightShifts(std::span<const int8_t> weights, int64_t outputs,
                                                  int64_t inputs) {
  // 49 * 128 has 13 bits and the sign: with 2 nothing saturates.
  constexpr int64_t kShifts = 3;
  constexpr int32_t kMost = (1 << (kTapWeightBits - 1)) - 1;
  constexpr int64_t kTaps = kTapWindow * kTapWindow;
  using Sums = std::array<std::array<int64_t, kShifts>, kTapProducts>;
  std::vector<Sums> rows(static_cast<size_t>(outputs));
  parallelFor(outputs, [&](int64_t o, int) {
    const int8_t *row = weights.data() + o * kTaps * inputs;
    for (int64_t first = 0; first < inputs; first += kWinogradChunk) {
      const int64_t count = std::min(kWinogradChunk, inputs - first);
      WinogradChunk w[kTaps] = {}, u[kTapProducts];
      for (int64_t tap = 0; tap < kTaps; ++tap)
        std::copy_n(row + tap * inputs + first, count, w[tap]);
      transformTapWeights(w, u);
      for (int64_t p = 0; p < kTapProducts; ++p)
        for (int shift = 0; shift < kShifts; ++shift)
          rows[o][p][shift] += squaredError(u[p], count, shift, -kMost - 1, kMost);
    }
  });
  std::array<std::array<double, kShifts>, kTapProducts> errors = {};
  for (const Sums &sums : rows)
    for (int64_t p = 0; p < kTapProducts; ++p)
      for (int64_t shift = 0; shift < kShifts; ++shift)
        errors[p][shift] += static_cast<double>(sums[p][shift]);
  return leastErrors(errors, kShifts);
}

void TapCodeErrors::add(const ConvTile &tile, Codes x) {
  constexpr int32_t kMost = (1 << (kTapCodeBits - 1)) - 1, kWide = kTapWidePlane;
  const bool isWide = x.format.type == ElementType::I16;
  const int32_t least = isWide ? -(kMost + 1) * kWide : -kMost - 1;
  const int32_t most = isWide ? kMost * kWide + kMost : kMost;
  const int64_t shifts = isWide ? 3 : kShifts;
  shifts_ = std::max(shifts_, shifts);
  const int64_t tileRows = (tile.outputHeight + kTapOutputs - 1) / kTapOutputs;
  std::vector<Errors> rows(static_cast<size_t>(tileRows));
  parallelFor(tileRows, [&](int64_t r, int) {
    WinogradLanes<int32_t> v[kTapProducts];
    for (int64_t left = 0; left < tile.outputWidth; left += kTapOutputs)
      for (int64_t first = 0; first < tile.inputChannels; first += kWinogradChunk) {
        const int64_t count = std::min(kWinogradChunk, tile.inputChannels - first);
        (isWide ? transformedCodes<int16_t>
                : transformedCodes<int8_t>)(tile, x, r * kTapOutputs - tile.padTop,
                                            left - tile.padLeft, first, v);
        for (int64_t p = 0; p < kTapProducts; ++p)
          for (int64_t shift = 0; shift < shifts; ++shift)
            rows[r][p][shift] += static_cast<double>(
                squaredError(v[p], count, static_cast<int>(shift), least, most));
      }
  });
  for (const Errors &row : rows)
    for (int64_t p = 0; p < kTapProducts; ++p)
      for (int64_t shift = 0; shift < shifts; ++shift)
        errors_[p][shift] += row[p][shift];
}

std::array<uint8_t, kTapProducts> TapCodeErrors::best() const {
  return leastErrors(errors_, shifts_);
}

void TapNoise::add(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                   const int8_t *weights, std::span<const float> scales, const TapShifts &shifts) {
  const int64_t channels = tile.outputChannels;
  channels_.resize(static_cast<size_t>(channels));
  forTapStripes(tile, x, [&](const TapStripe &stripe) {
    Tensor exactSums = clearedTapSums(stripe.tile), tapSums = clearedTapSums(stripe.tile);
    int64_t *exact = exactSums.mutableValues<int64_t>().data(),
            *taps = tapSums.mutableValues<int64_t>().data();
    kernels.convAccumulate(stripe.tile, stripe.x, weights, exact);
    tapAccumulate(kernels, stripe.tile, stripe.x, weights, shifts, taps);
    // Whole channels are added up in the order of their rows, for any number of threads.
    std::vector<double> noise(static_cast<size_t>(channels));
    const int64_t count = stripe.tile.outputHeight * tile.outputWidth;
    parallelFor(channels, [&](int64_t channel, int) {
      const double scale = scales[channel];
      Channel &sums = channels_[channel];
      for (int64_t i = channel; i < count * channels; i += channels) {
        const double sum = scale * static_cast<double>(exact[i]);
        const double error =
            scale * static_cast<double>(taps[i] - kTapScale * exact[i]) / kTapScale;
        sums.sum += sum;
        sums.squares += sum * sum;
        noise[channel] += error * error;
      }
    });
    for (double each : noise)
      noise_ += each;
    count_ += count;
  });
}

double TapNoise::signal() const {
  double signal = 0;
  for (const Channel &channel : channels_)
    signal += channel.squares - channel.sum * channel.sum / static_cast<double>(count_);
  return std::max(signal, 0.0);
}

double TapNoise::sqnr() const { return signalToNoise(signal(), noise_); }

} // namespace sdopt
