// AWQ's scales and the errors that they promise: those of plain double-precision sums over all
// rows.

#include "compiler/quantization/ScaleSearch.h"
#include "tests/reference/FunctionText.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sdopt::test {
namespace {

/// Rows [count][channels] whose channels differ in size and depend on each other.
std::vector<std::vector<double>> someRows(int64_t count, int64_t channels, uint64_t seed) {
  const Tensor noise = randomFloats({count, channels}, 1, seed);
  std::vector<std::vector<double>> rows;
  for (int64_t r = 0; r < count; ++r) {
    std::vector<double> &row = rows.emplace_back();
    for (int64_t c = 0; c < channels; ++c) {
      const double own = noise.values<float>()[r * channels + c];
      const double shared = noise.values<float>()[r * channels];
      row.push_back(static_cast<float>((own + 0.5 * shared) * (c % 7 == 3 ? 30 : 1) + 0.2));
    }
  }
  return rows;
}

InputMoments momentsOf(const std::vector<std::vector<double>> &rows) {
  const size_t n = rows[0].size();
  const auto count = static_cast<double>(rows.size());
  InputMoments moments{.channels = static_cast<int64_t>(n)};
  moments.mean.resize(n);
  moments.magnitude.resize(n);
  moments.covariance.resize(n * n);
  for (const auto &row : rows)
    for (size_t i = 0; i < n; ++i) {
      moments.mean[i] += row[i] / count;
      moments.magnitude[i] += std::fabs(row[i]) / count;
    }
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j) {
      double sum = 0;
      for (const auto &row : rows)
        sum += (row[i] - moments.mean[i]) * (row[j] - moments.mean[j]);
      moments.covariance[i * n + j] = static_cast<float>(sum / count);
    }
  return moments;
}

/// What the codes of scaled weights mean, by the definition of codes alone.
std::vector<double> meantWeights(const CodedLayer &layer, const std::vector<double> &scales) {
  const int64_t outputs = layer.weights.dim(0), inputs = layer.weights.dim(1);
  Tensor scaled(ElementType::F32, {outputs, inputs});
  for (int64_t i = 0; i < outputs * inputs; ++i)
    scaled.mutableValues<float>()[i] = static_cast<float>(
        static_cast<double>(layer.weights.values<float>()[i]) * scales[i % inputs]);
  const bool grouped = layer.form.coding == WeightCoding::Grouped;
  const QuantizedWeights codes =
      grouped ? quantizeNarrowWeights(scaled, layer.form, false, layer.range, nullptr, nullptr)
              : quantizeWeights(scaled, 0, layer.range);
  std::vector<double> meant;
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t c = 0; c < inputs; ++c) {
      double code = codes.codes.values<int8_t>()[o * inputs + c];
      if (grouped) {
        const int64_t group = o * layer.form.groups(inputs) + c / layer.form.groupSize;
        code = (code - codes.zeroPoints.values<int8_t>()[group]) *
               codes.groupScales.values<int8_t>()[group];
      }
      meant.push_back(code * codes.scales.values<float>()[o] / scales[c]);
    }
  return meant;
}

/// Mean over the rows of the squared error of all outputs.
double plainError(const CodedLayer &layer, const std::vector<std::vector<double>> &rows,
                  const std::vector<double> &scales) {
  const int64_t outputs = layer.weights.dim(0), inputs = layer.weights.dim(1);
  const std::vector<double> meant = meantWeights(layer, scales);
  double total = 0;
  for (int64_t o = 0; o < outputs; ++o) {
    double squares = 0, sum = 0;
    for (const auto &row : rows) {
      double error = 0;
      for (int64_t c = 0; c < inputs; ++c)
        error += (layer.weights.values<float>()[o * inputs + c] - meant[o * inputs + c]) * row[c];
      squares += error * error;
      sum += error;
    }
    const auto count = static_cast<double>(rows.size());
    total += squares / count - (layer.corrected ? sum / count * (sum / count) : 0);
  }
  return total;
}

class ScaleSearchTest : public testing::TestWithParam<std::pair<WeightForm, bool>> {};

TEST_P(ScaleSearchTest, ErrorsAreThoseOfAllRows) {
  const int64_t outputs = 13, inputs = 37;
  const auto [form, corrected] = GetParam();
  const auto rows = someRows(200, inputs, 3);
  const InputMoments moments = momentsOf(rows);
  const CodedLayer layer{
      .weights = randomFloats({outputs, inputs}, 1, 5), .form = form, .corrected = corrected};
  double unscaled = 0, least = std::numeric_limits<double>::infinity();
  for (int exponent = 0; exponent <= kExponentSteps; ++exponent) {
    std::vector<double> scales;
    for (const float s : awqScales(moments, exponent))
      scales.push_back(s);
    for (int64_t c = 0; c < inputs; ++c)
      EXPECT_NEAR(scales[c], std::pow(moments.magnitude[c], exponent / 16.0), 1e-6 * scales[c]);
    const double expected = plainError(layer, rows, scales);
    const double found = codeError(layer, moments, awqScales(moments, exponent));
    EXPECT_NEAR(found, expected, 2e-4 * expected) << exponent;
    if (exponent == 0)
      unscaled = found;
    least = std::min(least, found);
  }
  EXPECT_DOUBLE_EQ(codeError(layer, moments, {}), unscaled);
  // Channels of 30 times the size: scales of their magnitudes are worth decibels.
  EXPECT_LT(least, 0.6 * unscaled);
}

INSTANTIATE_TEST_SUITE_P(
    Forms, ScaleSearchTest,
    testing::Values(std::pair(WeightForm{WeightCoding::Grouped, 4, 16, false, false}, true),
                    std::pair(WeightForm{WeightCoding::Grouped, 3, 32, false, false}, false),
                    std::pair(WeightForm{}, true), std::pair(WeightForm{}, false)));

TEST(ScaleSearch, OutputPowerIsThatOfAllRows) {
  const auto rows = someRows(100, 11, 4);
  const CodedLayer layer{.weights = randomFloats({5, 11}, 1, 6)};
  double expected = 0;
  for (int64_t o = 0; o < 5; ++o)
    for (const auto &row : rows) {
      double y = 0;
      for (int64_t c = 0; c < 11; ++c)
        y += static_cast<double>(layer.weights.values<float>()[o * 11 + c]) * row[c];
      expected += y * y / 100;
    }
  EXPECT_NEAR(outputPower(layer, momentsOf(rows)), expected, 1e-4 * expected);
}

TEST(ScaleSearch, ChannelsThatCarryNothing) {
  InputMoments moments = momentsOf(someRows(10, 4, 1));
  moments.magnitude = {0, 1, 16, 0};
  EXPECT_EQ(awqScales(moments, 8), (std::vector<float>{0.04f, 1, 4, 0.04f}));
  moments.magnitude = {0, 0, 0, 0};
  EXPECT_EQ(awqScales(moments, 16), (std::vector<float>{1, 1, 1, 1}));
}

TEST(ScaleSearch, PowersOfSixteenths) {
  for (int k = 0; k <= 16; ++k)
    for (double x : {1e-30, 0.3, 1.0, 77.0, 1e20})
      EXPECT_NEAR(sixteenthPower(x, k) / std::pow(x, k / 16.0), 1, 1e-13);
  EXPECT_EQ(sixteenthPower(0, 5), 0);
}

} // namespace
} // namespace sdopt::test
