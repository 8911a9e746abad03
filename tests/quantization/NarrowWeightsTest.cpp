// Weights of few bits: what they keep of synthetic weights, and that codes mean what they say.

#include "compiler/quantization/NarrowWeights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace sdopt {
namespace {

Tensor gaussian(Shape shape, uint32_t seed) {
  Tensor tensor(ElementType::F32, std::move(shape));
  std::mt19937 random(seed);
  const auto uniform = [&] { return (static_cast<double>(random()) + 0.5) / 4294967296.0; };
  for (float &value : tensor.mutableValues<float>())
    value = static_cast<float>(std::sqrt(-2 * std::log(uniform())) *
                               std::cos(6.283185307179586 * uniform()));
  return tensor;
}

struct Case {
  WeightForm form;
  RangeEstimator range = RangeEstimator::MSE;
  bool oneScale = false;
};

WeightForm grouped(int64_t bits, int64_t groupSize, bool symmetric = true, bool shared = false) {
  return {WeightCoding::Grouped, bits, groupSize, symmetric, shared};
}

QuantizedWeights quantized(const Tensor &weights, const Case &c) {
  return quantizeNarrowWeights(weights, c.form, c.oneScale, c.range, nullptr, nullptr);
}

Tensor decoded(const QuantizedWeights &q, const WeightForm &form) {
  return decodeWeightTensor(form, q.codes, form.hasScales() ? &q.groupScales : nullptr,
                            form.symmetric ? nullptr : &q.zeroPoints, /*inputsLast=*/false);
}

double sqnr(const Tensor &weights, const Tensor &codes, const Tensor &scales) {
  const int64_t row = weights.size() / weights.dim(0);
  double signal = 0, noise = 0;
  for (int64_t i = 0; i < weights.size(); ++i) {
    const double w = weights.values<float>()[i];
    const double error =
        w - static_cast<double>(scales.values<float>()[i / row]) * codes.values<int8_t>()[i];
    signal += w * w;
    noise += error * error;
  }
  return 10 * std::log10(signal / noise);
}

double sqnr(const Tensor &weights, const Case &c) {
  const QuantizedWeights q = quantized(weights, c);
  return sqnr(weights, decoded(q, c.form), q.scales);
}

/// Uniform quantization of a Gaussian: 12 * 127^2 / max^2 and so on, max = 3.75 sigma of 5,760.
TEST(NarrowWeights, TextbookRatiosOfGaussianWeights) {
  const Tensor weights = gaussian({128, 5760}, 1);
  const QuantizedWeights eight = quantizeWeights(weights, 0, RangeEstimator::MinMax);
  EXPECT_NEAR(sqnr(weights, eight.codes, eight.scales), 41.0, 0.3);
  EXPECT_NEAR(sqnr(weights, {grouped(6, 0), RangeEstimator::MinMax}), 29.0, 0.3);
  EXPECT_NEAR(sqnr(weights, {grouped(4, 0), RangeEstimator::MinMax}), 16.2, 0.3);
  EXPECT_NEAR(sqnr(weights, {grouped(4, 0)}), 19.3, 0.3);
  EXPECT_NEAR(sqnr(weights, {grouped(4, 64)}), 20.5, 0.3);
}

TEST(NarrowWeights, MoreBitsAndFinerGroupsKeepMore) {
  const Tensor weights = gaussian({8, 96, 3, 3}, 2);
  double before = 0;
  for (int64_t bits = 2; bits <= 7; ++bits) {
    const double now = sqnr(weights, {grouped(bits, 32)});
    EXPECT_GT(now, before + 3) << bits;
    before = now;
  }
  EXPECT_GT(sqnr(weights, {grouped(4, 16)}), sqnr(weights, {grouped(4, 0)}));
  EXPECT_GE(sqnr(weights, {grouped(4, 0)}),
            sqnr(weights, {grouped(4, 0), RangeEstimator::MSE, /*oneScale=*/true}));
}

TEST(NarrowWeights, ZeroPointsFollowShiftedGroups) {
  Tensor weights = gaussian({4, 128}, 3);
  for (float &w : weights.mutableValues<float>())
    w = std::fabs(w);
  for (int64_t bits = 2; bits <= 6; ++bits)
    EXPECT_GT(sqnr(weights, {grouped(bits, 32, false)}), sqnr(weights, {grouped(bits, 32)}) + 1)
        << bits;
}

std::vector<Case> manyCases() {
  std::vector<Case> cases;
  for (int64_t bits = 2; bits <= 7; ++bits)
    for (int64_t size : {0, 16, 64, 256})
      for (bool symmetric : {true, false})
        for (bool shared : {true, false})
          for (RangeEstimator range : {RangeEstimator::MSE, RangeEstimator::MinMax})
            cases.push_back({grouped(bits, size, symmetric, shared), range});
  cases.push_back({grouped(4, 64), RangeEstimator::MSE, true});
  return cases;
}

TEST(NarrowWeights, CodesScalesAndZeroPointsAreInRange) {
  for (const Shape &shape : {Shape{3, 37, 3, 2}, Shape{2, 65}, Shape{1, 1}}) {
    const Tensor weights = gaussian(shape, 4);
    for (const Case &c : manyCases()) {
      SCOPED_TRACE(name(c.form) + " of " + toString(shape));
      const QuantizedWeights q = quantized(weights, c);
      const int64_t row = weights.size() / shape[0], taps = row / shape[1];
      const int64_t groups = c.form.groups(shape[1]), groupTaps = c.form.groupTaps(taps);
      const int32_t most = (1 << (c.form.bits - 1)) - 1;
      for (int8_t code : q.codes.values<int8_t>())
        ASSERT_TRUE(code <= most && code >= -most - 1);
      if (c.form.hasScales()) {
        ASSERT_EQ(q.groupScales.size(), shape[0] * groups * groupTaps);
        for (int8_t scale : q.groupScales.values<int8_t>())
          ASSERT_TRUE(scale >= 1 && scale <= kLargestGroupScale);
      }
      const Tensor all = decoded(q, c.form);
      for (int64_t i = 0; i < weights.size(); ++i) {
        const int64_t group = (i / row * groupTaps + (groupTaps == 1 ? 0 : i % taps)) * groups +
                              (c.form.groupSize ? i % row / taps / c.form.groupSize : 0);
        const int32_t zero = c.form.symmetric ? 0 : q.zeroPoints.values<int8_t>()[group];
        const int32_t scale = c.form.hasScales() ? q.groupScales.values<int8_t>()[group] : 1;
        ASSERT_EQ(zero % c.form.zeroStep(), 0);
        // Nothing saturates: what the search measured is what the decoder gives.
        ASSERT_EQ(all.values<int8_t>()[i], (q.codes.values<int8_t>()[i] - zero) * scale);
        const double step = static_cast<double>(q.scales.values<float>()[i / row]) * scale;
        if (c.range == RangeEstimator::MinMax && c.form.symmetric) {
          ASSERT_LE(std::fabs(weights.values<float>()[i] - step / scale * all.values<int8_t>()[i]),
                    step * (shape.size() == 4 ? 1.0001 : 0.5001)); // kernels are balanced
        }
      }
    }
  }
}

/// The choice for one group of one channel, against every scale and code.
TEST(NarrowWeights, NoOtherGroupScaleIsBetter) {
  const Tensor weights = gaussian({5, 70}, 5);
  for (int64_t bits : {3, 4, 5}) {
    const WeightForm form = grouped(bits, 32);
    const QuantizedWeights q = quantized(weights, {form});
    const Tensor all = decoded(q, form);
    for (int64_t o = 0; o < 5; ++o)
      for (int64_t g = 0; g < 3; ++g) {
        const double unit = q.scales.values<float>()[o];
        double chosen = 0, best = INFINITY;
        for (int32_t scale = 1; scale <= largestGroupScale(bits); ++scale) {
          double error = 0;
          chosen = 0;
          for (int64_t i = g * 32; i < std::min<int64_t>(70, (g + 1) * 32); ++i) {
            const int64_t at = o * 70 + i;
            const double w = weights.values<float>()[at], limit = 1 << (bits - 1);
            const double code = std::clamp(std::floor(w / (unit * scale) + 0.5), -limit, limit - 1);
            error += std::pow(w - unit * scale * code, 2);
            chosen += std::pow(w - unit * all.values<int8_t>()[at], 2);
          }
          best = std::min(best, error);
        }
        EXPECT_LE(chosen, best * 1.00001);
      }
  }
}

TEST(NarrowWeights, KnownScalesGiveTheSame) {
  const Tensor weights = gaussian({7, 80, 3, 3}, 6);
  for (const Case &c : manyCases()) {
    const QuantizedWeights first = quantized(weights, c);
    const QuantizedWeights again =
        quantizeNarrowWeights(weights, c.form, c.oneScale, c.range, &first.scales, nullptr);
    EXPECT_TRUE(std::ranges::equal(first.codes.values<int8_t>(), again.codes.values<int8_t>()));
    if (c.form.hasScales()) {
      EXPECT_TRUE(std::ranges::equal(first.groupScales.values<int8_t>(),
                                     again.groupScales.values<int8_t>()));
    }
  }
}

TEST(NarrowWeights, ZeroAndTinyWeights) {
  for (float value : {0.0f, 1e-42f, -1e-42f}) {
    Tensor weights(ElementType::F32, {2, 20});
    std::ranges::fill(weights.mutableValues<float>(), value);
    for (const Case &c : manyCases()) {
      const QuantizedWeights q = quantized(weights, c);
      const Tensor all = decoded(q, c.form);
      for (int8_t code : all.values<int8_t>())
        ASSERT_EQ(code, 0);
      for (float scale : q.scales.values<float>())
        ASSERT_EQ(scale, 1.0f);
    }
  }
}

TEST(NarrowWeights, CorrectionIsWhatTheCodesLack) {
  const Tensor weights = gaussian({3, 40, 3, 3}, 7);
  Tensor means = gaussian({40}, 8);
  const WeightForm form = grouped(4, 16);
  const QuantizedWeights q =
      quantizeNarrowWeights(weights, form, false, RangeEstimator::MSE, nullptr, &means);
  const Tensor all = decoded(q, form);
  for (int64_t o = 0; o < 3; ++o) {
    double sum = 0;
    for (int64_t i = 0; i < 360; ++i)
      sum +=
          (weights.values<float>()[o * 360 + i] -
           static_cast<double>(q.scales.values<float>()[o]) * all.values<int8_t>()[o * 360 + i]) *
          means.values<float>()[i / 9];
    EXPECT_NEAR(q.correction.values<float>()[o], sum, 1e-4);
  }
}

} // namespace
} // namespace sdopt
