#include "compiler/kernels/TapWinograd.h"
#include "RandomCodes.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

using namespace sdopt::testing;

ConvTile window(int64_t height, int64_t width, int64_t inputs, int64_t outputs, int64_t padTop = 1,
                int64_t padLeft = 1, int64_t padBottom = 1, int64_t padRight = 1) {
  return {.inputHeight = height,
          .inputWidth = width,
          .inputChannels = inputs,
          .outputHeight = height + padTop + padBottom - 2,
          .outputWidth = width + padLeft + padRight - 2,
          .outputChannels = outputs,
          .kernelHeight = 3,
          .kernelWidth = 3,
          .padTop = padTop,
          .padLeft = padLeft};
}

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
