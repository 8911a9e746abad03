//===- NaiveIntegerWinograd.cpp - exact Winograd as plain loops -------------===//
//
// Written to be read beside docs/spec.md, section 7. Sums are in 32 bits and wrap, as they do on a
// machine that has no more: only what they end in must fit.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/IntegerWinograd.h"

#include <algorithm>
#include <array>
#include <vector>

namespace sdopt {

namespace {

constexpr int64_t kSide = kWinogradInputs, kTaps = 3;

constexpr int32_t kOutput[kWinogradOutputs][kSide] = {{1, 1, 1, 0}, {0, 1, -1, 1}};
constexpr int32_t kFilter[kSide][kTaps] = {{-2, 0, 0}, {1, 1, 1}, {1, -1, 1}, {0, 0, 2}};
constexpr int32_t kInput[kSide][kSide] = {
    {-1, 0, 1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, -1, 0, 1}};

using Positions = std::array<int32_t, kWinogradProducts>;

/// One plane of bytes of the input.
struct Plane {
  const ConvTile &tile;
  Codes x;
  bool low = false; ///< of 16-bit codes, the lower byte minus 128

  int32_t zeroPoint() const {
    if (x.format.type == ElementType::I8)
      return x.format.zeroPoint;
    return low ? -128 : 0;
  }
  /// What the sums of the plane count for.
  int64_t weight() const { return x.format.type == ElementType::I16 && !low ? 256 : 1; }

  int32_t code(int64_t row, int64_t column, int64_t channel) const {
    if (row < 0 || row >= tile.inputHeight || column < 0 || column >= tile.inputWidth)
      return zeroPoint();
    const int64_t index = (row * tile.inputWidth + column) * tile.inputChannels + channel;
    if (x.format.type == ElementType::I8)
      return static_cast<const int8_t *>(x.data)[index];
    const int32_t value = static_cast<const int16_t *>(x.data)[index];
    return low ? (value & 255) - 128 : value >> 8;
  }
};

/// B' d B.
Positions transformedCodes(const Plane &plane, int64_t top, int64_t left, int64_t channel) {
  Positions v = {};
  for (int64_t a = 0; a < kSide; ++a)
    for (int64_t b = 0; b < kSide; ++b)
      for (int64_t i = 0; i < kSide; ++i)
        for (int64_t j = 0; j < kSide; ++j)
          v[a * kSide + b] += kInput[a][i] * plane.code(top + i, left + j, channel) * kInput[b][j];
  return v;
}

/// (2 G) w (2 G)' of taps that are `stride` apart.
Positions transformedWeights(const int8_t *weights, int64_t stride) {
  Positions u = {};
  for (int64_t a = 0; a < kSide; ++a)
    for (int64_t b = 0; b < kSide; ++b)
      for (int64_t i = 0; i < kTaps; ++i)
        for (int64_t j = 0; j < kTaps; ++j)
          u[a * kSide + b] += kFilter[a][i] * weights[(i * kTaps + j) * stride] * kFilter[b][j];
  return u;
}

/// A' m A modulo 2^32, at one output of the tile, as a signed number.
int32_t transformedSums(const std::array<uint32_t, kWinogradProducts> &m, int64_t row,
                        int64_t column) {
  uint32_t y = 0;
  for (int64_t a = 0; a < kSide; ++a)
    for (int64_t b = 0; b < kSide; ++b)
      y += static_cast<uint32_t>(kOutput[row][a] * kOutput[column][b]) * m[a * kSide + b];
  return static_cast<int32_t>(y);
}

int64_t sumOfWeights(const ConvTile &t, const int8_t *weights, int64_t output, int64_t first,
                     int64_t last) {
  int64_t sum = 0;
  for (int64_t tap = 0; tap < kTaps * kTaps; ++tap)
    for (int64_t i = first; i < last; ++i)
      sum += weights[(output * kTaps * kTaps + tap) * t.inputChannels + i];
  return sum;
}

/// Input channels [first, last) of one plane, no more than kWinogradChannels.
int64_t accumulatePart(const Plane &plane, const int8_t *weights, int64_t first, int64_t last,
                       int64_t *acc) {
  const ConvTile &t = plane.tile;
  const int64_t channels = last - first;
  std::vector<Positions> u, v(static_cast<size_t>(channels));
  std::vector<int64_t> correction;
  for (int64_t o = 0; o < t.outputChannels; ++o) {
    for (int64_t i = first; i < last; ++i)
      u.push_back(
          transformedWeights(weights + o * kTaps * kTaps * t.inputChannels + i, t.inputChannels));
    correction.push_back(-plane.zeroPoint() * sumOfWeights(t, weights, o, first, last));
  }
  int64_t multiplications = 0;
  for (int64_t oh = 0; oh < t.outputHeight; oh += kWinogradOutputs)
    for (int64_t ow = 0; ow < t.outputWidth; ow += kWinogradOutputs) {
      for (int64_t i = 0; i < channels; ++i)
        v[i] = transformedCodes(plane, oh - t.padTop, ow - t.padLeft, first + i);
      for (int64_t o = 0; o < t.outputChannels; ++o) {
        std::array<uint32_t, kWinogradProducts> m = {};
        for (int64_t i = 0; i < channels; ++i)
          for (int64_t p = 0; p < kWinogradProducts; ++p, ++multiplications)
            m[p] += static_cast<uint32_t>(u[o * channels + i][p] * v[i][p]);
        for (int64_t a = 0; a < kWinogradOutputs && oh + a < t.outputHeight; ++a)
          for (int64_t b = 0; b < kWinogradOutputs && ow + b < t.outputWidth; ++b)
            acc[((oh + a) * t.outputWidth + ow + b) * t.outputChannels + o] +=
                plane.weight() * (transformedSums(m, a, b) / 4 + correction[o]);
      }
    }
  return multiplications;
}

} // namespace

int64_t naiveWinogradAccumulate(const ConvTile &tile, Codes x, const int8_t *weights,
                                int64_t *acc) {
  int64_t multiplications = 0;
  for (int64_t first = 0; first < tile.inputChannels; first += kWinogradChannels) {
    const int64_t last = std::min(first + kWinogradChannels, tile.inputChannels);
    multiplications += accumulatePart({tile, x}, weights, first, last, acc);
    if (x.format.type == ElementType::I16)
      multiplications += accumulatePart({tile, x, true}, weights, first, last, acc);
  }
  return multiplications;
}

} // namespace sdopt
