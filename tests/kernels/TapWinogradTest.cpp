#include "compiler/kernels/TapWinograd.h"
#include "RandomCodes.h"
#include "Windows.h"
#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/kernels/TapMatrices.h"
#include "compiler/winograd/TapTransforms.h"

#include <cmath>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using namespace sdopt::testing;

std::vector<int8_t> randomWeights(Random &random, int64_t count, int64_t most = 127) {
  std::vector<int8_t> weights;
  for (int64_t i = 0; i < count; ++i)
    weights.push_back(static_cast<int8_t>(random.between(-most, most)));
  return weights;
}

/// Of weights and codes that nothing saturates.
TapShifts roomyShifts(CodeFormat x) {
  constexpr int64_t kReach[] = {10, 10, 10, 6, 6, 10}, kWeightReach[] = {3, 3, 3, 7, 7, 3};
  const int64_t largest = x.type == ElementType::I16 ? 32768 : 255,
                most = x.type == ElementType::I16 ? (1 << 21) - 1025 : 1023;
  TapShifts shifts;
  for (int64_t p = 0; p < kTapProducts; ++p) {
    while (kReach[p / 6] * kReach[p % 6] * largest >> shifts.codes[p] > most)
      ++shifts.codes[p];
    while (kWeightReach[p / 6] * kWeightReach[p % 6] * 128 >> shifts.weights[p] > 2047)
      ++shifts.weights[p];
  }
  return shifts;
}

TapShifts randomShifts(Random &random, int64_t most) {
  TapShifts shifts;
  for (auto *all : {&shifts.codes, &shifts.weights})
    for (uint8_t &shift : *all)
      shift = static_cast<uint8_t>(random.between(0, most));
  return shifts;
}

struct Data {
  ConvTile tile;
  CodeFormat format;
  Tensor x = {};
  std::vector<int8_t> weights = {};
  std::vector<int64_t> acc = {}; ///< sums that already hold something

  Codes codes() const { return view(x, format); }
};

/// Codes and weights from -most to most, minus zero points.
Data smallData(Random &random, const ConvTile &t, CodeFormat format, int64_t mostCode,
               int64_t mostWeight) {
  Data data{t, format};
  Tensor x(ElementType::I32, {t.inputHeight * t.inputWidth * t.inputChannels});
  for (int32_t &value : x.mutableValues<int32_t>())
    value = static_cast<int32_t>(format.zeroPoint + random.between(-mostCode, mostCode));
  data.x = x.converted(format.type);
  data.weights = randomWeights(random, t.outputChannels * 9 * t.inputChannels, mostWeight);
  for (int64_t i = 0; i < t.outputHeight * t.outputWidth * t.outputChannels; ++i)
    data.acc.push_back(random.between(-1000000, 1000000));
  return data;
}

/// Of patterns and any weights.
Data patternData(Random &random, const ConvTile &t, CodeFormat format, Pattern code,
                 Pattern weight) {
  Data data = smallData(random, t, format, 1, 1);
  data.x = codes(random, code, format, t.inputHeight * t.inputWidth * t.inputChannels);
  for (size_t i = 0; i < data.weights.size(); ++i)
    data.weights[i] = static_cast<int8_t>(draw(random, weight, static_cast<int64_t>(i), -128, 127));
  return data;
}

std::vector<int64_t> naive(const Data &data, const TapShifts &shifts) {
  std::vector<int64_t> acc = data.acc;
  naiveTapAccumulate(data.tile, data.codes(), data.weights.data(), shifts, acc.data());
  return acc;
}

std::vector<int64_t> fast(const IntegerKernels &kernels, const Data &data,
                          const TapShifts &shifts) {
  std::vector<int64_t> acc = data.acc;
  tapAccumulate(kernels, data.tile, data.codes(), data.weights.data(), shifts, acc.data());
  return acc;
}

