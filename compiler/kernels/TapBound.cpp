//===- TapBound.cpp - how far the sums of F(4x4, 3x3) reach ------------------===//

#include "compiler/kernels/KernelThreads.h"
#include "compiler/kernels/TapLanes.h"
#include "compiler/kernels/TapMatrices.h"
#include "compiler/kernels/TargetClones.h"

#include <algorithm>
#include <cstdlib>

namespace sdopt {

namespace {

constexpr int64_t kSide = kTapInputs, kTaps = kTapWindow * kTapWindow;

/// Sums over input channels for each position: of |U| and of |U 2^s - F w F'|.
struct WeightSums {
  std::array<int64_t, kTapProducts> magnitudes = {}, errors = {};
};

/// Of weights before and after they are rounded.
SDOPT_CLONES void addChunk(const WinogradChunk *exact, const WinogradChunk *rounded,
                           const TapShifts &shifts, WeightSums &sums) {
  for (int64_t p = 0; p < kTapProducts; ++p) {
    int32_t magnitude = 0, error = 0;
    for (int64_t c = 0; c < kWinogradChunk; ++c) {
      magnitude += std::abs(rounded[p][c]);
      error += std::abs((rounded[p][c] << shifts.weights[p]) - exact[p][c]);
    }
    sums.magnitudes[p] += magnitude;
    sums.errors[p] += error;
  }
}

WeightSums weightSums(const int8_t *weights, int64_t channels, const TapShifts &shifts) {
  WeightSums sums;
  for (int64_t first = 0; first < channels; first += kWinogradChunk) {
    const int64_t count = std::min(kWinogradChunk, channels - first);
    WinogradChunk w[kTaps] = {}, exact[kTapProducts], rounded[kTapProducts];
    for (int64_t tap = 0; tap < kTaps; ++tap)
      std::copy_n(weights + tap * channels + first, count, w[tap]);
    transformTapWeights(w, exact);
    std::memcpy(rounded, exact, sizeof(exact));
    roundTaps(shifts.weights, kTapWeightBits, rounded);
    addChunk(exact, rounded, shifts, sums);
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
  const int64_t unit = int64_t{1} << shift, half = unit / 2, limit = 1 << (kTapCodeBits - 1);
  const bool isWide = x.type == ElementType::I16;
  const int64_t bottom = isWide ? -limit * kTapWidePlane : -limit,
                top = isWide ? (limit - 1) * (kTapWidePlane + 1) : limit - 1;
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
