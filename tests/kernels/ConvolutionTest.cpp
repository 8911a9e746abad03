#include "RandomCodes.h"
#include "compiler/kernels/Convolve.h"
#include "compiler/kernels/FastConvolution.h"
#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/FloatKernels.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

using namespace sdopt::testing;

struct Data {
  Tensor x;
  std::vector<int8_t> weights;
  std::vector<int64_t> acc;
};

int64_t kernelDepth(const ConvTile &t) { return t.kernelHeight * t.kernelWidth * t.inputChannels; }

Data makeData(Random &random, Pattern pattern, CodeFormat format, const ConvTile &t) {
  Data data;
  data.x = codes(random, pattern, format, t.inputHeight * t.inputWidth * t.inputChannels);
  for (int64_t i = 0; i < t.outputChannels * kernelDepth(t); ++i)
    data.weights.push_back(static_cast<int8_t>(draw(random, pattern, i, -128, 127)));
  // A sum that already holds something.
  for (int64_t i = 0; i < t.outputHeight * t.outputWidth * t.outputChannels; ++i)
    data.acc.push_back(random.between(-1000000, 1000000));
  return data;
}

const ConvTile kShapes[] = {
    // Linear layers: one row, a few rows, more than one block of depth.
    {1, 1, 7, 1, 1, 5},
    {1, 3, 64, 1, 3, 33},
    {1, 13, 1, 1, 13, 1},
    {1, 77, 97, 1, 77, 70},
    {1, 11, 2500, 1, 11, 37},
    {1, 2, 5000, 1, 2, 3},
    // The running example: 4 channels, 3x3, 8x6.
    {8, 6, 4, 8, 6, 4, 3, 3, 1, 1, 1, 1, 1, 1},
    {7, 11, 9, 7, 11, 32, 3, 3, 1, 1, 1, 1, 1, 1},
    {13, 5, 17, 7, 3, 19, 3, 3, 2, 2, 1, 1, 1, 1},
    {9, 12, 3, 5, 11, 16, 3, 2, 2, 1, 1, 1, 0, 0},
    {11, 13, 5, 11, 13, 7, 3, 3, 1, 1, 2, 3, 2, 3},
    // Padding wider than the picture, and a tile of rows without padding above.
    {2, 3, 6, 6, 7, 6, 5, 5, 1, 1, 1, 1, 4, 4},
    {4, 9, 130, 3, 9, 48, 3, 3, 1, 1, 1, 1, 0, 1},
    {3, 3, 300, 3, 3, 40, 3, 3, 1, 1, 1, 1, 1, 1},
    // Whole chunks of bytes: more strips than one, one panel of lanes and three.
    {1, 97, 64, 1, 97, 16},
    {5, 8, 128, 5, 8, 48, 3, 3, 1, 1, 1, 1, 1, 1},
    {6, 9, 65, 6, 9, 17, 3, 3, 1, 1, 1, 1, 1, 1},
    {8, 8, 64, 4, 4, 20, 3, 3, 2, 2, 1, 1, 1, 1},
    {10, 9, 64, 10, 9, 8, 3, 3, 1, 1, 3, 2, 3, 2},
    // 1x1 over a part of the rows, and with strides.
    {9, 7, 70, 6, 7, 11},
    {9, 7, 70, 5, 4, 11, 1, 1, 2, 2},
    {5, 5, 3, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1, 2},
};

TEST(Convolution, everyLevelEqualsNaive) {
  Random random(1);
  for (const ConvTile &tile : kShapes)
    for (CodeFormat format : {kWide, kNarrow, CodeFormat{ElementType::I8, 127}})
      for (Pattern pattern : kPatterns) {
        Data data = makeData(random, pattern, format, tile);
        std::vector<int64_t> expected = data.acc;
        naiveKernels().convAccumulate(tile, view(data.x, format), data.weights.data(),
                                      expected.data());
        for (const DotKernels &level : dotKernelLevels()) {
          std::vector<int64_t> acc = data.acc;
          fastConvAccumulate(level, tile, view(data.x, format), data.weights.data(), acc.data());
          ASSERT_EQ(acc, expected) << level.name << " " << describe(format, pattern) << " channels "
                                   << tile.inputChannels << "->" << tile.outputChannels;
        }
      }
}

