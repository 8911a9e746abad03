#include "RandomCodes.h"
#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/FloatKernels.h"

#include <cmath>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using namespace sdopt::testing;

const CodeFormat kFormats[] = {kWide, kNarrow, {ElementType::I8, 127}, {ElementType::I8, -128}};

TEST(Requantize, fastEqualsNaive) {
  Random random(1);
  for (CodeFormat format : kFormats)
    for (int trial = 0; trial < 300; ++trial) {
      int64_t rows = random.between(1, 7), channels = random.between(1, 33);
      std::vector<int64_t> acc;
      std::vector<ChannelParams> params;
      // Also accumulators that only a broken or hostile program has.
      int bits = static_cast<int>(random.between(1, trial % 3 ? 48 : 63));
      int64_t limit = bits == 63 ? INT64_MAX : int64_t(1) << bits;
      for (int64_t i = 0; i < rows * channels; ++i)
        acc.push_back(random.between(-limit - (bits == 63), limit));
      for (int64_t i = 0; i < channels; ++i)
        params.push_back(
            {random.between(-limit, limit),
             static_cast<int32_t>(random.between(1 << 30, INT32_MAX)),
             static_cast<int32_t>(std::clamp<int64_t>(bits + random.between(14, 30), 25, 62))});
      Tensor fast(format.type, {rows * channels}), naive(format.type, {rows * channels});
      naiveKernels().requantize(acc.data(), rows, channels, params.data(), format,
                                naive.mutableBytes());
      for (const IntegerKernels *kernels : fastKernelLevels()) {
        kernels->requantize(acc.data(), rows, channels, params.data(), format, fast.mutableBytes());
        ASSERT_TRUE(fast.sameBits(naive)) << "bits " << bits;
      }
    }
}

TEST(Requantize, extremesSaturate) {
  const int64_t acc[] = {INT64_MAX, INT64_MIN, 0, -1};
  const ChannelParams params[] = {{(int64_t(1) << 47) - 1, INT32_MAX, 25}};
  for (const IntegerKernels *kernels : {&fastKernels(), &naiveKernels()}) {
    int8_t y[4];
    kernels->requantize(acc, 4, 1, params, kNarrow, y);
    EXPECT_EQ(y[0], 127);
    EXPECT_EQ(y[1], -128);
    EXPECT_EQ(y[2], 127);
    const ChannelParams plain[] = {{1, 1 << 30, 31}};
    kernels->requantize(acc + 2, 2, 1, plain, kNarrow, y);
    EXPECT_EQ(y[0], -12); // half of 1 rounds up
    EXPECT_EQ(y[1], -13);
  }
}

TEST(Combine, fastEqualsNaive) {
  Random random(2);
  const int64_t rows = 5, channels = 37;
  for (CodeFormat a : kFormats)
    for (CodeFormat b : kFormats)
      for (CodeFormat output : {kWide, kNarrow})
        for (Pattern pattern : kPatterns)
          for (bool broadcast : {false, true}) {
            CombineParams params{pairScalingFor(random.real(0.001, 3), random.real(0.001, 3)),
                                 broadcast};
            Tensor left = codes(random, pattern, a, rows * channels);
            Tensor right = codes(random, pattern, b, broadcast ? channels : rows * channels);
            for (Codes second : {view(right, b), Codes{}}) {
              Tensor fast(output.type, {rows * channels}), naive(output.type, {rows * channels});
              naiveKernels().combine(view(left, a), second, rows, channels, params, output,
                                     naive.mutableBytes());
              for (const IntegerKernels *kernels : fastKernelLevels()) {
                kernels->combine(view(left, a), second, rows, channels, params, output,
                                 fast.mutableBytes());
                ASSERT_TRUE(fast.sameBits(naive)) << describe(a, pattern);
              }
            }
          }
}

TEST(Modulate, fastEqualsNaive) {
  Random random(7);
  const int64_t rows = 5, channels = 37;
  // The documented ranges to their ends, and what only a broken program has.
  const ModulateParams extremes[] = {
      {kLargestScaleMultiplier, kLargestModulation, kLargestModulation, 61},
      {kLargestScaleMultiplier, kLargestModulation, kLargestModulation, 1},
      {0, 0, 0, 1},
      {1, 0, 3, 20},
      {INT64_MAX >> 20, -(int64_t(1) << 50), 1, 62}};
  for (CodeFormat input : kFormats)
    for (CodeFormat scale : kFormats)
      for (CodeFormat output : kFormats)
        for (Pattern pattern : kPatterns)
          for (int trial = 0; trial < 8; ++trial) {
            ModulateParams params =
                trial < 5 ? extremes[trial]
                          : ModulateParams{random.between(0, 1 << 20),
                                           random.between(0, int64_t(1) << 30),
                                           random.between(0, int64_t(1) << 30),
                                           static_cast<int32_t>(random.between(20, 34))};
            Tensor x = codes(random, pattern, input, rows * channels);
            Tensor gain = codes(random, pattern, scale, channels);
            Tensor shift = codes(random, Pattern::Random, kWide, channels);
            for (Codes offsets : {view(shift, kWide), Codes{}}) {
              Tensor fast(output.type, {rows * channels}), naive(output.type, {rows * channels});
              naiveKernels().modulate(view(x, input), view(gain, scale), offsets, rows, channels,
                                      params, output, naive.mutableBytes());
              for (const IntegerKernels *kernels : fastKernelLevels()) {
                kernels->modulate(view(x, input), view(gain, scale), offsets, rows, channels,
                                  params, output, fast.mutableBytes());
                ASSERT_TRUE(fast.sameBits(naive)) << describe(input, pattern) << trial;
              }
            }
          }
}

