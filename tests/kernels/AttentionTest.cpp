#include "RandomCodes.h"
#include "compiler/kernels/FastAttention.h"
#include "compiler/kernels/FastIntegerKernels.h"
#include "compiler/kernels/FloatKernels.h"

#include <cmath>
#include <gtest/gtest.h>

namespace sdopt {
namespace {

using namespace sdopt::testing;

struct State {
  std::vector<int64_t> rowMax, rowSum, acc;
  explicit State(const AttentionTile &tile)
      : rowMax(tile.queries, INT64_MIN), rowSum(tile.queries), acc(tile.queries * tile.headDim) {}
  friend bool operator==(const State &, const State &) = default;
};

struct Inputs {
  Tensor q, k, v;
  CodeFormat qFormat, kFormat, vFormat;
  Codes query() const { return view(q, qFormat); }
  Codes key(int64_t offset = 0) const { return shifted(k, kFormat, offset); }
  Codes value(int64_t offset = 0) const { return shifted(v, vFormat, offset); }
  static Codes shifted(const Tensor &t, CodeFormat format, int64_t offset) {
    return {t.bytes() + offset * byteWidth(format.type), format};
  }
};

Inputs makeInputs(Random &random, Pattern pattern, CodeFormat format, const AttentionTile &tile) {
  return {codes(random, pattern, format, tile.queries * tile.queryStride),
          codes(random, pattern, format, tile.keys * tile.keyStride),
          codes(random, pattern, format, tile.keys * tile.keyStride),
          format,
          format,
          format};
}

/// By maxima and then sums, and by both together.
State run(const IntegerKernels &kernels, const AttentionTile &tile, const Inputs &in,
          const AttentionParams &params) {
  State state(tile), together(tile);
  kernels.attentionMaxima(tile, in.query(), in.key(), params, state.rowMax.data());
  kernels.attentionAccumulate(tile, in.query(), in.key(), in.value(), params, state.rowMax.data(),
                              state.rowSum.data(), state.acc.data());
  kernels.attention(tile, in.query(), in.key(), in.value(), params, together.rowMax.data(),
                    together.rowSum.data(), together.acc.data());
  EXPECT_EQ(together, state);
  return state;
}

State runLevel(const DotKernels &level, const AttentionTile &tile, const Inputs &in,
               const AttentionParams &params) {
  State state(tile), together(tile);
  fastAttentionMaxima(level, tile, in.query(), in.key(), params, state.rowMax.data());
  fastAttentionAccumulate(level, tile, in.query(), in.key(), in.value(), params,
                          state.rowMax.data(), state.rowSum.data(), state.acc.data());
  fastAttention(level, tile, in.query(), in.key(), in.value(), params, together.rowMax.data(),
                together.rowSum.data(), together.acc.data());
  EXPECT_EQ(together, state) << level.name;
  return state;
}

// Spreads the exponents of typical distances over some octaves.
AttentionParams paramsFor(CodeFormat format, int64_t headDim, bool causal) {
  double deviation = std::sqrt(static_cast<double>(headDim)) * std::pow(format.max() * 0.58, 2);
  return {scalingFor(1.5 * 4096 / deviation), scalingFor(0.9), causal};
}

const AttentionTile kTiles[] = {
    {.queries = 1, .keys = 1, .headDim = 1, .queryStride = 1, .keyStride = 1},
    {.queries = 13, .keys = 77, .headDim = 7, .queryStride = 9, .keyStride = 21},
    {.queries = 17, .keys = 300, .headDim = 32, .queryStride = 64, .keyStride = 96},
    {.queries = 8, .keys = 257, .headDim = 64, .queryStride = 64, .keyStride = 64},
    {.queries = 9, .keys = 33, .headDim = 600, .queryStride = 601, .keyStride = 600},
    {.queries = 20,
     .keys = 40,
     .headDim = 16,
     .firstQuery = 30,
     .firstKey = 25,
     .queryStride = 16,
     .keyStride = 16},
};

TEST(Attention, everyLevelEqualsNaive) {
  Random random(1);
  for (const AttentionTile &tile : kTiles)
    for (CodeFormat format : {kWide, kNarrow})
      for (bool causal : {false, true})
        for (Pattern pattern : kPatterns) {
          Inputs in = makeInputs(random, pattern, format, tile);
          AttentionParams params = paramsFor(format, tile.headDim, causal);
          State expected = run(naiveKernels(), tile, in, params);
          for (const DotKernels &level : dotKernelLevels())
            ASSERT_EQ(runLevel(level, tile, in, params), expected)
                << level.name << " " << describe(format, pattern) << " causal " << causal
                << " headDim " << tile.headDim;
        }
}

// Also maxima that are none: of a program that nobody checked.
TEST(Attention, anyMaximumIsExactOnEveryLevel) {
  Random random(6);
  AttentionTile tile{.queries = 21, .keys = 70, .headDim = 9, .queryStride = 9, .keyStride = 10};
  const int64_t odd[] = {INT64_MIN,
                         INT64_MAX,
                         INT64_MIN + 1,
                         0,
                         -1,
                         (int64_t(1) << 29) + 1,
                         -(int64_t(1) << 45),
                         (int64_t(1) << 45),
                         -(int64_t(1) << 45) - 1,
                         int64_t(1) << 46,
                         -(int64_t(1) << 31),
                         int64_t(1) << 32};
  for (CodeFormat format : {kWide, kNarrow})
    for (Scaling exponent : {scalingFor(1e-9), scalingFor(3e-5), scalingFor(0.01), scalingFor(60),
                             Scaling{0, 25}, Scaling{INT32_MAX, 62}}) {
      Inputs in = makeInputs(random, Pattern::Random, format, tile);
      AttentionParams params{exponent, scalingFor(0.9), false};
      State expected(tile);
      for (int64_t i = 0; i < tile.queries; ++i)
        expected.rowMax[i] =
            i % 2 ? odd[i / 2] : random.between(-format.max(), format.max()) * format.max();
      State start = expected;
      naiveKernels().attentionAccumulate(tile, in.query(), in.key(), in.value(), params,
                                         expected.rowMax.data(), expected.rowSum.data(),
                                         expected.acc.data());
      // Together, whatever the maxima begin with.
      State most = start;
      naiveKernels().attentionMaxima(tile, in.query(), in.key(), params, most.rowMax.data());
      naiveKernels().attentionAccumulate(tile, in.query(), in.key(), in.value(), params,
                                         most.rowMax.data(), most.rowSum.data(), most.acc.data());
      for (const DotKernels &level : dotKernelLevels()) {
        State together = start;
        fastAttention(level, tile, in.query(), in.key(), in.value(), params, together.rowMax.data(),
                      together.rowSum.data(), together.acc.data());
        ASSERT_EQ(together, most) << level.name << " shift " << exponent.shift;
        State state = start;
        fastAttentionAccumulate(level, tile, in.query(), in.key(), in.value(), params,
                                state.rowMax.data(), state.rowSum.data(), state.acc.data());
        ASSERT_EQ(state, expected) << level.name << " shift " << exponent.shift;
      }
    }
}

TEST(Attention, everyZeroPointIsExactOnEveryLevel) {
  Random random(7);
  AttentionTile tile{.queries = 5, .keys = 19, .headDim = 66, .queryStride = 66, .keyStride = 67};
  for (int32_t zeroPoint : {-128, -127, -1, 0, 1, 126, 127}) {
    Inputs in = makeInputs(random, Pattern::Random, kNarrow, tile);
    for (CodeFormat *format : {&in.qFormat, &in.kFormat, &in.vFormat}) {
      format->zeroPoint = zeroPoint;
      AttentionParams params = paramsFor(kNarrow, tile.headDim, false);
      State expected = run(naiveKernels(), tile, in, params);
      for (const DotKernels &level : dotKernelLevels())
        ASSERT_EQ(runLevel(level, tile, in, params), expected) << level.name << " " << zeroPoint;
    }
  }
}

TEST(Attention, manyKeysOfExtremesAreExactOnEveryLevel) {
  Random random(8);
  AttentionTile tile{.queries = 2, .keys = 33000, .headDim = 3, .queryStride = 3, .keyStride = 3};
  for (CodeFormat format : {kWide, kNarrow})
    for (Pattern pattern : {Pattern::Minimum, Pattern::Maximum}) {
      Inputs in = makeInputs(random, pattern, format, tile);
      AttentionParams params = paramsFor(format, tile.headDim, false);
      State expected = run(naiveKernels(), tile, in, params);
      for (const DotKernels &level : dotKernelLevels())
        ASSERT_EQ(runLevel(level, tile, in, params), expected) << level.name;
    }
}

TEST(Attention, extremesOfOppositeSignAreExact) {
  Random random(2);
  for (int64_t headDim : {64, 128, 129, 300}) {
    AttentionTile tile{.queries = 8,
                       .keys = headDim > 128 ? 70 : 512,
                       .headDim = headDim,
                       .queryStride = headDim,
                       .keyStride = headDim};
    for (Pattern left : kPatterns)
      for (Pattern right : kPatterns) {
        Inputs in = makeInputs(random, left, kWide, tile);
        in.k = codes(random, right, kWide, tile.keys * tile.keyStride);
        in.v = codes(random, right == Pattern::Maximum ? Pattern::Minimum : right, kWide,
                     tile.keys * tile.keyStride);
        AttentionParams params = paramsFor(kWide, tile.headDim, false);
        State expected = run(naiveKernels(), tile, in, params);
        for (const DotKernels &level : dotKernelLevels())
          ASSERT_EQ(runLevel(level, tile, in, params), expected)
              << level.name << " headDim " << headDim;
      }
  }
}

TEST(Attention, mixedFormatsAndUnusualZeroPointsAreExact) {
  Random random(3);
  AttentionTile tile{.queries = 11, .keys = 50, .headDim = 12, .queryStride = 12, .keyStride = 12};
  Inputs in = makeInputs(random, Pattern::Random, kWide, tile);
  in.kFormat = kNarrow;
  in.k = codes(random, Pattern::Random, kNarrow, tile.keys * tile.keyStride);
  AttentionParams params{scalingFor(0.002), scalingFor(0.5), false};
  EXPECT_EQ(run(fastKernels(), tile, in, params), run(naiveKernels(), tile, in, params));
  std::swap(in.q, in.k);
  std::swap(in.qFormat, in.kFormat);
  tile.queries = tile.keys;
  tile.keys = 11;
  EXPECT_EQ(run(fastKernels(), tile, in, params), run(naiveKernels(), tile, in, params));
  in.vFormat.zeroPoint = -300;
  EXPECT_EQ(run(fastKernels(), tile, in, params), run(naiveKernels(), tile, in, params));
}

TEST(Attention, resultDoesNotDependOnHowKeysAreSplitOrThreads) {
  Random random(4);
  for (bool causal : {false, true}) {
    AttentionTile whole{
        .queries = 70, .keys = 70, .headDim = 24, .queryStride = 24, .keyStride = 24};
    Inputs in = makeInputs(random, Pattern::Random, kWide, whole);
    AttentionParams params = paramsFor(kWide, whole.headDim, causal);
    State expected = run(fastKernels(), whole, in, params);
    setKernelThreads(2);
    EXPECT_EQ(run(fastKernels(), whole, in, params), expected);
    setKernelThreads(1);

    State split(whole);
    AttentionTile first = whole, second = whole;
    first.keys = 41;
    second.keys = 29;
    second.firstKey = 41;
    for (const AttentionTile &tile : {first, second})
      fastKernels().attentionMaxima(tile, in.query(), in.key(tile.firstKey * 24), params,
                                    split.rowMax.data());
    for (const AttentionTile &tile : {second, first})
      fastKernels().attentionAccumulate(tile, in.query(), in.key(tile.firstKey * 24),
                                        in.value(tile.firstKey * 24), params, split.rowMax.data(),
                                        split.rowSum.data(), split.acc.data());
    EXPECT_EQ(split, expected);
  }
}

TEST(Attention, largeTilesDoNotDependOnThreads) {
  Random random(10);
  AttentionTile tile{
      .queries = 331, .keys = 290, .headDim = 40, .queryStride = 40, .keyStride = 40};
  for (CodeFormat format : {kWide, kNarrow}) {
    Inputs in = makeInputs(random, Pattern::Random, format, tile);
    AttentionParams params = paramsFor(format, tile.headDim, true);
    State expected = run(naiveKernels(), tile, in, params);
    for (int threads : {1, 2, 3}) {
      setKernelThreads(threads);
      for (const DotKernels &level : dotKernelLevels())
        EXPECT_EQ(runLevel(level, tile, in, params), expected) << level.name << " " << threads;
      setKernelThreads(1);
    }
  }
}

TEST(Attention, longRowsAreAccurate) {
  Random random(5);
  const int64_t queries = 16, keys = 4096, headDim = 64;
  AttentionTile tile{.queries = queries,
                     .keys = keys,
                     .headDim = headDim,
                     .queryStride = headDim,
                     .keyStride = headDim};
  double scale = 4.0 / 32767;
  auto normalCodes = [&](int64_t count) {
    Tensor t(ElementType::I16, {count});
    for (int16_t &code : t.mutableValues<int16_t>())
      code = static_cast<int16_t>(std::clamp(random.normal() / scale, -32768.0, 32767.0));
    return t;
  };
  Inputs in{normalCodes(queries * headDim),
            normalCodes(keys * headDim),
            normalCodes(keys * headDim),
            kWide,
            kWide,
            kWide};
  double outputScale = 1.0 / 32767;
  AttentionParams params{scalingFor(scale * scale / 8 * std::log2(std::exp(1.0)) * 4096),
                         scalingFor(scale / outputScale), false};
  State state = run(fastKernels(), tile, in, params);
  std::vector<int16_t> y(queries * headDim);
  fastKernels().attentionFinish(queries, headDim, state.rowSum.data(), state.acc.data(), params,
                                kWide, headDim, y.data());

  auto real = [&](const Tensor &t, int64_t rows) {
    return dequantizeCodes(t, scale, 0).reshaped({1, rows, headDim});
  };
  Tensor expected =
      naive::attention(real(in.q, queries), real(in.k, keys), real(in.v, keys), 1, 0.125, false);
  std::vector<double> reference, value;
  for (int64_t i = 0; i < queries * headDim; ++i) {
    reference.push_back(expected.values<float>()[i]);
    value.push_back(y[i] * outputScale);
  }
  double quality = decibels(reference, value);
  RecordProperty("decibels", std::to_string(quality));
  EXPECT_GE(quality, 75);
}

TEST(Attention, finishIsTheSameOnEveryLevel) {
  Random random(9);
  const int64_t queries = 7, headDim = 13, stride = 15;
  const CodeFormat formats[] = {kWide, kNarrow, {ElementType::I16, 70000}};
  for (int trial = 0; trial < 2000; ++trial) {
    const CodeFormat &format = formats[trial % 3];
    AttentionParams params;
    params.output = trial % 7 ? scalingFor(std::pow(2.0, random.real(-20, 6)))
                              : Scaling{1 << 30, static_cast<int32_t>(random.between(28, 40))};
    std::vector<int64_t> rowSum, acc;
    int64_t bits = random.between(1, trial % 5 ? 40 : 62);
    for (int64_t i = 0; i < queries; ++i)
      rowSum.push_back(random.between(0, int64_t(1) << random.between(1, trial % 5 ? 28 : 60)));
    // Also multiples of half a code, where rounding turns.
    for (int64_t i = 0; i < queries * headDim; ++i)
      acc.push_back(i % 3 ? random.between(-(int64_t(1) << bits), int64_t(1) << bits)
                          : rowSum[i / headDim] / 2 * random.between(-9, 9));
    acc[0] = INT64_MIN;
    acc[1] = INT64_MAX;
    Tensor expected(format.type, {queries * stride}), y(format.type, {queries * stride});
    naiveKernels().attentionFinish(queries, headDim, rowSum.data(), acc.data(), params, format,
                                   stride, expected.mutableBytes());
    for (const IntegerKernels *kernels : fastKernelLevels()) {
      kernels->attentionFinish(queries, headDim, rowSum.data(), acc.data(), params, format, stride,
                               y.mutableBytes());
      ASSERT_TRUE(y.sameBits(expected)) << trial;
    }
  }
}

TEST(Attention, finishRoundsOnceAndStrides) {
  const int64_t rowSum[] = {4, 0, 65535};
  const int64_t acc[] = {6, -6, 5, 5, 65535 * 40000ll, -65535 * 40000ll};
  AttentionParams params{{}, {1 << 30, 30}, false};
  int16_t y[3 * 5] = {};
  fastKernels().attentionFinish(3, 2, rowSum, acc, params, kWide, 5, y);
  EXPECT_EQ(y[0], 2);  // 1.5 rounds up
  EXPECT_EQ(y[1], -1); // -1.5 rounds up
  EXPECT_EQ(y[2], 0);  // untouched between rows
  EXPECT_EQ(y[5], 0);  // no key seen
  EXPECT_EQ(y[10], 32767);
  EXPECT_EQ(y[11], -32768);
}

} // namespace
} // namespace sdopt