constexpr ConvTile kShapes[] = {
    // The running example, then one pixel, one row, one column, primes.
    window(8, 6, 4, 4), window(1, 1, 1, 1), window(1, 7, 5, 3), window(11, 1, 3, 2),
    window(7, 13, 17, 5), window(5, 5, 1, 33), window(2, 3, 64, 16),
    // Without padding, with padding on one side, with more than the picture.
    window(8, 9, 4, 6, 0, 0, 0, 0), window(5, 6, 7, 3, 1, 0, 0, 1), window(3, 4, 2, 9, 0, 1, 1, 0),
    window(2, 1, 3, 4, 2, 2, 2, 2), window(1, 2, 3, 1, 3, 1, 4, 5),
    // More than one chunk of channels, one block of outputs and one group of tiles.
    window(3, 5, 65, 40), window(4, 4, 130, 37), window(37, 35, 9, 34)};

// 100 times the codes and 49 times the weights fit without a shift.
TEST(TapWinograd, IsExactWithoutShifts) {
  Random random(1);
  for (const ConvTile &tile : kShapes)
    for (CodeFormat format : {kWide, kNarrow, CodeFormat{ElementType::I8, 117}}) {
      const bool isWide = format.type == ElementType::I16;
      const Data data = smallData(random, tile, format, isWide ? 20961 : 10, 41);
      std::vector<int64_t> sums(data.acc.size());
      naiveKernels().convAccumulate(tile, data.codes(), data.weights.data(), sums.data());
      for (size_t i = 0; i < sums.size(); ++i)
        sums[i] = data.acc[i] + kTapScale * sums[i];
      ASSERT_EQ(naive(data, {}), sums) << tile.inputHeight << "x" << tile.inputWidth;
    }
}

/// T x T'.
Matrix<int64_t> transformed(const Matrix<int64_t> &t, const Matrix<int64_t> &x) {
  Matrix<int64_t> y(t.rows, t.rows);
  for (int64_t a = 0; a < t.rows; ++a)
    for (int64_t b = 0; b < t.rows; ++b)
      for (int64_t i = 0; i < t.columns; ++i)
        for (int64_t j = 0; j < t.columns; ++j)
          y.at(a, b) += t.at(a, i) * x.at(i, j) * t.at(b, j);
  return y;
}

/// Half up, saturated.
int64_t rounded(int64_t value, uint8_t shift, int64_t least, int64_t most) {
  const auto half = std::floor(std::ldexp(static_cast<double>(value), -shift) + 0.5);
  return std::clamp(static_cast<int64_t>(half), least, most);
}

// One tile and one channel by matrices made of points, in fractions.
TEST(TapWinograd, RoundsAndSaturatesTheDerivedTransforms) {
  Random random(2);
  const auto t = tapTransforms(*cookToom(4, 3, std::vector<Rational>{0, 1, -1, 2, -2}));
  ASSERT_TRUE(t.ok());
  for (CodeFormat format : {kWide, kNarrow, CodeFormat{ElementType::I8, -128}})
    for (Pattern pattern : kPatterns)
      for (int64_t mostShift : {0, 4, 15}) {
        const Data data =
            patternData(random, window(6, 6, 1, 1, 0, 0, 0, 0), format, pattern, pattern);
        const TapShifts shifts = randomShifts(random, mostShift);
        Matrix<int64_t> d(6, 6), w(3, 3), m(6, 6);
        const Tensor x = data.x.converted(ElementType::I32);
        for (int64_t i = 0; i < 36; ++i)
          d.entries[i] = x.values<int32_t>()[i] - format.zeroPoint;
        std::ranges::copy(data.weights, w.entries.begin());
        const Matrix<int64_t> v = transformed(t->input, d), u = transformed(t->filter, w);
        const bool isWide = format.type == ElementType::I16;
        for (int64_t p = 0; p < kTapProducts; ++p)
          m.entries[p] = rounded(v.entries[p], shifts.codes[p], isWide ? -2097152 : -1024,
                                 isWide ? 2096127 : 1023) *
                         rounded(u.entries[p], shifts.weights[p], -2048, 2047) *
                         (1 << (t->exponents[p / 6] + t->exponents[p % 6])) *
                         (int64_t{1} << (shifts.codes[p] + shifts.weights[p]));
        std::vector<int64_t> expected = transformed(t->output, m).entries;
        for (size_t i = 0; i < expected.size(); ++i)
          expected[i] += data.acc[i];
        ASSERT_EQ(naive(data, shifts), expected) << describe(format, pattern) << mostShift;
      }
}

