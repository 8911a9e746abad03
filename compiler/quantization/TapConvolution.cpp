//===- TapConvolution.cpp - whole layers by F(4x4, 3x3) ---------------------===//

#include "compiler/quantization/TapConvolution.h"

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/Scratch.h"
#include "compiler/kernels/TapMatrices.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sdopt {

namespace {

constexpr int64_t kSide = kTapInputs;
/// Channels that are transformed together.
constexpr int64_t kChunk = 64;
using Chunk = int32_t[kChunk];

/// Some rows of a layer, from a multiple of 4 on.
struct Stripe {
  ConvTile tile;
  Codes x;
  int64_t firstRow = 0;
};

int64_t bytesOf(ElementType type) { return type == ElementType::I8 ? 1 : 2; }

/// Calls body(stripe) from top to bottom, for as many rows at a time as have a few MB of sums.
template <typename Body> void forStripes(const ConvTile &tile, Codes x, Body body) {
  constexpr int64_t kSums = int64_t{4} << 20;
  const int64_t rowSums = std::max<int64_t>(1, tile.outputWidth * tile.outputChannels);
  const int64_t height = std::max<int64_t>(1, kSums / rowSums / kTapOutputs) * kTapOutputs;
  const int64_t rowBytes = tile.inputWidth * tile.inputChannels * bytesOf(x.format.type);
  for (int64_t row = 0; row < tile.outputHeight; row += height) {
    Stripe stripe{tile, x, row};
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

/// The sums of a stripe, of 0.
int64_t *clearedSums(Scratch &scratch, const ConvTile &tile) {
  const int64_t size = tile.outputHeight * tile.outputWidth * tile.outputChannels;
  auto *acc = reinterpret_cast<int64_t *>(scratch.reserve(size * int64_t(sizeof(int64_t))));
  std::fill_n(acc, size, 0);
  return acc;
}

/// B' x of six chunks that are `stride` chunks apart.
void transformCodes(const Chunk *x, int64_t stride, Chunk *out, int64_t outStride) {
  for (int64_t a = 0; a < kSide; ++a)
    for (int64_t c = 0; c < kChunk; ++c) {
      int64_t sum = 0;
      for (int64_t i = 0; i < kSide; ++i)
        sum += kTapInput[a][i] * x[i * stride][c];
      out[a * outStride][c] = static_cast<int32_t>(sum);
    }
}

/// Codes minus the zero point, 0 outside the picture.
template <typename T>
void gather(const ConvTile &tile, Codes x, int64_t top, int64_t left, int64_t first, int64_t count,
            Chunk *d) {
  for (int64_t i = 0; i < kSide; ++i)
    for (int64_t j = 0; j < kSide; ++j) {
      Chunk &out = d[i * kSide + j];
      std::fill_n(out, kChunk, 0);
      const int64_t row = top + i, column = left + j;
      if (row < 0 || row >= tile.inputHeight || column < 0 || column >= tile.inputWidth)
        continue;
      const T *codes = static_cast<const T *>(x.data) +
                       (row * tile.inputWidth + column) * tile.inputChannels + first;
      for (int64_t c = 0; c < count; ++c)
        out[c] = codes[c] - x.format.zeroPoint;
    }
}

/// Sum of the squared errors of rounding by `shift` and saturating.
int64_t squaredError(const Chunk &values, int64_t count, int shift, int32_t least, int32_t most) {
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

void tapConvolve(const IntegerKernels &kernels, const ConvTile &tile, Codes x,
                 const int8_t *weights, const TapShifts &shifts, const ChannelParams *params,
                 CodeFormat format, void *y) {
  const int64_t rowBytes = tile.outputWidth * tile.outputChannels * bytesOf(format.type);
  thread_local Scratch scratch;
  forStripes(tile, x, [&](const Stripe &stripe) {
    int64_t *acc = clearedSums(scratch, stripe.tile);
    tapAccumulate(kernels, stripe.tile, stripe.x, weights, shifts, acc);
    kernels.requantize(acc, stripe.tile.outputHeight * tile.outputWidth, tile.outputChannels,
                       params, format, static_cast<std::byte *>(y) + stripe.firstRow * rowBytes);
  });
}

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
    for (int64_t first = 0; first < inputs; first += kChunk) {
      const int64_t count = std::min(kChunk, inputs - first);
      for (int64_t p = 0; p < kTapProducts; ++p) {
        Chunk u = {};
        for (int64_t tap = 0; tap < kTaps; ++tap) {
          const int64_t factor =
              kTapFilter[p / kSide][tap / kTapWindow] * kTapFilter[p % kSide][tap % kTapWindow];
          for (int64_t c = 0; c < count && factor != 0; ++c)
            u[c] += static_cast<int32_t>(factor) * row[tap * inputs + first + c];
        }
        for (int shift = 0; shift < kShifts; ++shift)
          rows[o][p][shift] += squaredError(u, count, shift, -kMost - 1, kMost);
      }
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
  constexpr int32_t kMost = (1 << (kTapCodeBits - 1)) - 1;
  const bool isWide = x.format.type == ElementType::I16;
  const int32_t least = isWide ? -(kMost + 1) * 2048 : -kMost - 1;
  const int32_t most = isWide ? kMost * 2048 + kMost : kMost;
  const int64_t shifts = isWide ? 3 : kShifts;
  shifts_ = std::max(shifts_, shifts);
  const int64_t tileRows = (tile.outputHeight + kTapOutputs - 1) / kTapOutputs;
  std::vector<Errors> rows(static_cast<size_t>(tileRows));
  parallelFor(tileRows, [&](int64_t r, int) {
    Chunk d[kTapProducts], columns[kTapProducts], v[kTapProducts];
    for (int64_t left = 0; left < tile.outputWidth; left += kTapOutputs)
      for (int64_t first = 0; first < tile.inputChannels; first += kChunk) {
        const int64_t count = std::min(kChunk, tile.inputChannels - first);
        (isWide ? gather<int16_t> : gather<int8_t>)(tile, x, r * kTapOutputs - tile.padTop,
                                                    left - tile.padLeft, first, count, d);
        for (int64_t j = 0; j < kSide; ++j)
          transformCodes(d + j, kSide, columns + j, kSide);
        for (int64_t a = 0; a < kSide; ++a)
          transformCodes(columns + a * kSide, 1, v + a * kSide, 1);
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
  Scratch exactSums, tapSums;
  const int64_t channels = tile.outputChannels;
  channels_.resize(static_cast<size_t>(channels));
  forStripes(tile, x, [&](const Stripe &stripe) {
    int64_t *exact = clearedSums(exactSums, stripe.tile), *taps = clearedSums(tapSums, stripe.tile);
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

double TapNoise::sqnr() const {
  if (noise_ == 0)
    return std::numeric_limits<double>::infinity();
  return signal() == 0 ? 0 : 10 * std::log10(signal() / noise_);
}

} // namespace sdopt