TEST(Convolution, layersWithoutAccumulatorsEqualNaive) {
  Random random(6);
  int trial = 0;
  for (const ConvTile &tile : kShapes)
    for (CodeFormat format : {kWide, kNarrow})
      for (CodeFormat result : {kWide, kNarrow})
        for (Pattern pattern : kPatterns) {
          Data data = makeData(random, pattern, format, tile);
          std::vector<ChannelParams> params;
          // Now and then parameters that only the accumulators have room for.
          int64_t bias = int64_t(1) << (++trial % 5 ? 30 : 60);
          int32_t minShift = trial % 7 ? 25 : 20;
          for (int64_t i = 0; i < tile.outputChannels; ++i)
            params.push_back({random.between(-bias, bias),
                              static_cast<int32_t>(random.between(1 << 30, INT32_MAX)),
                              static_cast<int32_t>(random.between(minShift, 50))});
          std::fill(data.acc.begin(), data.acc.end(), 0);
          auto size = static_cast<int64_t>(data.acc.size());
          int64_t rows = size / tile.outputChannels;
          Tensor expected(result.type, {size});
          naiveKernels().convAccumulate(tile, view(data.x, format), data.weights.data(),
                                        data.acc.data());
          naiveKernels().requantize(data.acc.data(), rows, tile.outputChannels, params.data(),
                                    result, expected.mutableBytes());
          std::vector<const IntegerKernels *> all = {&naiveKernels()};
          for (const IntegerKernels *kernels : fastKernelLevels())
            all.push_back(kernels);
          for (const IntegerKernels *kernels : all) {
            Tensor y(result.type, {size});
            convolve(*kernels, tile, view(data.x, format), data.weights.data(), params.data(),
                     result, y.mutableBytes());
            ASSERT_TRUE(y.sameBits(expected)) << describe(format, pattern);
          }
        }
}

// Cuts of the channels: `step` apart.
std::vector<std::vector<int8_t>> cutWeights(const std::vector<int8_t> &weights,
                                            const ConvTile &tile, int64_t outputStep,
                                            int64_t inputStep, std::vector<WeightTile> &tiles) {
  std::vector<std::vector<int8_t>> blocks;
  int64_t taps = tile.kernelHeight * tile.kernelWidth;
  for (int64_t co = 0; co < tile.outputChannels; co += outputStep)
    for (int64_t ci = 0; ci < tile.inputChannels; ci += inputStep) {
      WeightTile t{co, std::min(outputStep, tile.outputChannels - co), ci,
                   std::min(inputStep, tile.inputChannels - ci), nullptr};
      std::vector<int8_t> &block = blocks.emplace_back();
      for (int64_t o = co; o < co + t.outputs; ++o)
        for (int64_t tap = 0; tap < taps; ++tap)
          for (int64_t i = ci; i < ci + t.inputs; ++i)
            block.push_back(weights[(o * taps + tap) * tile.inputChannels + i]);
      t.weights = block.data();
      tiles.push_back(t);
    }
  return blocks;
}

TEST(Convolution, weightsInTilesAreExact) {
  Random random(6);
  const ConvTile pointwise{1, 11, 200, 1, 11, 70, 1, 1, 1, 1, 1, 1, 0, 0};
  const ConvTile window{7, 6, 200, 7, 6, 70, 3, 3, 1, 1, 1, 1, 1, 1};
  const ConvTile strided{9, 8, 70, 5, 4, 40, 3, 3, 2, 2, 1, 1, 1, 1};
  for (const ConvTile &tile : {pointwise, window, strided})
    for (CodeFormat format : {kWide, kNarrow})
      for (auto [outputStep, inputStep] :
           {std::pair<int64_t, int64_t>{32, 64}, {16, 128}, {24, 64}, {70, 33}, {7, 200}}) {
        Data data = makeData(random, Pattern::Random, format, tile);
        std::vector<ChannelParams> params(tile.outputChannels,
                                          ChannelParams{random.between(-99, 99), INT32_MAX, 45});
        int64_t size = tile.outputHeight * tile.outputWidth * tile.outputChannels;
        Tensor expected(ElementType::I16, {size});
        convolve(naiveKernels(), tile, view(data.x, format), data.weights.data(), params.data(),
                 kWide, expected.mutableBytes());
        std::vector<WeightTile> tiles;
        auto blocks = cutWeights(data.weights, tile, outputStep, inputStep, tiles);
        for (const IntegerKernels *kernels : fastKernelLevels()) {
          Tensor y(ElementType::I16, {size});
          if (convolveTiles(*kernels, tile, view(data.x, format), tiles, params.data(), kWide,
                            y.mutableBytes())) {
            ASSERT_TRUE(y.sameBits(expected)) << outputStep << " " << inputStep;
          }
        }
        Tensor untouched(ElementType::I16, {size});
        EXPECT_FALSE(convolveTiles(naiveKernels(), tile, view(data.x, format), tiles, params.data(),
                                   kWide, untouched.mutableBytes()));
      }
}