// Smooth pictures whose codes are hardly rounded, weights about normal in 12 bits.
TEST(TapWinograd, LosesLittle) {
  Random random(3);
  const ConvTile tile = window(18, 14, 24, 8);
  Data data = smallData(random, tile, kWide, 1, 1);
  for (int64_t i = 0; i < data.x.size(); ++i) {
    const int64_t row = i / (14 * 24), column = i / 24 % 14, channel = i % 24;
    const auto phase = static_cast<double>(row * (channel % 5) + column * (channel % 7)) * 0.13;
    data.x.mutableValues<int16_t>()[i] =
        static_cast<int16_t>(10000 * std::sin(phase) + 3000 * random.normal());
  }
  for (int8_t &weight : data.weights)
    weight = static_cast<int8_t>(std::clamp(30 * random.normal(), -127.0, 127.0));
  data.acc.assign(data.acc.size(), 0);
  const std::vector<int64_t> sums = naive(data, roomyShifts(data.format));
  std::vector<int64_t> exact(sums.size());
  naiveKernels().convAccumulate(tile, data.codes(), data.weights.data(), exact.data());
  double signal = 0, noise = 0;
  for (size_t i = 0; i < sums.size(); ++i) {
    const auto sum = static_cast<double>(kTapScale * exact[i]);
    signal += sum * sum;
    noise += (static_cast<double>(sums[i]) - sum) * (static_cast<double>(sums[i]) - sum);
  }
  const double decibels = 10 * std::log10(signal / noise);
  EXPECT_GT(decibels, 30) << decibels;
  EXPECT_LT(decibels, 60) << decibels;
}

using Accumulate = void (*)(const ConvTile &, Codes, const int8_t *, const TapShifts &, int64_t *);
void accumulateNaive(const ConvTile &tile, Codes x, const int8_t *weights, const TapShifts &shifts,
                     int64_t *acc) {
  naiveTapAccumulate(tile, x, weights, shifts, acc);
}
void accumulateFast(const ConvTile &tile, Codes x, const int8_t *weights, const TapShifts &shifts,
                    int64_t *acc) {
  tapAccumulate(fastKernels(), tile, x, weights, shifts, acc);
}

/// The part of a picture that outputs from (top, left) to (bottom, right) read, input channels
/// [first, last) and output channels [begin, end).
struct Part {
  int64_t top, left, bottom, right, first, last, begin, end;
};

