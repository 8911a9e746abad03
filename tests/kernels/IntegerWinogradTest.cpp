#include "compiler/kernels/IntegerWinograd.h"
#include "RandomCodes.h"
#include "Windows.h"
#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/winograd/WinogradBounds.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

using namespace sdopt::testing;

struct Data {
  Tensor x;
  std::vector<int8_t> weights;
  std::vector<int64_t> acc; ///< sums that already hold something
};

Data makeData(Random &random, Pattern codePattern, Pattern weightPattern, CodeFormat format,
              const ConvTile &t) {
  Data data;
  data.x = codes(random, codePattern, format, t.inputHeight * t.inputWidth * t.inputChannels);
  for (int64_t i = 0; i < t.outputChannels * 9 * t.inputChannels; ++i)
    data.weights.push_back(static_cast<int8_t>(draw(random, weightPattern, i, -128, 127)));
  for (int64_t i = 0; i < t.outputHeight * t.outputWidth * t.outputChannels; ++i)
    data.acc.push_back(random.between(-1000000, 1000000));
  return data;
}

std::vector<int64_t> direct(const Data &data, CodeFormat format, const ConvTile &tile) {
  std::vector<int64_t> acc = data.acc;
  naiveKernels().convAccumulate(tile, view(data.x, format), data.weights.data(), acc.data());
  return acc;
}

std::vector<int64_t> winograd(const IntegerKernels &kernels, const Data &data, CodeFormat format,
                              const ConvTile &tile) {
  std::vector<int64_t> acc = data.acc;
  winogradAccumulate(kernels, tile, view(data.x, format), data.weights.data(), acc.data());
  return acc;
}

int64_t planes(CodeFormat format) { return format.type == ElementType::I16 ? 2 : 1; }

void expectExact(const Data &data, CodeFormat format, const ConvTile &tile) {
  const std::vector<int64_t> expected = direct(data, format, tile);
  std::vector<int64_t> acc = data.acc;
  const int64_t multiplications =
      naiveWinogradAccumulate(tile, view(data.x, format), data.weights.data(), acc.data());
  ASSERT_EQ(acc, expected) << "naive";
  EXPECT_EQ(multiplications, planes(format) * winogradMultiplications(tile));
  for (const IntegerKernels *kernels : fastKernelLevels())
    ASSERT_EQ(winograd(*kernels, data, format, tile), expected);
}

constexpr ConvTile kShapes[] = {
    // The running example, then one pixel, one row, one column, primes.
    window(8, 6, 4, 4), window(1, 1, 1, 1), window(1, 7, 5, 3), window(11, 1, 3, 2),
    window(7, 13, 17, 5), window(5, 5, 1, 33), window(2, 3, 64, 16),
    // Without padding, with padding on one side, with more than the picture.
    window(8, 9, 4, 6, 0, 0, 0, 0), window(5, 6, 7, 3, 1, 0, 0, 1), window(3, 4, 2, 9, 0, 1, 1, 0),
    window(2, 1, 3, 4, 2, 2, 2, 2), window(1, 2, 3, 1, 3, 1, 4, 5),
    // More than one chunk of channels, one block of outputs and one group of tiles.
    window(3, 5, 65, 40), window(4, 4, 130, 37), window(21, 19, 9, 34)};

TEST(IntegerWinograd, EveryLevelEqualsDirectConvolution) {
  Random random(1);
  for (const ConvTile &tile : kShapes) {
    ASSERT_TRUE(hasWinogradForm(tile));
    for (CodeFormat format : {kWide, kNarrow, CodeFormat{ElementType::I8, 127}})
      for (Pattern code : kPatterns)
        for (Pattern weight : kPatterns) {
          const Data data = makeData(random, code, weight, format, tile);
          ASSERT_NO_FATAL_FAILURE(expectExact(data, format, tile))
              << tile.inputHeight << "x" << tile.inputWidth << "x" << tile.inputChannels << " "
              << describe(format, code) << ", weights " << static_cast<int>(weight);
        }
  }
}

TEST(IntegerWinograd, EveryZeroPointIsExact) {
  Random random(2);
  const ConvTile tile = window(3, 5, 7, 9);
  for (int32_t zeroPoint = -128; zeroPoint <= 127; ++zeroPoint) {
    const CodeFormat format{ElementType::I8, zeroPoint};
    for (Pattern pattern : {Pattern::Random, Pattern::Minimum})
      ASSERT_NO_FATAL_FAILURE(
          expectExact(makeData(random, pattern, pattern, format, tile), format, tile))
          << zeroPoint;
  }
}

// The widest layer of Stable Diffusion, the last number of channels whose sums fit 32 bits, and
// more of them; with codes and weights that take the sums to their ends.
TEST(IntegerWinograd, SumsOfManyChannelsAreExact) {
  Random random(3);
  for (int64_t channels : {2560L, kWinogradChannels, kWinogradChannels + 1, 7411L}) {
    const ConvTile tile = window(3, 3, channels, 2);
    for (CodeFormat format :
         {kWide, CodeFormat{ElementType::I8, -128}, CodeFormat{ElementType::I8, 127}})
      for (auto [code, weight] : {std::pair{Pattern::Minimum, Pattern::Minimum},
                                  {Pattern::Maximum, Pattern::Minimum},
                                  {Pattern::Minimum, Pattern::Maximum},
                                  {Pattern::Maximum, Pattern::Maximum},
                                  {Pattern::Random, Pattern::Random}})
        ASSERT_NO_FATAL_FAILURE(
            expectExact(makeData(random, code, weight, format, tile), format, tile))
            << channels << " " << describe(format, code);
  }
}

