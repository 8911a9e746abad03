//===- NaiveTapWinograd.cpp - F(4x4, 3x3) as plain loops --------------------===//
//
// Written to be read beside docs/spec.md, section 8.
//
//===----------------------------------------------------------------------===//

#include "compiler/kernels/TapMatrices.h"

#include <algorithm>
#include <vector>

namespace sdopt {

namespace {

constexpr int64_t kSide = kTapInputs, kTaps = kTapWindow;

using Positions = std::array<int64_t, kTapProducts>;

/// Half up, saturated.
int64_t rounded(int64_t value, int64_t shift, int64_t least, int64_t most) {
  if (shift > 0)
    value = (value + (int64_t{1} << (shift - 1))) >> shift;
  return std::clamp(value, least, most);
}

/// Minus the zero point; 0 outside the picture.
int64_t code(const ConvTile &t, Codes x, int64_t row, int64_t column, int64_t channel) {
  if (row < 0 || row >= t.inputHeight || column < 0 || column >= t.inputWidth)
    return 0;
  const int64_t index = (row * t.inputWidth + column) * t.inputChannels + channel;
  if (x.format.type == ElementType::I8)
    return static_cast<const int8_t *>(x.data)[index] - x.format.zeroPoint;
  return static_cast<const int16_t *>(x.data)[index] - x.format.zeroPoint;
}

/// B' d B, rounded.
Positions transformedCodes(const ConvTile &t, Codes x, const TapShifts &shifts, int64_t top,
                           int64_t left, int64_t channel) {
  constexpr int64_t kMost = (1 << (kTapCodeBits - 1)) - 1;
  const bool isWide = x.format.type == ElementType::I16;
  const int64_t least = isWide ? -(kMost + 1) * kTapWidePlane : -kMost - 1;
  const int64_t most = isWide ? kMost * kTapWidePlane + kMost : kMost;
  Positions v = {};
  for (int64_t a = 0; a < kSide; ++a)
    for (int64_t b = 0; b < kSide; ++b) {
      int64_t &sum = v[a * kSide + b];
      for (int64_t i = 0; i < kSide; ++i)
        for (int64_t j = 0; j < kSide; ++j)
          sum += kTapInput[a][i] * code(t, x, top + i, left + j, channel) * kTapInput[b][j];
      sum = rounded(sum, shifts.codes[a * kSide + b], least, most);
    }
  return v;
}

/// F w F' of taps that are `stride` apart, rounded.
Positions transformedWeights(const int8_t *weights, int64_t stride, const TapShifts &shifts) {
  constexpr int64_t kMost = (1 << (kTapWeightBits - 1)) - 1;
  Positions u = {};
  for (int64_t a = 0; a < kSide; ++a)
    for (int64_t b = 0; b < kSide; ++b) {
      int64_t &sum = u[a * kSide + b];
      for (int64_t i = 0; i < kTaps; ++i)
        for (int64_t j = 0; j < kTaps; ++j)
          sum += kTapFilter[a][i] * weights[(i * kTaps + j) * stride] * kTapFilter[b][j];
      sum = rounded(sum, shifts.weights[a * kSide + b], -kMost - 1, kMost);
    }
  return u;
}

/// A' m A at one output of the tile, each product times its power of two.
int64_t transformedSums(const Positions &m, const TapShifts &shifts, int64_t row, int64_t column) {
  int64_t y = 0;
  for (int64_t a = 0; a < kSide; ++a)
    for (int64_t b = 0; b < kSide; ++b) {
      const int64_t p = a * kSide + b;
      const int64_t power =
          kTapExponents[a] + kTapExponents[b] + shifts.codes[p] + shifts.weights[p];
      y += kTapOutput[row][a] * kTapOutput[column][b] * m[p] * (int64_t{1} << power);
    }
  return y;
}

} // namespace

int64_t naiveTapAccumulate(const ConvTile &t, Codes x, const int8_t *weights,
                           const TapShifts &shifts, int64_t *acc) {
  const int64_t channels = t.inputChannels;
  const int64_t planes = x.format.type == ElementType::I16 ? 2 : 1;
  std::vector<Positions> u, v(static_cast<size_t>(channels));
  for (int64_t o = 0; o < t.outputChannels; ++o)
    for (int64_t i = 0; i < channels; ++i)
      u.push_back(transformedWeights(weights + o * kTaps * kTaps * channels + i, channels, shifts));
  int64_t multiplications = 0;
  for (int64_t oh = 0; oh < t.outputHeight; oh += kTapOutputs)
    for (int64_t ow = 0; ow < t.outputWidth; ow += kTapOutputs) {
      for (int64_t i = 0; i < channels; ++i)
        v[i] = transformedCodes(t, x, shifts, oh - t.padTop, ow - t.padLeft, i);
      for (int64_t o = 0; o < t.outputChannels; ++o) {
        Positions m = {};
        for (int64_t i = 0; i < channels; ++i)
          for (int64_t p = 0; p < kTapProducts; ++p, multiplications += planes)
            m[p] += u[o * channels + i][p] * v[i][p];
        for (int64_t a = 0; a < kTapOutputs && oh + a < t.outputHeight; ++a)
          for (int64_t b = 0; b < kTapOutputs && ow + b < t.outputWidth; ++b)
            acc[((oh + a) * t.outputWidth + ow + b) * t.outputChannels + o] +=
                transformedSums(m, shifts, a, b);
      }
    }
  return multiplications;
}

} // namespace sdopt
