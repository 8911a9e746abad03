#include "RandomCodes.h"
#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/NormFactor.h"

#include <cmath>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using namespace sdopt::testing;

struct Norm {
  int64_t rows, channels, channelsPerGroup;
  int64_t groups() const { return (channels + channelsPerGroup - 1) / channelsPerGroup; }
};

std::vector<NormChannel> channelsFor(Random &random, const Norm &norm, int bits) {
  std::vector<NormChannel> channels(norm.channels);
  for (NormChannel &channel : channels) {
    channel.gamma = static_cast<int32_t>(random.between(-(1 << bits) + 1, (1 << bits) - 1));
    channel.beta = random.between(-(int64_t(1) << 40), int64_t(1) << 40);
  }
  return channels;
}

TEST(Norm, fastEqualsNaive) {
  Random random(1);
  const Norm norms[] = {{1, 1, 1},  {5, 12, 4},  {7, 13, 13},   {3, 320, 10}, {64, 30, 15},
                        {4, 10, 3}, {2, 48, 16}, {40000, 3, 3}, {40000, 3, 1}};
  for (const Norm &norm : norms)
    for (CodeFormat input : {kWide, kNarrow})
      for (CodeFormat output : {kWide, kNarrow})
        for (Pattern pattern : kPatterns)
          for (uint64_t epsilon : {uint64_t(0), uint64_t(1), uint64_t(1) << 40, UINT64_MAX})
            for (int32_t shift : {1, 24, 37, 61}) {
              Tensor x = codes(random, pattern, input, norm.rows * norm.channels);
              std::vector<NormChannel> channels = channelsFor(random, norm, shift > 50 ? 24 : 15);
              std::vector<NormSums> naiveSums(norm.groups());
              naiveKernels().normSums(view(x, input), norm.rows, norm.channels,
                                      norm.channelsPerGroup, naiveSums);
              NormParams params{norm.rows * norm.channelsPerGroup, epsilon, shift};
              Tensor naive(output.type, {x.size()});
              naiveKernels().normApply(view(x, input), norm.rows, norm.channels,
                                       norm.channelsPerGroup, naiveSums, params, channels.data(),
                                       output, naive.mutableBytes());
              for (const IntegerKernels *kernels : fastKernelLevels()) {
                std::vector<NormSums> sums(norm.groups());
                kernels->normSums(view(x, input), norm.rows, norm.channels, norm.channelsPerGroup,
                                  sums);
                for (size_t i = 0; i < sums.size(); ++i) {
                  ASSERT_EQ(sums[i].sum, naiveSums[i].sum);
                  ASSERT_EQ(sums[i].squares, naiveSums[i].squares);
                }
                Tensor fast(output.type, {x.size()});
                kernels->normApply(view(x, input), norm.rows, norm.channels, norm.channelsPerGroup,
                                   sums, params, channels.data(), output, fast.mutableBytes());
                ASSERT_TRUE(fast.sameBits(naive)) << describe(input, pattern) << " shift " << shift;
              }
            }
}

TEST(Norm, factorIsAccurate) {
  Random random(2);
  for (int i = 0; i < 20000; ++i) {
    int64_t count = random.between(2, int64_t(1) << random.between(1, 24));
    double deviation = std::pow(2.0, random.real(-2, 14));
    double mean = random.real(-16000, 16000);
    NormSums sums;
    sums.sum = static_cast<int64_t>(std::llround(mean * static_cast<double>(count)));
    double exactMean = static_cast<double>(sums.sum) / static_cast<double>(count);
    sums.squares = static_cast<int64_t>(std::ceil(
        (deviation * deviation + exactMean * exactMean) * static_cast<double>(count) + 1));
    NormFactor factor = normFactor(sums, {count, 0, 24}, 0);
    ASSERT_GE(factor.mantissa, 1 << 30);
    // 64-bit mantissas: V itself would lose its low bits in double.
    Int128 variance =
        static_cast<Int128>(count) * sums.squares - static_cast<Int128>(sums.sum) * sums.sum;
    long double expected =
        static_cast<long double>(count) / std::sqrt(static_cast<long double>(variance));
    long double actual =
        std::ldexp(static_cast<long double>(factor.mantissa), -(factor.shift + 10));
    ASSERT_LE(std::abs(static_cast<double>(actual / expected - 1)), 0x1p-29) << count;
    ASSERT_LE(std::abs(factor.mean - exactMean * 16384), 0.5 + 1e-5);
  }
}