void accumulatePart(Accumulate accumulate, const Data &data, const TapShifts &shifts, const Part &p,
                    std::vector<int64_t> &acc) {
  const ConvTile &t = data.tile;
  const int64_t top = std::max<int64_t>(0, p.top - t.padTop),
                bottom = std::min(t.inputHeight, p.bottom - t.padTop + 2),
                left = std::max<int64_t>(0, p.left - t.padLeft),
                right = std::min(t.inputWidth, p.right - t.padLeft + 2);
  ConvTile part = window(bottom - top, right - left, p.last - p.first, p.end - p.begin);
  part.outputHeight = p.bottom - p.top;
  part.outputWidth = p.right - p.left;
  part.padTop = top - (p.top - t.padTop);
  part.padLeft = left - (p.left - t.padLeft);
  Data cut{part, data.format};
  const int64_t width = byteWidth(data.format.type);
  cut.x = Tensor(data.format.type, {part.inputHeight * part.inputWidth * part.inputChannels});
  std::byte *to = cut.x.mutableBytes();
  for (int64_t row = top; row < bottom; ++row)
    for (int64_t column = left; column < right; ++column)
      to = std::copy_n(data.x.bytes() +
                           ((row * t.inputWidth + column) * t.inputChannels + p.first) * width,
                       part.inputChannels * width, to);
  for (int64_t o = p.begin; o < p.end; ++o)
    for (int64_t tap = 0; tap < 9; ++tap)
      for (int64_t i = p.first; i < p.last; ++i)
        cut.weights.push_back(data.weights[(o * 9 + tap) * t.inputChannels + i]);
  std::vector<int64_t> sums(
      static_cast<size_t>(part.outputHeight * part.outputWidth * part.outputChannels));
  accumulate(part, cut.codes(), cut.weights.data(), shifts, sums.data());
  auto sum = sums.begin();
  for (int64_t row = p.top; row < p.bottom; ++row)
    for (int64_t column = p.left; column < p.right; ++column)
      for (int64_t o = p.begin; o < p.end; ++o)
        acc[(row * t.outputWidth + column) * t.outputChannels + o] += *sum++;
}

// Rows and columns begin at multiples of 4; channels anywhere.
TEST(TapWinograd, ResultsDoNotDependOnTiles) {
  Random random(4);
  const ConvTile tile = window(13, 10, 7, 5);
  for (CodeFormat format : {kWide, kNarrow})
    for (Accumulate accumulate : {accumulateNaive, accumulateFast}) {
      const Data data = patternData(random, tile, format, Pattern::Random, Pattern::Random);
      const TapShifts shifts = randomShifts(random, 4);
      const std::vector<int64_t> expected = naive(data, shifts);
      for (auto [height, width, inputs, outputs] : {std::array<int64_t, 4>{4, 10, 7, 5},
                                                    {13, 4, 7, 5},
                                                    {8, 8, 7, 5},
                                                    {13, 10, 1, 5},
                                                    {13, 10, 3, 5},
                                                    {13, 10, 7, 2},
                                                    {12, 8, 2, 3}}) {
        std::vector<int64_t> acc = data.acc;
        for (int64_t top = 0; top < 13; top += height)
          for (int64_t left = 0; left < 10; left += width)
            for (int64_t first = 0; first < 7; first += inputs)
              for (int64_t begin = 0; begin < 5; begin += outputs)
                accumulatePart(accumulate, data, shifts,
                               {top, left, std::min<int64_t>(13, top + height),
                                std::min<int64_t>(10, left + width), first,
                                std::min<int64_t>(7, first + inputs), begin,
                                std::min<int64_t>(5, begin + outputs)},
                               acc);
        EXPECT_EQ(acc, expected) << height << "x" << width << ", " << inputs << ", " << outputs;
      }
      // The rule is needed: elsewhere the tiles are others.
      std::vector<int64_t> acc = data.acc;
      accumulatePart(accumulate, data, shifts, {0, 0, 6, 10, 0, 7, 0, 5}, acc);
      accumulatePart(accumulate, data, shifts, {6, 0, 13, 10, 0, 7, 0, 5}, acc);
      EXPECT_NE(acc, expected);
    }
}

TEST(TapWinograd, EveryLevelEqualsPlainLoops) {
  Random random(5);
  for (const ConvTile &tile : kShapes)
    for (CodeFormat format : {kWide, kNarrow, CodeFormat{ElementType::I8, 127}})
      for (Pattern code : kPatterns)
        for (Pattern weight : kPatterns) {
          const Data data = patternData(random, tile, format, code, weight);
          const TapShifts shifts = randomShifts(random, random.between(0, 1) ? 6 : 15);
          const std::vector<int64_t> expected = naive(data, shifts);
          ASSERT_EQ(fast(naiveKernels(), data, shifts), expected);
          for (const IntegerKernels *kernels : fastKernelLevels())
            ASSERT_EQ(fast(*kernels, data, shifts), expected)
                << tile.inputHeight << "x" << tile.inputWidth << "x" << tile.inputChannels << " "
                << describe(format, code) << ", weights " << static_cast<int>(weight);
        }
}

