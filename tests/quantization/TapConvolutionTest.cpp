// Layers by F(4x4, 3x3): cut into stripes, the shifts that lose least, and what is lost.

#include "compiler/quantization/TapConvolution.h"
#include "compiler/kernels/TapMatrices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace sdopt::test {
namespace {

constexpr int64_t kSide = kTapInputs;

template <typename T>
std::vector<T> randomCodes(int64_t count, int least, int most, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<T> codes(static_cast<size_t>(count));
  for (T &code : codes)
    code = static_cast<T>(least + static_cast<int>(random() % uint32_t(most - least + 1)));
  return codes;
}

CodeFormat bytes(int32_t zeroPoint) { return {.type = ElementType::I8, .zeroPoint = zeroPoint}; }
CodeFormat words() { return {.type = ElementType::I16}; }

ConvTile tileOf(int64_t height, int64_t width, int64_t inputs, int64_t outputs, int64_t pad = 1) {
  return {.inputHeight = height,
          .inputWidth = width,
          .inputChannels = inputs,
          .outputHeight = height + 2 * pad - 2,
          .outputWidth = width + 2 * pad - 2,
          .outputChannels = outputs,
          .kernelHeight = 3,
          .kernelWidth = 3,
          .padTop = pad,
          .padLeft = pad};
}

/// The sum of squares of what rounding by `shift` to [least, most] changes.
double changed(const std::vector<int64_t> &values, int64_t shift, int64_t least, int64_t most) {
  double sum = 0;
  for (int64_t value : values) {
    const double unit = std::ldexp(1.0, static_cast<int>(shift));
    const double code = std::clamp(std::floor(static_cast<double>(value) / unit + 0.5),
                                   static_cast<double>(least), static_cast<double>(most));
    sum += std::pow(code * unit - static_cast<double>(value), 2);
  }
  return sum;
}

int64_t bestShift(const std::vector<int64_t> &values, int64_t least, int64_t most) {
  int64_t best = 0;
  for (int64_t shift = 1; shift <= kMostTapShift; ++shift)
    if (changed(values, shift, least, most) < changed(values, best, least, most))
      best = shift;
  return best;
}

TEST(TapConvolution, StripesAreTheWhole) {
  for (const CodeFormat &format : {bytes(-3), words()}) {
    const ConvTile tile = tileOf(71, 400, 2, 300);
    const auto weights = randomCodes<int8_t>(300 * 9 * 2, -127, 127, 1);
    const auto narrow = randomCodes<int8_t>(71 * 400 * 2, -128, 127, 2);
    const auto wide = randomCodes<int16_t>(71 * 400 * 2, -32768, 32767, 2);
    const Codes x = {format.type == ElementType::I8 ? static_cast<const void *>(narrow.data())
                                                    : wide.data(),
                     format};
    TapShifts shifts;
    shifts.codes.fill(5);
    shifts.weights.fill(2);
    const std::vector<ChannelParams> params(
        300, {.bias = 12345, .multiplier = int32_t{1} << 30, .shift = 52});
    const int64_t rows = tile.outputHeight * tile.outputWidth;
    std::vector<int64_t> acc(static_cast<size_t>(rows * 300));
    ASSERT_GT(acc.size(), size_t{8} << 20) << "one stripe tests nothing";
    tapAccumulate(fastKernels(), tile, x, weights.data(), shifts, acc.data());
    std::vector<int16_t> whole(acc.size()), stripes(acc.size());
    fastKernels().requantize(acc.data(), rows, 300, params.data(), words(), whole.data());
    tapConvolve(fastKernels(), tile, x, weights.data(), shifts, params.data(), words(),
                stripes.data());
    EXPECT_TRUE(whole == stripes);
  }
}

TEST(TapConvolution, WeightShiftsLoseLeast) {
  for (int most : {3, 40, 127}) {
    const int64_t outputs = 3, inputs = 70;
    const auto weights = randomCodes<int8_t>(outputs * 9 * inputs, -most, most, 3);
    const auto shifts = tapWeightShifts(weights, outputs, inputs);
    for (int64_t p = 0; p < kTapProducts; ++p) {
      std::vector<int64_t> u;
      for (int64_t o = 0; o < outputs; ++o)
        for (int64_t c = 0; c < inputs; ++c) {
          u.push_back(0);
          for (int64_t t = 0; t < 9; ++t)
            u.back() += kTapFilter[p / kSide][t / 3] * kTapFilter[p % kSide][t % 3] *
                        weights[(o * 9 + t) * inputs + c];
        }
      EXPECT_EQ(shifts[p], bestShift(u, -2048, 2047)) << most << " " << p;
    }
  }
}

TEST(TapConvolution, CodeShiftsLoseLeast) {
  const ConvTile tile = tileOf(7, 9, 65, 1);
  const auto narrow = randomCodes<int8_t>(7 * 9 * 65, -128, 127, 4);
  const auto wide = randomCodes<int16_t>(7 * 9 * 65, -32768, 32767, 4);
  const auto small = randomCodes<int16_t>(7 * 9 * 65, -500, 500, 4);
  struct Case {
    Codes x;
    int64_t least, most;
  };
  for (const Case &test : {Case{{narrow.data(), bytes(100)}, -1024, 1023},
                           Case{{narrow.data(), bytes(0)}, -1024, 1023},
                           Case{{wide.data(), words()}, -(1 << 21), (1 << 21) - 1025},
                           Case{{small.data(), words()}, -(1 << 21), (1 << 21) - 1025}}) {
    TapCodeErrors errors;
    errors.add(tile, test.x);
    const auto shifts = errors.best();
    const auto code = [&](int64_t row, int64_t column, int64_t c) -> int64_t {
      if (row < 0 || row >= 7 || column < 0 || column >= 9)
        return 0;
      const int64_t i = (row * 9 + column) * 65 + c;
      return (test.x.format.type == ElementType::I8
                  ? static_cast<const int8_t *>(test.x.data)[i]
                  : static_cast<const int16_t *>(test.x.data)[i]) -
             test.x.format.zeroPoint;
    };
    for (int64_t p = 0; p < kTapProducts; ++p) {
      std::vector<int64_t> v;
      for (int64_t top = -1; top < 6; top += 4)
        for (int64_t left = -1; left < 8; left += 4)
          for (int64_t c = 0; c < 65; ++c) {
            v.push_back(0);
            for (int64_t i = 0; i < kSide; ++i)
              for (int64_t j = 0; j < kSide; ++j)
                v.back() +=
                    kTapInput[p / kSide][i] * kTapInput[p % kSide][j] * code(top + i, left + j, c);
          }
      EXPECT_EQ(shifts[p], bestShift(v, test.least, test.most)) << p;
    }
  }
}

TEST(TapConvolution, NoiseIsThatOfTheSums) {
  const ConvTile tile = tileOf(10, 6, 5, 2, 0);
  const auto x = randomCodes<int8_t>(10 * 6 * 5, -128, 127, 5);
  const auto weights = randomCodes<int8_t>(2 * 9 * 5, -127, 127, 6);
  const float scales[] = {0.5F, 0.25F};
  const Codes codes = {x.data(), bytes(7)};
  TapShifts shifts;
  shifts.codes.fill(5);
  shifts.weights.fill(2);
  std::vector<int64_t> exact(8 * 4 * 2), taps(exact.size());
  naiveKernels().convAccumulate(tile, codes, weights.data(), exact.data());
  naiveTapAccumulate(tile, codes, weights.data(), shifts, taps.data());
  double signal = 0, noise = 0;
  for (size_t channel = 0; channel < 2; ++channel) {
    const auto sum = [&](size_t i) { return scales[channel] * static_cast<double>(exact[i]); };
    double mean = 0;
    for (size_t i = channel; i < exact.size(); i += 2)
      mean += sum(i) / static_cast<double>(exact.size() / 2);
    for (size_t i = channel; i < exact.size(); i += 2) {
      signal += std::pow(sum(i) - mean, 2);
      noise += std::pow(scales[channel] * static_cast<double>(taps[i]) / 576 - sum(i), 2);
    }
  }
  TapNoise measured;
  measured.add(fastKernels(), tile, codes, weights.data(), scales, shifts);
  EXPECT_NEAR(measured.sqnr(), 10 * std::log10(signal / noise), 1e-6);
  EXPECT_GT(measured.sqnr(), 20);

  // Two pictures add up.
  measured.add(fastKernels(), tile, codes, weights.data(), scales, shifts);
  EXPECT_NEAR(measured.noise(), 2 * noise, 1e-9 * noise);
  EXPECT_NEAR(measured.signal(), 2 * signal, 1e-6 * signal);
}

TEST(TapConvolution, WithoutRoundingNothingIsLost) {
  const ConvTile tile = tileOf(10, 6, 5, 2, 0);
  const std::vector<int8_t> weights(2 * 9 * 5, 2), x(10 * 6 * 5, 3);
  const float scales[] = {0.5F, 0.25F};
  TapNoise none;
  none.add(fastKernels(), tile, {x.data(), bytes(0)}, weights.data(), scales, TapShifts());
  EXPECT_EQ(none.sqnr(), std::numeric_limits<double>::infinity());
}

TEST(TapConvolution, WhatAllSumsHaveInCommonIsNoSignal) {
  const ConvTile tile = tileOf(10, 6, 5, 1, 0);
  const std::vector<int8_t> weights(9 * 5, 101), x(10 * 6 * 5, 100);
  const float scale = 1;
  TapShifts shifts;
  shifts.codes.fill(5);
  shifts.weights.fill(2);
  TapNoise flat;
  flat.add(fastKernels(), tile, {x.data(), bytes(0)}, weights.data(), {&scale, 1}, shifts);
  EXPECT_GT(flat.noise(), 0);
  EXPECT_EQ(flat.sqnr(), 0);
}

} // namespace
} // namespace sdopt::test