// The definition of NormParams step by step, with an integer root.
NormFactor definedFactor(const NormSums &sums, const NormParams &params) {
  using UInt128 = unsigned __int128;
  Int128 count = params.count;
  Int128 numerator = static_cast<Int128>(sums.sum) * (1 << 15) + count;
  Int128 mean = numerator / (2 * count) - (numerator % (2 * count) < 0);
  Int128 variance = count * sums.squares - static_cast<Int128>(sums.sum) * sums.sum +
                    ((count * count * static_cast<Int128>(params.epsilon) + (1u << 31)) >> 32);
  NormFactor factor;
  factor.mean = static_cast<int32_t>(mean);
  if (variance <= 0)
    return factor;
  int j = 0;
  for (; (variance >> (2 * std::max(j, 0))) >= (Int128(1) << 32); ++j) {
  }
  auto r = static_cast<UInt128>(variance >> (2 * j));
  for (; r < (1u << 30); r <<= 2)
    --j;
  UInt128 target = (static_cast<UInt128>(1) << 94) / r, root = 0;
  for (int bit = 32; bit >= 0; --bit)
    if (UInt128 next = root | static_cast<UInt128>(1) << bit; next * next <= target)
      root = next;
  UInt128 product = root * static_cast<uint64_t>(params.count);
  int h = 0;
  for (; (product >> std::max(h, 0)) >= (1u << 31); ++h) {
  }
  factor.mantissa = static_cast<int32_t>(product >> h);
  factor.shift = 47 + j - h - 10;
  return factor;
}

TEST(Norm, factorIsAsDefined) {
  Random random(5);
  for (int i = 0; i < 50000; ++i) {
    NormParams params{random.between(1, int64_t(1) << random.between(1, 30)),
                      i % 2 ? 0 : uint64_t(1) << random.between(0, 40), 24};
    NormSums sums;
    // Group sums of codes within +-32768; some spreads make the root an integer.
    sums.sum = params.count * random.between(-32768, 32767) + random.between(0, params.count - 1);
    int64_t mean = sums.sum / params.count;
    sums.squares = params.count * (mean * mean + (i % 3 ? random.between(0, 1 << 20)
                                                        : int64_t(1) << random.between(0, 20))) +
                   random.between(0, 9);
    NormFactor factor = normFactor(sums, params, 0), expected = definedFactor(sums, params);
    ASSERT_EQ(factor.mean, expected.mean);
    ASSERT_EQ(factor.mantissa, expected.mantissa);
    ASSERT_EQ(factor.shift, expected.shift);
  }
}

// About the zero point instead of the mean: the same as centered sums of x - z and its negative.
TEST(Norm, rootMeanSquareIsAboutTheZeroPoint) {
  Random random(6);
  for (int i = 0; i < 2000; ++i) {
    int64_t count = random.between(1, 5000);
    auto zeroPoint = static_cast<int32_t>(random.between(-128, 127));
    NormParams params{count, i % 2 ? 0 : uint64_t(1) << random.between(0, 40), 24, false};
    NormSums sums, both;
    for (int64_t k = 0; k < count; ++k) {
      int64_t x = random.between(-128, 127);
      sums.sum += x;
      sums.squares += x * x;
      both.squares += (x - zeroPoint) * (x - zeroPoint);
    }
    NormFactor factor = normFactor(sums, params, zeroPoint);
    params.centered = true;
    NormFactor expected = normFactor(both, params, 0);
    ASSERT_EQ(factor.mean, zeroPoint * 16384);
    ASSERT_EQ(factor.mantissa, expected.mantissa);
    ASSERT_EQ(factor.shift, expected.shift);
  }
}

TEST(Norm, constantGroupsAndGroupsOfOneGiveBeta) {
  const int16_t x[] = {777, 777, 777, 777};
  const NormChannel channels[] = {{5 << 10, 100, 0}, {-3 * 1024, 100, 0}};
  for (int64_t width : {1, 2}) {
    std::vector<NormSums> sums(2 / width);
    int64_t rows = width == 1 ? 1 : 2;
    naiveKernels().normSums({x, kWide}, rows, 2, width, sums);
    int16_t y[4] = {};
    naiveKernels().normApply({x, kWide}, rows, 2, width, sums, {rows * width, 0, 10}, channels,
                             kWide, y);
    EXPECT_EQ(y[0], 5);
    EXPECT_EQ(y[1], -3);
  }
}

