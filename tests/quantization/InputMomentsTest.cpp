// What follows from moments, against plain sums over the rows that they are of.

#include "compiler/quantization/InputMoments.h"

#include "compiler/quantization/SignalToNoise.h"
#include "tests/quantization/CorrelatedRows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sdopt {
namespace {

/// Rows of U with H^-1 = U^T U, by the inverse and its Cholesky decomposition as the paper has it.
std::vector<float> plainFactor(const InputMoments &moments, const std::vector<int64_t> &order,
                               bool secondMoments) {
  const auto n = static_cast<int64_t>(order.size());
  std::vector<std::vector<double>> h(n, std::vector<double>(2 * n));
  double trace = 0;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j)
      h[i][j] = moments.covariance[order[i] * n + order[j]] +
                (secondMoments ? moments.mean[order[i]] * moments.mean[order[j]] : 0);
    h[i][n + i] = 1;
    trace += h[i][i];
  }
  for (int64_t i = 0; i < n; ++i)
    h[i][i] += 0.01 * trace / static_cast<double>(n);
  for (int64_t k = 0; k < n; ++k) { // Gauss and Jordan
    const double pivot = h[k][k];
    for (double &x : h[k])
      x /= pivot;
    for (int64_t i = 0; i < n; ++i)
      if (const double factor = h[i][k]; i != k)
        for (int64_t j = 0; j < 2 * n; ++j)
          h[i][j] -= factor * h[k][j];
  }
  std::vector<std::vector<double>> lower(n, std::vector<double>(n));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double sum = h[i][n + j];
      for (int64_t k = 0; k < j; ++k)
        sum -= lower[i][k] * lower[j][k];
      lower[i][j] = i == j ? std::sqrt(sum) : sum / lower[j][j];
    }
  std::vector<float> upper(n * n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i; j < n; ++j)
      upper[i * n + j] = static_cast<float>(lower[j][i]);
  return upper;
}

TEST(InputMoments, FactorIsThatOfTheInverse) {
  for (int64_t n : {1, 2, 63, 64, 65, 150}) {
    const InputMoments moments = momentsOf(correlated(2 * n + 3, n, 1), n, 1);
    std::vector<int64_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::reverse(order.begin() + n / 3, order.end());
    for (bool secondMoments : {false, true}) {
      const std::vector<float> found = inverseFactor(moments, order, secondMoments);
      const std::vector<float> expected = plainFactor(moments, order, secondMoments);
      for (int64_t i = 0; i < n * n; ++i)
        ASSERT_NEAR(found[i], expected[i], 2e-5 * (1 + std::fabs(expected[i])))
            << n << ", " << i / n << ", " << i % n;
    }
  }
}

TEST(InputMoments, PowersAreThoseOfAllRows) {
  const int64_t outputs = 5, n = 37;
  const std::vector<std::vector<double>> rows = correlated(200, n, 2);
  const Tensor weights = gaussian({outputs, n}, 3);
  const std::vector<RowPower> powers = rowPowers(weights, momentsOf(rows, n, 1));
  ASSERT_EQ(powers.size(), outputs);
  for (int64_t o = 0; o < outputs; ++o) {
    double sum = 0, squares = 0;
    for (const std::vector<double> &row : rows) {
      double output = 0;
      for (int64_t k = 0; k < n; ++k)
        output += weights.values<float>()[o * n + k] * row[k];
      sum += output;
      squares += output * output;
    }
    const double mean = sum / static_cast<double>(rows.size());
    EXPECT_NEAR(powers[o].mean, mean, 1e-9 * (1 + std::fabs(mean)));
    const double variance = squares / static_cast<double>(rows.size()) - mean * mean;
    EXPECT_NEAR(powers[o].variance, variance, 1e-4 * variance);
  }
}

TEST(InputMoments, VarianceIsNeverNegative) {
  const InputMoments moments{.channels = 1, .mean = {2}, .covariance = {-1}};
  const float weight[] = {3};
  const Tensor weights = Tensor::of<float>({1, 1}, weight);
  const std::vector<RowPower> powers = rowPowers(weights, moments);
  EXPECT_EQ(powers[0].variance, 0);
  EXPECT_EQ(powers[0].mean, 6);
}

TEST(InputMoments, ARowIsTakenFromAnother) {
  for (int64_t count : {0, 1, 15, 16, 33}) {
    std::vector<float> row(count + 1, 1.5f), other(count + 1, 0.25f);
    subtractScaled(row.data(), other.data(), -2, count);
    for (int64_t i = 0; i < count; ++i)
      EXPECT_EQ(row[i], 2) << i;
    EXPECT_EQ(row[count], 1.5f) << count;
  }
}

TEST(SignalToNoise, Decibels) {
  EXPECT_NEAR(signalToNoise(100, 1), 20, 1e-12);
  EXPECT_EQ(signalToNoise(1, 0), std::numeric_limits<double>::infinity());
  EXPECT_EQ(signalToNoise(0, 0), std::numeric_limits<double>::infinity());
  EXPECT_EQ(signalToNoise(0, 1), 0);
  EXPECT_TRUE(std::isnan(signalToNoise(1, std::nan(""))));
}

} // namespace
} // namespace sdopt