TEST(IntegerWinograd, WidthsAreThoseOfTheMatrices) {
  const auto rational = cookToom(kWinogradOutputs, 3, std::vector<Rational>{0, 1, -1});
  ASSERT_TRUE(rational.ok());
  const auto integers = integerForm(*rational);
  ASSERT_TRUE(integers.ok());
  EXPECT_EQ(integers->products(), kWinogradInputs);
  EXPECT_EQ(integers->scale * integers->scale, 4);
  const WinogradBounds bounds = winogradBounds(*integers, kSignedByte);
  EXPECT_EQ(bounds.inputBits, kWinogradCodeBits);
  EXPECT_EQ(bounds.filterBits, kWinogradWeightBits);
  EXPECT_EQ(bounds.channelsOfResults(32), kWinogradChannels);
}

TEST(IntegerWinograd, MultiplicationsAreFewerByTwoAndAQuarter) {
  const auto directly = [](const ConvTile &t) {
    return t.outputHeight * t.outputWidth * t.outputChannels * 9 * t.inputChannels;
  };
  for (const ConvTile &tile : {window(64, 64, 320, 320), window(8, 2, 3, 5)})
    EXPECT_EQ(4 * directly(tile), 9 * winogradMultiplications(tile));
  // Odd sizes: outputs to spare.
  EXPECT_EQ(winogradMultiplications(window(5, 3, 7, 11)), 16 * 3 * 2 * 7 * 11);
}

TEST(IntegerWinograd, OtherWindowsHaveNoForm) {
  ConvTile strided = window(8, 8, 4, 4), dilated = strided, wide = strided;
  strided.strideW = 2;
  dilated.dilationH = 2;
  wide.kernelWidth = 5;
  for (const ConvTile &tile : {strided, dilated, wide, ConvTile{1, 9, 40, 1, 9, 24}})
    EXPECT_FALSE(hasWinogradForm(tile));
  // They are convolved all the same, as are codes whose zero point is none.
  Random random(4);
  const ConvTile tile = window(4, 5, 3, 6);
  const CodeFormat odd{ElementType::I16, 5};
  const Data data = makeData(random, Pattern::Random, Pattern::Random, odd, tile);
  EXPECT_EQ(winograd(fastKernels(), data, odd, tile), direct(data, odd, tile));
  strided.outputWidth = 4;
  const Data other = makeData(random, Pattern::Random, Pattern::Random, kNarrow, strided);
  EXPECT_EQ(winograd(naiveKernels(), other, kNarrow, strided), direct(other, kNarrow, strided));
}

TEST(IntegerWinograd, EqualsAHandMadeExample) {
  // 2x2 picture of one channel, zero point 1, 3x3 kernel 1..9, padding 1.
  const int8_t x[] = {2, 3, 4, 5}, w[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  const ConvTile tile = window(2, 2, 1, 1);
  std::vector<int64_t> acc = {100, 0, 0, 0};
  EXPECT_EQ(naiveWinogradAccumulate(tile, {x, {ElementType::I8, 1}}, w, acc.data()), 16);
  EXPECT_EQ(acc, (std::vector<int64_t>{100 + 5 + 12 + 24 + 36, 4 + 10 + 21 + 32, 2 + 6 + 15 + 24,
                                       1 + 4 + 12 + 20}));
}

// Rows [0, first) and [first, height) with their halos: tiles of 2x2 outputs begin anywhere.
TEST(IntegerWinograd, ResultsDoNotDependOnTiles) {
  Random random(5);
  const ConvTile whole = window(11, 7, 20, 10);
  for (CodeFormat format : {kWide, kNarrow}) {
    const Data data = makeData(random, Pattern::Random, Pattern::Random, format, whole);
    const std::vector<int64_t> expected = direct(data, format, whole);
    for (int64_t first : {1, 2, 5, 10}) {
      std::vector<int64_t> acc = data.acc;
      for (auto [begin, end] : {std::pair<int64_t, int64_t>{0, first}, {first, 11}}) {
        const int64_t top = std::max<int64_t>(0, begin - 1),
                      bottom = std::min<int64_t>(11, end + 1);
        ConvTile part = whole;
        part.inputHeight = bottom - top;
        part.outputHeight = end - begin;
        part.padTop = begin == 0 ? 1 : 0;
        const auto *from = data.x.bytes() + top * 7 * 20 * byteWidth(format.type);
        winogradAccumulate(fastKernels(), part, {from, format}, data.weights.data(),
                           acc.data() + begin * 7 * 10);
      }
      EXPECT_EQ(acc, expected) << first;
    }
  }
}

// More tiles than one strip holds.
TEST(IntegerWinograd, ResultsDoNotDependOnThreads) {
  Random random(6);
  const ConvTile tile = window(129, 66, 130, 65);
  for (CodeFormat format : {kWide, kNarrow}) {
    const Data data = makeData(random, Pattern::Random, Pattern::Random, format, tile);
    std::vector<int64_t> expected = data.acc;
    fastKernels().convAccumulate(tile, view(data.x, format), data.weights.data(), expected.data());
    for (int threads : {1, 2, 3}) {
      setKernelThreads(threads);
      EXPECT_EQ(winograd(fastKernels(), data, format, tile), expected) << threads;
      setKernelThreads(1);
    }
  }
}

} // namespace
} // namespace sdopt