// 1,024 products of -1024 and -2048 leave 32 bits by one: weights and a picture that take one
// position after the other there.
TEST(TapWinograd, SumsOfManyChannelsAreExact) {
  Random random(6);
  for (int64_t channels : {1022L, 1023L, 1024L, 2560L})
    for (CodeFormat format : {kWide, CodeFormat{ElementType::I8, -128}, kNarrow})
      for (auto [row, column] : {std::pair<int64_t, int64_t>{0, 0}, {1, 4}, {3, 3}, {4, 2}})
        for (bool isNegative : {false, true}) {
          Data data = patternData(random, window(6, 6, channels, 1, 0, 0, 0, 0), format,
                                  Pattern::Random, Pattern::Random);
          Tensor x(ElementType::I32, {36 * channels});
          for (int64_t i = 0; i < 36 * channels; ++i) {
            const int64_t pixel = i / channels,
                          sign = kTapInput[row][pixel / 6] * kTapInput[column][pixel % 6];
            x.mutableValues<int32_t>()[i] = sign > 0   ? format.min()
                                            : sign < 0 ? format.max()
                                                       : format.zeroPoint;
          }
          data.x = x.converted(format.type);
          for (int64_t i = 0; i < 9 * channels; ++i) {
            const int64_t tap = i / channels,
                          sign = kTapFilter[row][tap / 3] * kTapFilter[column][tap % 3];
            data.weights[i] = sign == 0 ? 0 : (sign > 0) == isNegative ? -128 : 127;
          }
          const std::vector<int64_t> expected = naive(data, {});
          for (const IntegerKernels *kernels : fastKernelLevels())
            ASSERT_EQ(fast(*kernels, data, {}), expected) << channels << " " << row << column;
        }
}

// More tiles than one strip holds.
TEST(TapWinograd, ResultsDoNotDependOnThreads) {
  Random random(7);
  const ConvTile tile = window(129, 131, 130, 65);
  for (CodeFormat format : {kWide, kNarrow}) {
    const Data data = patternData(random, tile, format, Pattern::Random, Pattern::Random);
    const TapShifts shifts = roomyShifts(format);
    const std::vector<int64_t> expected = fast(*fastKernelLevels().front(), data, shifts);
    for (int threads : {1, 2, 3}) {
      setKernelThreads(threads);
      EXPECT_EQ(fast(fastKernels(), data, shifts), expected) << threads;
      setKernelThreads(1);
    }
  }
}

/// One tile whose codes are all at their ends, as the signs of `towards` say.
Tensor extremes(CodeFormat format, const std::vector<int64_t> &towards) {
  Tensor x(ElementType::I32, {static_cast<int64_t>(towards.size())});
  for (size_t i = 0; i < towards.size(); ++i)
    x.mutableValues<int32_t>()[i] = towards[i] < 0 ? format.min() : format.max();
  return x.converted(format.type);
}

std::vector<int64_t> tile4x4(const ConvTile &tile, CodeFormat format, const Tensor &x,
                             const std::vector<int8_t> &weights, const TapShifts &shifts) {
  std::vector<int64_t> acc(static_cast<size_t>(16 * tile.outputChannels));
  naiveTapAccumulate(tile, view(x, format), weights.data(), shifts, acc.data());
  return acc;
}

/// How much each output of one tile and channel 0 moves with each code.
std::vector<std::vector<int64_t>> slopes(const ConvTile &tile, CodeFormat format,
                                         const std::vector<int8_t> &weights,
                                         const TapShifts &shifts) {
  const int64_t count = 36 * tile.inputChannels;
  std::vector<std::vector<int64_t>> slopes(16, std::vector<int64_t>(static_cast<size_t>(count)));
  for (int64_t i = 0; i < count; ++i) {
    Tensor x(ElementType::I32, {count});
    std::ranges::fill(x.mutableValues<int32_t>(), format.zeroPoint);
    x.mutableValues<int32_t>()[i] = format.max();
    const auto acc = tile4x4(tile, format, x.converted(format.type), weights, shifts);
    for (int64_t output = 0; output < 16; ++output)
      slopes[output][i] = acc[output * tile.outputChannels];
  }
  return slopes;
}