TEST(Combine, roundsOnce) {
  // 0.5 + 0.5 = 1: two roundings half up would give 2.
  const int16_t a[] = {1}, b[] = {1};
  int16_t y[1];
  naiveKernels().combine({a, kWide}, {b, kWide}, 1, 1, {pairScalingFor(0.5, 0.5)}, kWide, y);
  EXPECT_EQ(y[0], 1);
}

Tensor allCodes(CodeFormat format) {
  Tensor wide(ElementType::I32, {format.max() - format.min() + 1});
  for (int64_t i = 0; i < wide.size(); ++i)
    wide.mutableValues<int32_t>()[i] = static_cast<int32_t>(format.min() + i);
  return wide.converted(format.type);
}

TEST(Table, fastEqualsNaiveForEveryCode) {
  Random random(3);
  for (CodeFormat input : kFormats)
    for (CodeFormat output : kFormats)
      for (int32_t limit : {1 << 12, 1 << 23, INT32_MAX}) {
        Tensor x = allCodes(input);
        std::vector<int32_t> entries(input.type == ElementType::I8 ? kTableEntries8
                                                                   : kTableKnots16);
        for (int32_t &entry : entries)
          entry = static_cast<int32_t>(random.between(-int64_t(limit) - 1, limit));
        Tensor fast(output.type, {x.size()}), naive(output.type, {x.size()});
        naiveKernels().table(view(x, input), x.size(), entries, output, naive.mutableBytes());
        for (const IntegerKernels *kernels : fastKernelLevels()) {
          kernels->table(view(x, input), x.size(), entries, output, fast.mutableBytes());
          ASSERT_TRUE(fast.sameBits(naive));
        }
      }
}

TEST(Table, siluIsAccurate) {
  double inputScale = 10.0 / 32767, outputScale = 10.0 / 32767;
  Tensor x = allCodes(kWide);
  std::vector<int32_t> entries = makeTable(TableFunction::SiLU, kWide, inputScale, outputScale);
  std::vector<int16_t> y(x.size());
  fastKernels().table(view(x, kWide), x.size(), entries, kWide, y.data());
  for (int64_t i = 0; i < x.size(); ++i) {
    double real = x.values<int16_t>()[i] * inputScale;
    ASSERT_NEAR(y[i], real / (1 + std::exp(-real)) / outputScale, 1.2) << real;
  }
  CodeFormat input{ElementType::I8, -20}, output{ElementType::I8, -100};
  Tensor narrow = allCodes(input);
  entries = makeTable(TableFunction::SiLU, input, 0.05, 0.03);
  std::vector<int8_t> z(256);
  fastKernels().table(view(narrow, input), 256, entries, output, z.data());
  for (int i = 0; i < 256; ++i) {
    double real = (i - 128 + 20) * 0.05, expected = real / (1 + std::exp(-real)) / 0.03 - 100;
    ASSERT_NEAR(z[i], std::clamp(expected, -128.0, 127.0), 0.51);
  }
}