TEST(Norm, sumsThatCannotBeDoNotOverflow) {
  const int16_t x[] = {-32768, 32767};
  const NormChannel channels[] = {{INT64_MAX, INT32_MAX, 0}, {INT64_MIN, INT32_MIN, 0}};
  const NormSums wild[] = {{INT64_MAX, 0}, {INT64_MIN, INT64_MAX}, {0, INT64_MIN}, {INT64_MIN, 1}};
  for (const NormSums &sums : wild)
    for (int64_t count : {int64_t(0), int64_t(1), int64_t(INT32_MAX), INT64_MAX})
      for (uint64_t epsilon : {uint64_t(0), UINT64_MAX}) {
        int16_t fast[2], naive[2];
        NormParams params{count, epsilon, 62};
        fastKernels().normApply({x, kWide}, 1, 2, 2, {&sums, 1}, params, channels, kWide, fast);
        naiveKernels().normApply({x, kWide}, 1, 2, 2, {&sums, 1}, params, channels, kWide, naive);
        EXPECT_EQ(fast[0], naive[0]);
        EXPECT_EQ(fast[1], naive[1]);
      }
}

TEST(Norm, groupNormIsAccurate) {
  Random random(3);
  Norm norm{64 * 64, 20, 10};
  double inputScale = 8.0 / 32767, outputScale = 6.0 / 32767, epsilon = 1e-5;
  Tensor x(ElementType::I16, {norm.rows * norm.channels});
  for (int16_t &code : x.mutableValues<int16_t>())
    code = static_cast<int16_t>(
        std::clamp((random.normal() * 0.8 + 1.5) / inputScale, -32768.0, 32767.0));
  NormParams params{
      norm.rows * norm.channelsPerGroup,
      static_cast<uint64_t>(std::llround(epsilon / (inputScale * inputScale) * 0x1p32)), 32};
  std::vector<NormChannel> channels(norm.channels);
  std::vector<double> gamma, beta;
  for (NormChannel &channel : channels) {
    gamma.push_back(random.real(0.5, 1.5));
    beta.push_back(random.real(-0.5, 0.5));
    channel.gamma = static_cast<int32_t>(std::lround(gamma.back() / outputScale * 0x1p8));
    channel.beta = std::llround(beta.back() / outputScale * 0x1p32);
  }
  std::vector<NormSums> sums(norm.groups());
  fastKernels().normSums(view(x, kWide), norm.rows, norm.channels, norm.channelsPerGroup, sums);
  Tensor y(ElementType::I16, {x.size()});
  fastKernels().normApply(view(x, kWide), norm.rows, norm.channels, norm.channelsPerGroup, sums,
                          params, channels.data(), kWide, y.mutableBytes());
  std::vector<double> reference, value;
  for (int64_t i = 0; i < x.size(); ++i) {
    int64_t c = i % norm.channels, g = c / norm.channelsPerGroup;
    double n = static_cast<double>(params.count), mean = static_cast<double>(sums[g].sum) / n;
    double variance = static_cast<double>(sums[g].squares) / n - mean * mean;
    double z = (x.values<int16_t>()[i] - mean) * inputScale /
               std::sqrt(variance * inputScale * inputScale + epsilon);
    reference.push_back(z * gamma[c] + beta[c]);
    value.push_back(y.values<int16_t>()[i] * outputScale);
  }
  double quality = decibels(reference, value);
  RecordProperty("decibels", std::to_string(quality));
  EXPECT_GE(quality, 80);
}

TEST(Norm, meanFractionMattersForSmallSpread) {
  // sigma = 2 codes on top of 1,000: an integer mean would cost most of the accuracy.
  Random random(4);
  const int64_t count = 4096;
  Tensor x(ElementType::I16, {count});
  for (int16_t &code : x.mutableValues<int16_t>())
    code = static_cast<int16_t>(std::lround(1000.37 + 2 * random.normal()));
  NormSums sums;
  naiveKernels().normSums(view(x, kWide), count, 1, 1, {&sums, 1});
  NormChannel channel{0, 6000 << 8, 0};
  Tensor y(ElementType::I16, {count});
  naiveKernels().normApply(view(x, kWide), count, 1, 1, {&sums, 1}, {count, 0, 32}, &channel, kWide,
                           y.mutableBytes());
  double mean = static_cast<double>(sums.sum) / count;
  double deviation = std::sqrt(static_cast<double>(sums.squares) / count - mean * mean);
  for (int64_t i = 0; i < count; ++i)
    ASSERT_NEAR(y.values<int16_t>()[i], 6000 * (x.values<int16_t>()[i] - mean) / deviation, 0.7);
}

} // namespace
} // namespace sdopt