TEST(TapAccumulatorBound, HoldsForExtremeCodes) {
  Random random(1);
  for (CodeFormat format : {kWide, kNarrow, CodeFormat{ElementType::I8, 127}})
    for (int64_t most : {0, 2, 6, 15})
      for (int round = 0; round < 4; ++round) {
        const ConvTile tile = window(6, 6, 1 + round % 3, 2, 0, 0, 0, 0);
        const auto weights = randomWeights(random, 18 * tile.inputChannels, round < 2 ? 127 : 20);
        const TapShifts shifts = most == 0 ? roomyShifts(format) : randomShifts(random, most);
        const auto bounds = tapAccumulatorBound(weights, 2, format, shifts);
        ASSERT_EQ(bounds.size(), 2);
        std::vector<std::vector<int64_t>> signs = slopes(tile, format, weights, shifts);
        for (int i = 0; i < 16; ++i) {
          auto &drawn = signs.emplace_back();
          for (int64_t k = 0; k < 36 * tile.inputChannels; ++k)
            drawn.push_back(random.between(-1, 0));
        }
        for (auto &towards : signs)
          for (int turn = 0; turn < 2; ++turn) {
            const auto acc = tile4x4(tile, format, extremes(format, towards), weights, shifts);
            for (size_t i = 0; i < acc.size(); ++i)
              ASSERT_LE(std::abs(acc[i]), bounds[i % 2]) << most << " " << round;
            for (int64_t &toward : towards)
              toward = -1 - toward;
          }
      }
}

TEST(TapAccumulatorBound, IsCloseWhereNothingSaturates) {
  Random random(2);
  const ConvTile tile = window(6, 6, 3, 1, 0, 0, 0, 0);
  for (CodeFormat format : {kWide, CodeFormat{ElementType::I8, -128}}) {
    // 49 times the largest weight in 12 bits: rounding of codes is all there is.
    const auto weights = randomWeights(random, 27, 41);
    const TapShifts shifts = roomyShifts(format);
    TapShifts exact = shifts;
    exact.weights = {};
    int64_t most = 0;
    for (const auto &towards : slopes(tile, format, weights, exact))
      for (int64_t sum : tile4x4(tile, format, extremes(format, towards), weights, exact))
        most = std::max(most, std::abs(sum));
    const auto bound = static_cast<double>(tapAccumulatorBound(weights, 1, format, exact)[0]);
    EXPECT_GE(bound, static_cast<double>(most));
    EXPECT_LT(bound, static_cast<double>(most) * (format.type == ElementType::I16 ? 1.01 : 3));
  }
}

// The widest layer of Stable Diffusion with weights as they are quantized.
TEST(TapAccumulatorBound, LeavesRoomForManyChannels) {
  Random random(3);
  std::vector<int8_t> weights;
  for (int64_t i = 0; i < 3 * 9 * 2560; ++i)
    weights.push_back(static_cast<int8_t>(std::clamp(30 * random.normal(), -127.0, 127.0)));
  for (CodeFormat format : {kWide, kNarrow})
    for (int64_t bound : tapAccumulatorBound(weights, 3, format, roomyShifts(format)))
      EXPECT_LT(bound, int64_t{1} << (format.type == ElementType::I16 ? 44 : 38));
  const std::vector<int8_t> ends(int64_t{9} * 25600, -128);
  EXPECT_GT(tapAccumulatorBound(ends, 1, kWide, roomyShifts(kWide))[0], int64_t{1} << 47);
}

} // namespace
} // namespace sdopt