TEST(Geglu, fastEqualsNaiveAndIsAccurate) {
  Random random(4);
  const int64_t rows = 3, channels = 50;
  for (CodeFormat input : kFormats)
    for (CodeFormat output : {kWide, kNarrow})
      for (Pattern pattern : kPatterns) {
        double range = input.type == ElementType::I8 ? 127 : 32767;
        double inputScale = 4 / range,
               outputScale = output.type == ElementType::I8 ? 0.15 : 16.0 / 32767;
        std::vector<int32_t> entries =
            makeTable(TableFunction::GELU, input, inputScale, inputScale);
        GegluParams params{scalingFor(inputScale * inputScale / 256 / outputScale)};
        Tensor x = codes(random, pattern, input, rows * 2 * channels);
        Tensor fast(output.type, {rows * channels}), naive(output.type, {rows * channels});
        naiveKernels().geglu(view(x, input), rows, channels, entries, params, output,
                             naive.mutableBytes());
        for (const IntegerKernels *kernels : fastKernelLevels()) {
          kernels->geglu(view(x, input), rows, channels, entries, params, output,
                         fast.mutableBytes());
          ASSERT_TRUE(fast.sameBits(naive)) << describe(input, pattern);
        }
        Tensor wide = x.converted(ElementType::I32), result = fast.converted(ElementType::I32);
        for (int64_t i = 0; i < rows * channels; ++i) {
          int64_t at = i / channels * 2 * channels + i % channels;
          double left = (wide.values<int32_t>()[at] - input.zeroPoint) * inputScale;
          double right = (wide.values<int32_t>()[at + channels] - input.zeroPoint) * inputScale;
          double gelu = 0.5 * right * std::erfc(-right / std::sqrt(2.0));
          double expected = std::clamp<double>(left * gelu / outputScale + output.zeroPoint,
                                               output.min(), output.max());
          ASSERT_NEAR(result.values<int32_t>()[i], expected,
                      output.type == ElementType::I8 ? 0.6 : 1.6);
        }
      }
}

TEST(Geglu, extremesAreTheSameOnEveryLevel) {
  Random random(6);
  const int64_t channels = 21;
  for (CodeFormat input : kFormats)
    for (int32_t limit : {1 << 12, INT32_MAX})
      for (Scaling scaling : {Scaling{INT32_MAX, 25}, Scaling{1 << 30, 62}, Scaling{0, 25},
                              Scaling{1 << 30, 24}, scalingFor(1e-6)}) {
        std::vector<int32_t> entries(kTableKnots16);
        for (int32_t &entry : entries)
          entry = static_cast<int32_t>(random.between(-int64_t(limit) - 1, limit));
        Tensor x = codes(random, Pattern::Random, input, 2 * channels);
        Tensor fast(ElementType::I16, {channels}), naive(ElementType::I16, {channels});
        naiveKernels().geglu(view(x, input), 1, channels, entries, {scaling}, kWide,
                             naive.mutableBytes());
        for (const IntegerKernels *kernels : fastKernelLevels()) {
          kernels->geglu(view(x, input), 1, channels, entries, {scaling}, kWide,
                         fast.mutableBytes());
          ASSERT_TRUE(fast.sameBits(naive)) << scaling.shift;
        }
      }
}

// Blocks of rows, by one thread and by two.
TEST(Pointwise, largeTensorsDoNotDependOnThreads) {
  Random random(7);
  const int64_t rows = 411, channels = 203, count = rows * channels;
  std::vector<int64_t> acc;
  for (int64_t i = 0; i < count; ++i)
    acc.push_back(random.between(-1000000, 1000000));
  std::vector<ChannelParams> params(channels, {-77, 1 << 30, 35});
  std::vector<NormChannel> norms(channels, {123456, 1 << 12, 0});
  for (CodeFormat format : {kWide, kNarrow}) {
    Tensor a = codes(random, Pattern::Random, format, 2 * count);
    std::vector<int32_t> entries = makeTable(TableFunction::GELU, format, 1e-2, 1e-2);
    CombineParams pair{pairScalingFor(0.7, 0.3), true};
    auto all = [&](const IntegerKernels &kernels) {
      std::vector<Tensor> results(5, Tensor());
      for (Tensor &result : results)
        result = Tensor(format.type, {count});
      kernels.requantize(acc.data(), rows, channels, params.data(), format,
                         results[0].mutableBytes());
      kernels.combine(view(a, format), view(a, format), rows, channels, pair, format,
                      results[1].mutableBytes());
      kernels.table(view(a, format), count, entries, format, results[2].mutableBytes());
      kernels.geglu(view(a, format), rows, channels, entries, {scalingFor(1e-5)}, format,
                    results[3].mutableBytes());
      std::vector<NormSums> sums(29);
      kernels.normSums(view(a, format), rows, channels, 7, sums);
      kernels.normApply(view(a, format), rows, channels, 7, sums, {7 * rows, 1000, 30},
                        norms.data(), format, results[4].mutableBytes());
      return results;
    };
    std::vector<Tensor> expected = all(naiveKernels());
    for (int threads : {1, 2}) {
      setKernelThreads(threads);
      for (const IntegerKernels *kernels : fastKernelLevels()) {
        std::vector<Tensor> results = all(*kernels);
        for (size_t i = 0; i < results.size(); ++i)
          EXPECT_TRUE(results[i].sameBits(expected[i])) << i << " threads " << threads;
      }
      setKernelThreads(1);
    }
  }
}

