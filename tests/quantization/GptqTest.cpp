// Rounding with second moments: the plain algorithm as an oracle, and what it saves on inputs that
// depend on each other.

#include "compiler/quantization/Gptq.h"

#include "compiler/kernels/FloatKernels.h"
#include "tests/quantization/CorrelatedRows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <random>

namespace sdopt {
namespace {

struct Case {
  WeightForm form;
  bool corrected = true;
};

WeightForm grouped(int64_t bits, int64_t groupSize, bool symmetric, bool shared = false) {
  return {WeightCoding::Grouped, bits, groupSize, symmetric, shared};
}

QuantizedWeights nearestOf(const Tensor &weights, const WeightForm &form) {
  return form.coding == WeightCoding::Raw
             ? quantizeWeights(weights, 0, RangeEstimator::MSE)
             : quantizeNarrowWeights(weights, form, false, RangeEstimator::MSE, nullptr, nullptr);
}

/// What all codes mean, [outputs][inputs][taps...].
std::vector<double> meaning(const QuantizedWeights &q, const WeightForm &form) {
  const Tensor codes =
      form.coding == WeightCoding::Raw
          ? q.codes
          : decodeWeightTensor(form, q.codes, form.hasScales() ? &q.groupScales : nullptr,
                               form.symmetric ? nullptr : &q.zeroPoints, false);
  std::vector<double> values;
  const int64_t row = codes.size() / codes.dim(0);
  for (int64_t i = 0; i < codes.size(); ++i)
    values.push_back(static_cast<double>(q.scales.values<float>()[i / row]) *
                     codes.values<int8_t>()[i]);
  return values;
}

/// Squared error of the outputs for rows of inputs [tap][channel], on average; without its mean if
/// `corrected`.
double outputError(const Tensor &weights, const std::vector<double> &decoded, int64_t taps,
                   const std::vector<std::vector<double>> &rows, bool corrected) {
  const int64_t outputs = weights.dim(0), inputs = weights.dim(1);
  double total = 0;
  for (int64_t o = 0; o < outputs; ++o) {
    double sum = 0, squares = 0;
    for (const std::vector<double> &row : rows) {
      double error = 0;
      for (int64_t tap = 0; tap < taps; ++tap)
        for (int64_t i = 0; i < inputs; ++i) {
          const int64_t at = (o * inputs + i) * taps + tap;
          error += (weights.values<float>()[at] - decoded[at]) * row[tap * inputs + i];
        }
      sum += error;
      squares += error * error;
    }
    const auto count = static_cast<double>(rows.size());
    total += squares / count - (corrected ? sum * sum / count / count : 0);
  }
  return total;
}

std::vector<int64_t> identity(int64_t n) {
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

/// The order of columns: as they are in groups, the largest power first without groups.
std::vector<int64_t> columnOrder(const WeightForm &form, const InputMoments &moments) {
  const int64_t n = moments.columns();
  std::vector<int64_t> order = identity(n);
  if (form.groupSize == 0)
    std::ranges::stable_sort(order, std::greater<>(), [&](int64_t column) {
      return moments.covariance[column * n + column];
    });
  return order;
}

/// Algorithm 1 with a block of all columns, one row after the other.
std::vector<int8_t> plainCodes(const Tensor &weights, const WeightForm &form, const Tensor &scales,
                               const InputMoments &moments, bool corrected) {
  const int64_t n = weights.dim(1), size = form.groupSize > 0 ? form.groupSize : n;
  const std::vector<int64_t> order = columnOrder(form, moments);
  const std::vector<float> factor = inverseFactor(moments, order, !corrected);
  std::vector<int8_t> codes(weights.size());
  for (int64_t o = 0; o < weights.dim(0); ++o) {
    std::vector<float> row;
    for (int64_t column : order)
      row.push_back(weights.values<float>()[o * n + column]);
    GroupCode code;
    for (int64_t k = 0; k < n; ++k) {
      const float scale = scales.values<float>()[o];
      if (k % size == 0 && form.coding == WeightCoding::Grouped)
        code = chooseGroup(form, std::span(row).subspan(k, std::min(size, n - k)), scale,
                           RangeEstimator::MSE);
      const double step = static_cast<double>(scale) * code.scale;
      const double least = form.bits == 8 ? -127 : -std::ldexp(1, form.bits - 1);
      const double coded = std::clamp(std::floor(row[k] / step + code.zero + 0.5), least,
                                      std::ldexp(1, form.bits - 1) - 1);
      codes[o * n + order[k]] = static_cast<int8_t>(coded);
      const float error =
          static_cast<float>(row[k] - (coded - code.zero) * step) / factor[k * n + k];
      for (int64_t j = k + 1; j < n; ++j)
        row[j] -= error * factor[k * n + j];
    }
  }
  return codes;
}

TEST(Gptq, CodesAreThoseOfThePlainAlgorithm) {
  int64_t kept = 0, all = 0;
  for (const WeightForm &form :
       {WeightForm{}, grouped(4, 0, true), grouped(4, 64, false), grouped(3, 64, true),
        grouped(4, 16, true), grouped(2, 256, false)})
    for (int64_t n : {1, 48, 200, 389})
      for (bool corrected : {true, false}) {
        const Tensor weights = gaussian({19, n}, 3);
        const InputMoments moments = momentsOf(correlated(500, n, 4), n, 1);
        const QuantizedWeights nearest = nearestOf(weights, form);
        const std::vector<int8_t> plain =
            plainCodes(weights, form, nearest.scales, moments, corrected);
        LayerRounding rounding(weights, form, RangeEstimator::MSE, corrected,
                               nearestOf(weights, form));
        rounding.round(moments);
        const QuantizedWeights rounded = rounding.take();
        for (int64_t o = 0; o < weights.dim(0); ++o) {
          const auto is = [&](const int8_t *codes) {
            return std::equal(codes + o * n, codes + (o + 1) * n,
                              rounded.codes.values<int8_t>().data() + o * n);
          };
          EXPECT_TRUE(is(plain.data()) || is(nearest.codes.values<int8_t>().data()))
              << name(form) << ", " << n << ", row " << o;
          kept += n > 1 && is(plain.data());
          all += n > 1;
        }
      }
  EXPECT_GT(kept, all * 9 / 10);
}

TEST(Gptq, OutputsAreCloserThanWithNearestCodes) {
  for (const Case &c :
       {Case{grouped(4, 64, false)}, Case{grouped(4, 64, true), false}, Case{grouped(3, 0, true)},
        Case{WeightForm{}}, Case{grouped(4, 16, false, true)}}) {
    const int64_t taps = 9, inputs = 24;
    const Tensor weights = gaussian({10, inputs, 3, 3}, 5);
    const auto rows = correlated(2000, inputs * taps, 6);
    LayerRounding rounding(weights, c.form, RangeEstimator::MSE, c.corrected,
                           nearestOf(weights, c.form));
    rounding.round(momentsOf(rows, inputs, taps));
    const QuantizedWeights rounded = rounding.take();
    const double before =
        outputError(weights, meaning(nearestOf(weights, c.form), c.form), taps, rows, c.corrected);
    const double after = outputError(weights, meaning(rounded, c.form), taps, rows, c.corrected);
    EXPECT_LT(after, before / 2) << name(c.form);
    EXPECT_NEAR(rounding.power().before / before, 1, 1e-3) << name(c.form);
    EXPECT_NEAR(rounding.power().after / after, 1, 1e-3) << name(c.form);
    EXPECT_NEAR(rounding.power().sqnrAfter() - rounding.power().sqnrBefore(),
                10 * std::log10(before / after), 0.01);
  }
}

TEST(Gptq, CorrectionGivesOutputsTheirMean) {
  const int64_t n = 70;
  const Tensor weights = gaussian({6, n}, 7);
  const auto rows = correlated(300, n, 8);
  const WeightForm form = grouped(4, 64, false);
  LayerRounding rounding(weights, form, RangeEstimator::MSE, true, nearestOf(weights, form));
  rounding.round(momentsOf(rows, n, 1));
  const QuantizedWeights rounded = rounding.take();
  const std::vector<double> decoded = meaning(rounded, form);
  for (int64_t o = 0; o < 6; ++o) {
    double lacking = 0;
    for (const std::vector<double> &row : rows)
      for (int64_t i = 0; i < n; ++i)
        lacking += (weights.values<float>()[o * n + i] - decoded[o * n + i]) * row[i] / 300;
    EXPECT_NEAR(rounded.correction.values<float>()[o], lacking, 1e-4);
  }
}

TEST(Gptq, BlocksOfInputChannelsFitTogether) {
  const int64_t taps = 4, inputs = 80;
  const Tensor weights = gaussian({5, inputs, 2, 2}, 9);
  for (const WeightForm &form : {grouped(4, 32, false), grouped(4, 32, true, true)}) {
    LayerRounding rounding(weights, form, RangeEstimator::MSE, true, nearestOf(weights, form));
    // Independent blocks: what both see together does not count.
    const auto first = correlated(800, 64 * taps, 10), second = correlated(800, 16 * taps, 11);
    rounding.round(momentsOf(first, 64, taps));
    rounding.round(momentsOf(second, 16, taps, 64));
    const std::vector<double> decoded = meaning(rounding.take(), form);
    const std::vector<double> nearest = meaning(nearestOf(weights, form), form);
    std::vector<std::vector<double>> rows(800, std::vector<double>(inputs * taps));
    for (size_t r = 0; r < rows.size(); ++r)
      for (int64_t tap = 0; tap < taps; ++tap) {
        std::copy_n(first[r].begin() + tap * 64, 64, rows[r].begin() + tap * inputs);
        std::copy_n(second[r].begin() + tap * 16, 16, rows[r].begin() + tap * inputs + 64);
      }
    EXPECT_LT(outputError(weights, decoded, taps, rows, true),
              outputError(weights, nearest, taps, rows, true) / 2);
  }
}

TEST(Gptq, InputsThatSayNothingKeepNearestCodes) {
  const int64_t n = 40;
  const Tensor weights = gaussian({4, n}, 12);
  const WeightForm form = grouped(4, 0, true);
  const QuantizedWeights nearest = nearestOf(weights, form);
  // No input at all, and every second one dead.
  for (int64_t living : {0, 2}) {
    auto rows = correlated(200, n, 13);
    for (auto &row : rows)
      for (int64_t i = 0; i < n; ++i)
        if (living == 0 || i % living == 1)
          row[i] = 0;
    LayerRounding rounding(weights, form, RangeEstimator::MSE, true, nearestOf(weights, form));
    rounding.round(momentsOf(rows, n, 1));
    const QuantizedWeights rounded = rounding.take();
    for (int64_t i = 0; i < 4 * n; ++i) {
      if (living > 0 && i % living != 1)
        continue;
      EXPECT_EQ(rounded.codes.values<int8_t>()[i], nearest.codes.values<int8_t>()[i]) << i;
    }
  }
}

TEST(Gptq, SingularMomentsAndExtremeNumbersGiveCodes) {
  const int64_t n = 96;
  const Tensor weights = gaussian({3, n}, 14);
  const WeightForm form = grouped(4, 64, false);
  for (double size : {1.0, 1e-18, 1e15}) {
    auto rows = correlated(2, n, 15); // fewer rows than columns
    for (auto &row : rows)
      for (double &x : row)
        x *= size;
    LayerRounding rounding(weights, form, RangeEstimator::MSE, true, nearestOf(weights, form));
    rounding.round(momentsOf(rows, n, 1));
    EXPECT_LE(rounding.power().after, rounding.power().before);
    const QuantizedWeights rounded = rounding.take();
    for (int8_t code : rounded.codes.values<int8_t>()) {
      EXPECT_GE(code, -8);
      EXPECT_LE(code, 7);
    }
  }
}

TEST(Gptq, OneChannelAndOneColumn) {
  for (Shape shape : {Shape{1, 1}, Shape{1, 33}, Shape{5, 1}}) {
    const Tensor weights = gaussian(shape, 16);
    LayerRounding rounding(weights, WeightForm{}, RangeEstimator::MSE, false,
                           nearestOf(weights, WeightForm{}));
    rounding.round(momentsOf(correlated(50, shape[1], 17), shape[1], 1));
    const QuantizedWeights rounded = rounding.take();
    EXPECT_EQ(rounded.codes.shape(), shape);
    EXPECT_EQ(rounded.correction.bytes(), nullptr);
  }
}

TEST(Gptq, ThreadsChangeNothing) {
  const int64_t n = 300;
  const Tensor weights = gaussian({50, n}, 18);
  const InputMoments moments = momentsOf(correlated(400, n, 19), n, 1);
  const WeightForm form = grouped(4, 64, false);
  const auto rounded = [&](int threads) {
    setKernelThreads(threads);
    LayerRounding rounding(weights, form, RangeEstimator::MSE, true, nearestOf(weights, form));
    rounding.round(moments);
    return rounding.take();
  };
  const QuantizedWeights one = rounded(1), three = rounded(3);
  setKernelThreads(1);
  EXPECT_TRUE(one.codes.sameBits(three.codes));
  EXPECT_TRUE(one.groupScales.sameBits(three.groupScales));
  EXPECT_TRUE(one.zeroPoints.sameBits(three.zeroPoints));
  EXPECT_TRUE(one.correction.sameBits(three.correction));
}

} // namespace
} // namespace sdopt
