#include "compiler/winograd/TapTransforms.h"
#include "tests/kernels/RandomCodes.h"

#include <cmath>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using namespace sdopt::testing;

TapTransforms transforms(int64_t outputs, std::vector<Rational> points) {
  const auto rational = cookToom(outputs, 3, points);
  EXPECT_TRUE(rational.ok()) << rational.status();
  const auto taps = tapTransforms(*rational);
  EXPECT_TRUE(taps.ok()) << taps.status();
  return *taps;
}
TapTransforms two() { return transforms(2, {0, 1, -1}); }
TapTransforms four() { return transforms(4, {0, 1, -1, 2, -2}); }
TapTransforms fourByHalves() {
  return transforms(4, {0, 1, -1, Rational::fraction(1, 2), Rational::fraction(-1, 2)});
}

TEST(TapTransforms, RowsDifferByPowersOfTwo) {
  const TapTransforms t = four();
  EXPECT_EQ(t.filter.entries, (std::vector<int64_t>{3, 0, 0, -1, -1, -1, -1, 1, -1, //
                                                    1, 2, 4, 1, -2, 4, 0, 0, 3}));
  EXPECT_EQ(t.exponents, (std::vector<int64_t>{1, 2, 2, 0, 0, 3}));
  EXPECT_EQ(t.scale, 24);
  for (TapTransforms right : {two(), four(), fourByHalves()}) {
    EXPECT_TRUE(convolves(right));
    ++right.exponents[1];
    EXPECT_FALSE(convolves(right));
  }
}

TEST(TapTransforms, ShiftsAreTheLeastThatFit) {
  Matrix<Interval> ranges(1, 5);
  ranges.entries = {{-128, 127}, {-129, 0}, {0, 127}, {0, 255}, {-1000, 3}};
  // 255 / 2 rounds to 128, which is one too many.
  EXPECT_EQ(leastShifts(ranges, 8).entries, (std::vector<int64_t>{0, 1, 0, 2, 3}));
}

ConvTile window(int64_t height, int64_t width, int64_t inputs, int64_t outputs, int64_t padding) {
  return {.inputHeight = height,
          .inputWidth = width,
          .inputChannels = inputs,
          .outputHeight = height + 2 * padding - 2,
          .outputWidth = width + 2 * padding - 2,
          .outputChannels = outputs,
          .kernelHeight = 3,
          .kernelWidth = 3,
          .padTop = padding,
          .padLeft = padding};
}

TapShiftMatrices noShifts(const TapTransforms &t) {
  return {Matrix<int64_t>(t.products(), t.products()), Matrix<int64_t>(t.products(), t.products())};
}

// Nothing rounded: exact at any size.
TEST(TapConvolution, IsExactWithoutShifts) {
  Random random(1);
  for (const TapTransforms &t : {two(), four(), fourByHalves()})
    for (const ConvTile &tile : {window(8, 6, 4, 4, 1), window(1, 1, 1, 1, 1),
                                 window(7, 13, 3, 5, 1), window(5, 9, 17, 2, 0)})
      for (CodeFormat format : {kWide, kNarrow})
        for (Pattern pattern : kPatterns) {
          const Tensor x = codes(random, pattern, format,
                                 tile.inputHeight * tile.inputWidth * tile.inputChannels);
          std::vector<int8_t> weights;
          for (int64_t i = 0; i < tile.outputChannels * 9 * tile.inputChannels; ++i)
            weights.push_back(static_cast<int8_t>(draw(random, pattern, i, -128, 127)));
          const TapShiftMatrices none = noShifts(t);
          const TapConvolution exact{t, none, 40, 40};
          std::vector<int64_t> expected(
              static_cast<size_t>(tile.outputHeight * tile.outputWidth * tile.outputChannels));
          naiveKernels().convAccumulate(tile, view(x, format), weights.data(), expected.data());
          for (int64_t &sum : expected)
            sum *= t.scale * t.scale;
          ASSERT_EQ(tapConvolve(exact, tile, view(x, format), weights.data()), expected);
          EXPECT_TRUE(std::isinf(tapSqnr(exact, tile, view(x, format), weights.data())));
        }
}

/// A layer like those of a network: smooth pictures, weights about normal.
struct Layer {
  ConvTile tile = window(18, 14, 24, 8, 1);
  Tensor x{ElementType::I8, {18, 14, 24}};
  std::vector<int8_t> weights;

  Layer() {
    Random random(3);
    auto values = x.mutableValues<int8_t>();
    for (int64_t h = 0; h < 18; ++h)
      for (int64_t w = 0; w < 14; ++w)
        for (int64_t c = 0; c < 24; ++c) {
          const auto phase = static_cast<double>(h * (c % 5) + w * (c % 7)) * 0.13;
          const double value = 40 * std::sin(phase) + 12 * random.normal();
          values[(h * 14 + w) * 24 + c] = static_cast<int8_t>(std::clamp(value, -128.0, 127.0));
        }
    for (int64_t i = 0; i < 8 * 9 * 24; ++i)
      weights.push_back(static_cast<int8_t>(std::clamp(30 * random.normal(), -127.0, 127.0)));
  }
  Codes codes() const { return {x.bytes(), {ElementType::I8, -9}}; }

  /// Tap by tap, or one shift for all.
  double sqnr(const TapTransforms &t, int64_t codeBits, int64_t weightBits, bool tapwise) const {
    TapShiftMatrices shifts{leastShifts(observedCodes(t, tile, codes()), codeBits),
                            leastShifts(observedWeights(t, tile, weights.data()), weightBits)};
    if (!tapwise)
      for (Matrix<int64_t> *all : {&shifts.codes, &shifts.weights})
        std::ranges::fill(all->entries, *std::ranges::max_element(all->entries));
    return tapSqnr({t, shifts, codeBits, weightBits}, tile, codes(), weights.data());
  }
};

TEST(TapConvolution, LosesLessWithMoreBitsAndAShiftForEachTap) {
  const Layer layer;
  const TapTransforms t = four();
  const double bytes = layer.sqnr(t, 8, 8, true), tens = layer.sqnr(t, 10, 10, true),
               wide = layer.sqnr(t, 11, 12, true), common = layer.sqnr(t, 8, 8, false);
  std::printf("F(4x4, 3x3), dB: 8x8 %.1f (one shift for all taps %.1f), 10x10 %.1f, 11x12 %.1f\n",
              bytes, common, tens, wide);
  EXPECT_GT(bytes, 20);
  EXPECT_GT(bytes, common + 6);
  EXPECT_GT(tens, bytes + 8);
  EXPECT_GT(wide, tens + 6);
  EXPECT_TRUE(std::isinf(layer.sqnr(two(), 10, 12, true)));
}

} // namespace
} // namespace sdopt
