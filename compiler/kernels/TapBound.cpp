//===- TapBound.cpp - how far the sums of F(4x4, 3x3) reach ------------------===//

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/TapMatrices.h"
#include "compiler/kernels/TargetClones.h"

#include <algorithm>
#include <cstdlib>

namespace sdopt {

namespace {

constexpr int64_t kSide = kTapInputs, kTaps = kTapWindow * kTapWindow;
/// Channels whose 36 weights are transformed together.
constexpr int64_t kChunk = 64;
using Chunk = int16_t[kChunk];

/// F w along one axis: three become six.
inline void transformTaps(const Chunk &first, const Chunk &second, const Chunk &third, Chunk *out) {
  for (int64_t c = 0; c < kChunk; ++c) {
    const int32_t a = first[c], b = second[c], e = third[c];
    const int32_t ends = a + e, far = a + 4 * e;
    out[0][c] = static_cast<int16_t>(3 * a);
    out[1][c] = static_cast<int16_t>(-ends - b);
    out[2][c] = static_cast<int16_t>(b - ends);
    out[3][c] = static_cast<int16_t>(far + 2 * b);
    out[4][c] = static_cast<int16_t>(far - 2 * b);
    out[5][c] = static_cast<int16_t>(3 * e);
  }
}

/// Sums over input channels for each position: of |U| and of |U 2^s - F w F'|.
struct WeightSums {
  std::array<int64_t, kTapProducts> magnitudes = {}, errors = {};
};

SDOPT_CLONES void addChunk(const Chunk *w, const TapShifts &shifts, WeightSums &sums) {
  constexpr int32_t kMost = (1 << (kTapWeightBits - 1)) - 1;
  Chunk columns[kTapWindow][kSide], u[kTapProducts];
  for (int64_t x = 0; x < kTapWindow; ++x)
    transformTaps(w[x], w[kTapWindow + x], w[2 * kTapWindow + x], columns[x]);
  for (int64_t y = 0; y < kSide; ++y)
    transformTaps(columns[0][y], columns[1][y], columns[2][y], u + kSide * y);
  for (int64_t p = 0; p < kTapProducts; ++p) {
    const int32_t shift = shifts.weights[p], half = (1 << shift) >> 1;
    int32_t magnitude = 0, error = 0;
    for (int64_t c = 0; c < kChunk; ++c) {
      const int32_t rounded = std::clamp((u[p][c] + half) >> shift, -kMost - 1, kMost);
      magnitude += std::abs(rounded);
      error += std::abs(rounded * (1 << shift) - u[p][c]);
    }
    sums.magnitudes[p] += magnitude;
    sums.errors[p] += error;
  }
}

WeightSums weightSums(const int8_t *weights, int64_t channels, const TapShifts &shifts) {
  WeightSums sums;
  for (int64_t first = 0; first < channels; first += kChunk) {
    Chunk w[kTaps] = {};
    for (int64_t tap = 0; tap < kTaps; ++tap)
      std::copy_n(weights + tap * channels + first, std::min(kChunk, channels - first), w[tap]);
    addChunk(w, shifts, sums);
  }
  return sums;
}

/// What one transformed code reaches, over all codes of a format.
struct CodeReach {
  int64_t exact = 0;   ///< max|B' d B|
  int64_t rounded = 0; ///< max|V 2^t|
  int64_t error = 0;   ///< max|V 2^t - B' d B|
};

CodeReach codeReach(CodeFormat x, int64_t row, int64_t column, int64_t shift) {
  int64_t positive = 0, negative = 0;
  for (int64_t i = 0; i < kSide; ++i)
    for (int64_t j = 0; j < kSide; ++j) {
      const int64_t factor = kTapInput[row][i] * kTapInput[column][j];
      (factor > 0 ? positive : negative) += std::abs(factor);
    }
  // 0 outside the picture.
  const int64_t least = std::min<int64_t>(0, int64_t{x.min()} - x.zeroPoint),
                most = std::max<int64_t>(0, int64_t{x.max()} - x.zeroPoint);
  const int64_t low = positive * least - negative * most, high = positive * most - negative * least;
  const int64_t unit = int64_t{1} << shift, half = unit / 2, limit = 1 << (kTapCodeBits - 1),
                planes = x.type == ElementType::I16 ? 2 * limit : 1;
  // The most is 2^21 - 1025 in two planes.
  const int64_t bottom = -limit * planes, top = planes > 1 ? (limit - 1) * (planes + 1) : limit - 1;
  const auto rounded = [&](int64_t value) {
    return unit * std::clamp((value + half) >> shift, bottom, top);
  };
  return {std::max(-low, high), std::max(std::abs(rounded(low)), std::abs(rounded(high))),
          std::max({half, high - unit * top, unit * bottom - low})};
}

/// The most of |A'| m |A| over the outputs of a tile.
Int128 worstOutput(const std::array<Int128, kTapProducts> &m) {
  Int128 most = 0;
  for (const auto &vertical : kTapOutput)
    for (const auto &horizontal : kTapOutput) {
      Int128 sum = 0;
      for (int64_t p = 0; p < kTapProducts; ++p)
        sum += std::abs(vertical[p / kSide] * horizontal[p % kSide]) * m[p];
      most = std::max(most, sum);
    }
  return most;
}

} // namespace

std::vector<int64_t> tapAccumulatorBound(std::span<const int8_t> weights, int64_t outputChannels,
                                         CodeFormat x, const TapShifts &shifts) {
  std::array<CodeReach, kTapProducts> reach;
  for (int64_t p = 0; p < kTapProducts; ++p)
    reach[p] = codeReach(x, p / kSide, p % kSide, shifts.codes[p]);
  const int64_t largest =
      std::max(std::abs(int64_t{x.max()} - x.zeroPoint), std::abs(int64_t{x.min()} - x.zeroPoint));
  std::vector<int64_t> bounds(static_cast<size_t>(outputChannels));
  const int64_t row =
      outputChannels > 0 ? static_cast<int64_t>(weights.size()) / outputChannels : 0;
  parallelFor(outputChannels, [&](int64_t o, int) {
    const int8_t *of = weights.data() + o * row;
    const WeightSums sums = weightSums(of, row / kTaps, shifts);
    int64_t magnitude = 0;
    for (int64_t i = 0; i < row; ++i)
      magnitude += std::abs(of[i]);
    std::array<Int128, kTapProducts> whole, errors;
    for (int64_t p = 0; p < kTapProducts; ++p) {
      const int64_t unit = int64_t{1} << shifts.weights[p],
                    scale = int64_t{1} << (kTapExponents[p / kSide] + kTapExponents[p % kSide]);
      const Int128 reached = Int128{sums.magnitudes[p]} * unit * scale;
      whole[p] = reached * reach[p].rounded;
      errors[p] = Int128{sums.errors[p]} * scale * reach[p].exact + reached * reach[p].error;
    }
    const Int128 least =
        std::min(worstOutput(whole), Int128{kTapScale * magnitude} * largest + worstOutput(errors));
    bounds[o] = static_cast<int64_t>(std::min<Int128>(least, INT64_MAX));
  });
  return bounds;
}

} // namespace sdopt