TEST(Convolution, everyZeroPointIsExact) {
  Random random(4);
  ConvTile tile{3, 5, 7, 3, 5, 9, 3, 3, 1, 1, 1, 1, 1, 1};
  for (int32_t zeroPoint = -128; zeroPoint <= 127; ++zeroPoint) {
    CodeFormat format{ElementType::I8, zeroPoint};
    Data data = makeData(random, zeroPoint % 2 ? Pattern::Random : Pattern::Minimum, format, tile);
    std::vector<int64_t> expected = data.acc;
    naiveKernels().convAccumulate(tile, view(data.x, format), data.weights.data(), expected.data());
    for (const DotKernels &level : dotKernelLevels()) {
      std::vector<int64_t> acc = data.acc;
      fastConvAccumulate(level, tile, view(data.x, format), data.weights.data(), acc.data());
      ASSERT_EQ(acc, expected) << level.name << " " << zeroPoint;
    }
  }
}

// Sums at the edge of int32, and a picture that is cut into bands.
TEST(Convolution, largeLayersAreTheSameOnEveryLevel) {
  Random random(5);
  const ConvTile tiles[] = {{1, 5, 65472, 1, 5, 2},
                            {1, 5, 66000, 1, 5, 2},
                            {260, 200, 130, 260, 200, 3, 3, 3, 1, 1, 1, 1, 1, 1},
                            {1, 90000, 64, 1, 90000, 2}};
  for (const ConvTile &tile : tiles)
    for (CodeFormat format : {kWide, CodeFormat{ElementType::I8, -128}})
      for (Pattern pattern : {Pattern::Random, Pattern::Maximum}) {
        Data data = makeData(random, pattern, format, tile);
        std::vector<int64_t> expected = data.acc;
        fastConvAccumulate(dotKernelLevels().back(), tile, view(data.x, format),
                           data.weights.data(), expected.data());
        for (const DotKernels &level : dotKernelLevels()) {
          if (std::string(level.name) == "portable" && tile.kernelHeight > 1)
            continue;
          std::vector<int64_t> acc = data.acc;
          fastConvAccumulate(level, tile, view(data.x, format), data.weights.data(), acc.data());
          ASSERT_EQ(acc, expected) << level.name << " " << describe(format, pattern);
        }
      }
}

TEST(Convolution, unusualZeroPointsAreExact) {
  Random random(2);
  ConvTile tile{1, 9, 40, 1, 9, 24};
  for (CodeFormat format : {CodeFormat{ElementType::I16, 5}, CodeFormat{ElementType::I16, -32768},
                            CodeFormat{ElementType::I8, 1000}}) {
    Data data = makeData(random, Pattern::Random, format, tile);
    std::vector<int64_t> expected = data.acc, acc = data.acc;
    naiveKernels().convAccumulate(tile, view(data.x, format), data.weights.data(), expected.data());
    fastKernels().convAccumulate(tile, view(data.x, format), data.weights.data(), acc.data());
    ASSERT_EQ(acc, expected);
  }
}