TEST(TimeEmbedding, isWithinOneCodeOfTheFunction) {
  const int64_t halfDim = 32;
  std::vector<uint32_t> steps = makeTimeSteps(halfDim, 0, 10000);
  double outputScale = 1.0 / 32767;
  std::vector<int32_t> sine = makeSineTable(outputScale);
  for (bool cosFirst : {true, false})
    for (int32_t t : {0, 1, 7, 501, 999}) {
      std::vector<int16_t> fast(2 * halfDim), naive(2 * halfDim);
      TimeEmbeddingParams params{halfDim, cosFirst};
      fastKernels().timeEmbedding(t, steps, sine, params, kWide, fast.data());
      naiveKernels().timeEmbedding(t, steps, sine, params, kWide, naive.data());
      ASSERT_EQ(fast, naive);
      for (int64_t i = 0; i < halfDim; ++i) {
        double angle = t * std::pow(10000.0, -static_cast<double>(i) / halfDim);
        ASSERT_NEAR(fast[i + (cosFirst ? halfDim : 0)], std::sin(angle) / outputScale, 1.0) << t;
        ASSERT_NEAR(fast[i + (cosFirst ? 0 : halfDim)], std::cos(angle) / outputScale, 1.0) << t;
      }
    }
}

TEST(TimeEmbedding, fractionsOfATimestep) {
  const int64_t halfDim = 32;
  std::vector<uint32_t> steps = makeTimeSteps(halfDim, 0, 10000);
  double outputScale = 1.0 / 32767;
  std::vector<int32_t> sine = makeSineTable(outputScale);
  const TimeEmbeddingParams params{halfDim, false, 16};
  for (double t : {0.0, 0.0292, 1.5, 951.0522, 999.0, 4096.0, -3.25, 32767.99}) {
    auto fixed = static_cast<int32_t>(std::floor(t * 65536 + 0.5));
    std::vector<int16_t> fast(2 * halfDim), naive(2 * halfDim);
    fastKernels().timeEmbedding(fixed, steps, sine, params, kWide, fast.data());
    naiveKernels().timeEmbedding(fixed, steps, sine, params, kWide, naive.data());
    ASSERT_EQ(fast, naive);
    for (int64_t i = 0; i < halfDim; ++i) {
      // Half a code for the sine; steps of 2^-32 turns add up with the time.
      double allowed = 1.0 + 0.1 * std::abs(t) / 1000;
      double angle = t * std::pow(10000.0, -static_cast<double>(i) / halfDim);
      ASSERT_NEAR(fast[i], std::sin(angle) / outputScale, allowed) << t;
      ASSERT_NEAR(fast[i + halfDim], std::cos(angle) / outputScale, allowed) << t;
    }
  }
}

TEST(TimeEmbedding, extremeTimestepsStayInsideTheTable) {
  std::vector<uint32_t> steps = {0, 1, UINT32_MAX, 1u << 31};
  std::vector<int32_t> sine = makeSineTable(0.01);
  for (int32_t fractionBits : {0, 1, 16, 30})
    for (int32_t t : {INT32_MIN, -1, INT32_MAX}) {
      std::vector<int8_t> fast(8), naive(8);
      const TimeEmbeddingParams params{4, true, fractionBits};
      fastKernels().timeEmbedding(t, steps, sine, params, kNarrow, fast.data());
      naiveKernels().timeEmbedding(t, steps, sine, params, kNarrow, naive.data());
      EXPECT_EQ(fast, naive);
    }
}

TEST(Embed, fastEqualsNaive) {
  Random random(5);
  const int64_t rows = 5, channels = 31;
  for (CodeFormat format : kFormats)
    for (Pattern pattern : kPatterns)
      for (int32_t shift : {25, 38, 62}) {
        std::vector<int8_t> token, position;
        std::vector<int32_t> tokenMultiplier, positionMultiplier;
        for (int64_t i = 0; i < rows * channels; ++i) {
          token.push_back(static_cast<int8_t>(draw(random, pattern, i, -128, 127)));
          position.push_back(static_cast<int8_t>(draw(random, pattern, i, -128, 127)));
        }
        for (int64_t r = 0; r < rows; ++r) {
          tokenMultiplier.push_back(static_cast<int32_t>(draw(random, pattern, r, 0, INT32_MAX)));
          positionMultiplier.push_back(
              static_cast<int32_t>(draw(random, pattern, r, 0, INT32_MAX)));
        }
        Tensor fast(format.type, {rows * channels}), naive(format.type, {rows * channels});
        fastKernels().embed(token.data(), tokenMultiplier.data(), position.data(),
                            positionMultiplier.data(), shift, rows, channels, format,
                            fast.mutableBytes());
        naiveKernels().embed(token.data(), tokenMultiplier.data(), position.data(),
                             positionMultiplier.data(), shift, rows, channels, format,
                             naive.mutableBytes());
        ASSERT_TRUE(fast.sameBits(naive));
      }
}

} // namespace
} // namespace sdopt