TEST(Convolution, naiveEqualsAHandMadeExample) {
  // 2x2 picture of one channel, zero point 1, 3x3 kernel 1..9, padding 1.
  const int8_t x[] = {2, 3, 4, 5}, w[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  ConvTile tile{2, 2, 1, 2, 2, 1, 3, 3, 1, 1, 1, 1, 1, 1};
  std::vector<int64_t> acc = {100, 0, 0, 0};
  naiveKernels().convAccumulate(tile, {x, {ElementType::I8, 1}}, w, acc.data());
  EXPECT_EQ(acc, (std::vector<int64_t>{100 + 5 + 12 + 24 + 36, 4 + 10 + 21 + 32, 2 + 6 + 15 + 24,
                                       1 + 4 + 12 + 20}));
}

TEST(Convolution, resultDoesNotDependOnTilesOrThreads) {
  Random random(3);
  for (CodeFormat format : {kWide, kNarrow}) {
    ConvTile whole{10, 7, 24, 10, 7, 20, 3, 3, 1, 1, 1, 1, 1, 1};
    Data data = makeData(random, Pattern::Random, format, whole);
    std::vector<int64_t> expected = data.acc;
    fastKernels().convAccumulate(whole, view(data.x, format), data.weights.data(), expected.data());

    std::vector<int64_t> threaded = data.acc;
    setKernelThreads(2);
    fastKernels().convAccumulate(whole, view(data.x, format), data.weights.data(), threaded.data());
    setKernelThreads(1);
    EXPECT_EQ(threaded, expected);

    // Rows [0, 4) and [4, 10), each with its halo; input channels [0, 10) and [10, 24) one after
    // the other.
    std::vector<int64_t> tiled = data.acc;
    for (auto [firstRow, rows] : {std::pair<int64_t, int64_t>{0, 4}, {4, 6}})
      for (auto [firstChannel, channels] : {std::pair<int64_t, int64_t>{0, 10}, {10, 14}}) {
        int64_t top = std::max<int64_t>(0, firstRow - 1);
        int64_t bottom = std::min<int64_t>(10, firstRow + rows + 1);
        ConvTile part = whole;
        part.inputHeight = bottom - top;
        part.outputHeight = rows;
        part.inputChannels = channels;
        part.padTop = firstRow == 0 ? 1 : 0;
        const int64_t starts[] = {top, 0, firstChannel};
        const int64_t ends[] = {bottom, 7, firstChannel + channels};
        const int64_t steps[] = {1, 1, 1};
        Tensor x = slice(data.x.reshaped({10, 7, 24}), starts, ends, steps);
        const int64_t wStarts[] = {0, firstChannel}, wEnds[] = {20 * 9, firstChannel + channels};
        Tensor w = slice(Tensor::of<int8_t>({20 * 9, 24}, data.weights), wStarts, wEnds,
                         std::span(steps).first(2));
        fastKernels().convAccumulate(part, view(x, format), w.values<int8_t>().data(),
                                     tiled.data() + firstRow * 7 * 20);
      }
    EXPECT_EQ(tiled, expected);
  }
}

// Large enough for more than one thread.
TEST(Convolution, largeLayersDoNotDependOnThreads) {
  Random random(8);
  const ConvTile tiles[] = {{40, 37, 70, 40, 37, 65, 3, 3, 1, 1, 1, 1, 1, 1},
                            {1, 1500, 200, 1, 1500, 130},
                            {41, 40, 70, 21, 20, 150, 3, 3, 2, 2, 1, 1, 1, 1}};
  for (const ConvTile &tile : tiles)
    for (CodeFormat format : {kWide, kNarrow}) {
      Data data = makeData(random, Pattern::Random, format, tile);
      std::vector<int64_t> expected = data.acc;
      fastConvAccumulate(dotKernelLevels().front(), tile, view(data.x, format), data.weights.data(),
                         expected.data());
      for (int threads : {1, 2, 3}) {
        setKernelThreads(threads);
        for (const DotKernels &level : dotKernelLevels()) {
          std::vector<int64_t> acc = data.acc;
          fastConvAccumulate(level, tile, view(data.x, format), data.weights.data(), acc.data());
          EXPECT_EQ(acc, expected) << level.name << " threads " << threads;
        }
        setKernelThreads(1);
      }
    }
}

} // namespace
} // namespace sdopt
