// Sweeps against a plain loop, least squares against elimination, and what both save.

#include "compiler/prune/Compensation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <tuple>

namespace sdopt {
namespace {

double uniform(std::mt19937 &random) {
  return (static_cast<double>(random()) + 0.5) / 4294967296.0 * 2 - 1;
}

Tensor weightsOf(Shape shape, uint32_t seed) {
  std::mt19937 random(seed);
  Tensor tensor(ElementType::F32, std::move(shape));
  for (float &value : tensor.mutableValues<float>())
    value = static_cast<float>(uniform(random) * (1 + uniform(random)));
  return tensor;
}

/// Of rows whose columns have a mean and follow each other.
InputMoments momentsOf(int64_t channels, int64_t taps, uint32_t seed, int64_t first = 0,
                       int64_t rows = 400) {
  InputMoments moments{.firstChannel = first, .channels = channels, .taps = taps};
  const int64_t n = moments.columns();
  std::mt19937 random(seed);
  std::vector<std::vector<double>> data(rows, std::vector<double>(n));
  for (std::vector<double> &row : data) {
    double before = 0, common = uniform(random);
    for (double &x : row) {
      before = 0.7 * before + uniform(random);
      x = before + common + 0.4;
    }
  }
  moments.mean.resize(n);
  for (const std::vector<double> &row : data)
    for (int64_t i = 0; i < n; ++i)
      moments.mean[i] += row[i] / double(rows);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (const std::vector<double> &row : data)
        sum += (row[i] - moments.mean[i]) * (row[j] - moments.mean[j]) / double(rows);
      moments.covariance.push_back(static_cast<float>(sum));
    }
  return moments;
}

double moment(const InputMoments &moments, int64_t i, int64_t j, bool corrected) {
  return moments.covariance[i * moments.columns() + j] +
         (corrected ? 0 : moments.mean[i] * moments.mean[j]);
}

/// Where the column tap * channels + c is in a row of weights.
int64_t placeOf(const InputMoments &moments, int64_t column, int64_t taps) {
  return (moments.firstChannel + column % moments.channels) * taps + column / moments.channels;
}

/// (w - v) H (w - v)^T, all rows.
double errorOf(const Tensor &w, const Tensor &v, const InputMoments &moments, bool corrected) {
  const int64_t outputs = w.dim(0), row = w.size() / outputs, n = moments.columns();
  double total = 0;
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) {
        auto lost = [&](int64_t k) {
          const int64_t at = o * row + placeOf(moments, k, moments.taps);
          return double(w.values<float>()[at]) - v.values<float>()[at];
        };
        total += lost(i) * moment(moments, i, j, corrected) * lost(j);
      }
  return total;
}

struct Setting {
  Shape shape;
  PruneRequest request;
};

/// SparseGPT with whole columns, one after the other.
Tensor plainSweep(const Tensor &weights, const InputMoments &moments, const PruneRequest &request,
                  Mask &mask) {
  const int64_t outputs = weights.dim(0), row = weights.size() / outputs;
  const int64_t n = moments.columns(), taps = moments.taps;
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), int64_t(0));
  const std::vector<float> factor = inverseFactor(moments, order, !request.corrected);
  std::vector<std::vector<double>> w(outputs, std::vector<double>(n));
  std::vector<std::vector<int>> kept(outputs, std::vector<int>(n, 1));
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t k = 0; k < n; ++k) {
      w[o][k] = weights.values<float>()[o * row + placeOf(moments, k, taps)];
      kept[o][k] = mask[o * row + placeOf(moments, k, taps)];
    }
  auto score = [&](int64_t o, int64_t k) {
    return std::pow(w[o][k] / double(factor[k * n + k]), 2);
  };
  auto prune = [&](std::vector<std::tuple<double, int64_t, int64_t>> scores, int64_t zeros) {
    std::sort(scores.begin(), scores.end());
    for (int64_t i = 0; i < zeros; ++i)
      kept[std::get<1>(scores[i])][std::get<2>(scores[i])] = 0;
  };
  for (int64_t k = 0; k < n; ++k) {
    const bool pattern = request.sparsity && request.sparsity->hasPattern();
    const int64_t c = k % moments.channels;
    if (pattern && c % request.sparsity->group == 0)
      for (int64_t o = 0; o < outputs; ++o) {
        std::vector<std::tuple<double, int64_t, int64_t>> run;
        for (int64_t i = k;
             i < k + std::min<int64_t>(request.sparsity->group, moments.channels - c); ++i)
          run.emplace_back(score(o, i), o, i);
        prune(run, std::max<int64_t>(0, int64_t(run.size()) - request.sparsity->kept));
      }
    if (request.sparsity && !pattern && k % 128 == 0)
      for (int64_t part = 0; part < (request.perRow ? outputs : 1); ++part) {
        std::vector<std::tuple<double, int64_t, int64_t>> all;
        for (int64_t o = 0; o < outputs; ++o)
          for (int64_t i = k; i < std::min(n, k + 128); ++i)
            if (!request.perRow || o == part)
              all.emplace_back(score(o, i), o, i);
        prune(all, zeroCount(request.sparsity->fraction, int64_t(all.size())));
      }
    for (int64_t o = 0; o < outputs; ++o)
      if (!kept[o][k]) {
        const double error = w[o][k] / factor[k * n + k];
        for (int64_t i = k; i < n; ++i)
          w[o][i] -= error * factor[k * n + i];
        w[o][k] = 0;
      }
  }
  Tensor result(ElementType::F32, weights.shape());
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t k = 0; k < n; ++k) {
      const int64_t at = o * row + placeOf(moments, k, taps);
      result.mutableValues<float>()[at] = kept[o][k] ? static_cast<float>(w[o][k]) : 0;
      mask[at] = kept[o][k];
    }
  return result;
}

TEST(Compensation, SweepsAsAPlainLoopDoes) {
  const std::vector<Setting> settings = {
      {{6, 20}, {.sparsity = Sparsity{.fraction = 0.5}, .sweep = true}},
      {{5, 150}, {.sparsity = Sparsity{.fraction = 0.6}, .sweep = true, .corrected = true}},
      {{4, 30}, {.sparsity = Sparsity{.fraction = 0.5}, .perRow = true, .sweep = true}},
      {{7, 22}, {.sparsity = Sparsity{0.5, 2, 4}, .sweep = true}},
      {{3, 17, 3, 3}, {.sparsity = Sparsity{0.5, 4, 8}, .sweep = true, .corrected = true}},
      {{4, 16, 3, 3}, {.sparsity = Sparsity{.fraction = 0.7}, .sweep = true}},
      {{4, 12, 3, 3}, {.sweep = true}},
  };
  for (size_t i = 0; i < settings.size(); ++i) {
    const auto &[shape, request] = settings[i];
    const Tensor weights = weightsOf(shape, uint32_t(i));
    const int64_t taps = shape.size() == 4 ? shape[2] * shape[3] : 1;
    const InputMoments moments = momentsOf(shape[1], taps, 50 + uint32_t(i));
    Mask mask;
    if (!request.sparsity)
      mask = magnitudeMask(weights, {.fraction = 0.5});
    LayerPruning layer(weights, mask, request);
    layer.prune(moments);
    Mask plain = mask.empty() ? Mask(weights.size(), 1) : mask;
    const Tensor expected = plainSweep(weights, moments, request, plain);
    EXPECT_EQ(layer.mask(), plain) << i;
    const Tensor masked = prunedWeights(weights, packMask(plain));
    const int64_t row = weights.size() / weights.dim(0);
    for (int64_t at = 0; at < weights.size(); ++at) {
      const float found = layer.weights().values<float>()[at];
      if (!plain[at]) {
        EXPECT_EQ(found, 0);
      } else if (found != weights.values<float>()[at]) { // rows that gain nothing stay
        EXPECT_NEAR(found, expected.values<float>()[at], 1e-3) << i << " row " << at / row;
      }
    }
    EXPECT_LT(errorOf(weights, layer.weights(), moments, request.corrected),
              0.8 * errorOf(weights, masked, moments, request.corrected))
        << i;
    const OutputPower power = layer.power();
    EXPECT_NEAR(power.before, errorOf(weights, masked, moments, request.corrected),
                1e-3 * power.before);
    EXPECT_NEAR(power.after, errorOf(weights, layer.weights(), moments, request.corrected),
                1e-3 * power.before);
    EXPECT_GT(power.sqnrAfter(), power.sqnrBefore());
  }
}

/// The kept columns' normal equations by Gaussian elimination.
Tensor plainLeastSquares(const Tensor &weights, const Mask &mask, const InputMoments &moments,
                         bool corrected) {
  const int64_t outputs = weights.dim(0), row = weights.size() / outputs;
  const int64_t n = moments.columns();
  double trace = 0;
  for (int64_t k = 0; k < n; ++k)
    trace += moment(moments, k, k, corrected);
  auto damped = [&](int64_t i, int64_t j) {
    return moment(moments, i, j, corrected) + (i == j ? 0.01 * trace / double(n) : 0);
  };
  Tensor result(ElementType::F32, weights.shape());
  for (int64_t o = 0; o < outputs; ++o) {
    std::vector<int64_t> columns;
    for (int64_t k = 0; k < n; ++k)
      if (mask[o * row + placeOf(moments, k, moments.taps)])
        columns.push_back(k);
    const size_t m = columns.size();
    std::vector<std::vector<double>> a(m, std::vector<double>(m + 1));
    for (size_t i = 0; i < m; ++i) {
      for (size_t j = 0; j < m; ++j)
        a[i][j] = damped(columns[i], columns[j]);
      for (int64_t k = 0; k < n; ++k)
        a[i][m] += damped(columns[i], k) *
                   weights.values<float>()[o * row + placeOf(moments, k, moments.taps)];
    }
    for (size_t i = 0; i < m; ++i)
      for (size_t r = 0; r < m; ++r)
        if (const double ratio = a[r][i] / a[i][i]; r != i)
          for (size_t j = i; j <= m; ++j)
            a[r][j] -= ratio * a[i][j];
    for (size_t i = 0; i < m; ++i)
      result.mutableValues<float>()[o * row + placeOf(moments, columns[i], moments.taps)] =
          static_cast<float>(a[i][m] / a[i][i]);
  }
  return result;
}

TEST(Compensation, LeastSquaresSolvesTheNormalEquations) {
  for (bool corrected : {false, true})
    for (const Shape &shape : {Shape{6, 40}, Shape{4, 8, 3, 3}, Shape{3, 1}, Shape{2, 5}}) {
      const Tensor weights = weightsOf(shape, 4);
      const InputMoments moments =
          momentsOf(shape[1], shape.size() == 4 ? shape[2] * shape[3] : 1, 9);
      const Mask mask = magnitudeMask(weights, {.fraction = 0.5});
      LayerPruning layer(weights, mask, {.leastSquares = true, .corrected = corrected});
      layer.prune(moments);
      EXPECT_EQ(layer.mask(), mask);
      const Tensor expected = plainLeastSquares(weights, mask, moments, corrected);
      for (int64_t i = 0; i < weights.size(); ++i)
        EXPECT_NEAR(layer.weights().values<float>()[i], expected.values<float>()[i], 2e-3)
            << toString(shape) << " " << i;
      LayerPruning swept(weights, mask, {.sweep = true, .corrected = corrected});
      swept.prune(moments);
      EXPECT_LE(layer.power().after, swept.power().after * 1.001 + 1e-12) << toString(shape);
    }
}

TEST(Compensation, BlocksOfChannelsArePrunedByThemselves) {
  const Tensor weights = weightsOf({5, 24, 3, 3}, 2);
  const PruneRequest request{.sparsity = Sparsity{0.5, 2, 4}, .sweep = true};
  LayerPruning layer(weights, {}, request);
  layer.prune(momentsOf(16, 9, 3));
  layer.prune(momentsOf(8, 9, 4, 16));
  EXPECT_EQ(zerosOf(layer.mask()), weights.size() / 2);
  Mask plain(weights.size(), 1);
  plainSweep(weights, momentsOf(16, 9, 3), request, plain);
  plainSweep(weights, momentsOf(8, 9, 4, 16), request, plain);
  EXPECT_EQ(layer.mask(), plain);
}

TEST(Compensation, TheBiasGetsTheMeanThatIsLost) {
  const Tensor weights = weightsOf({4, 30}, 6);
  const InputMoments moments = momentsOf(30, 1, 7);
  LayerPruning layer(weights, magnitudeMask(weights, {.fraction = 0.5}),
                     {.leastSquares = true, .corrected = true});
  layer.prune(moments);
  for (int64_t o = 0; o < 4; ++o) {
    double mean = 0;
    for (int64_t k = 0; k < 30; ++k)
      mean += (double(weights.values<float>()[o * 30 + k]) -
               layer.weights().values<float>()[o * 30 + k]) *
              moments.mean[k];
    EXPECT_NEAR(layer.correction().values<float>()[o], mean, 1e-4);
  }
}

TEST(Compensation, InputsThatSayNothingChangeNothing) {
  const Tensor weights = weightsOf({3, 8}, 6);
  InputMoments nothing{.channels = 8};
  nothing.mean.resize(8);
  nothing.covariance.resize(64);
  const Mask mask = magnitudeMask(weights, {.fraction = 0.5});
  LayerPruning layer(weights, mask, {.sweep = true, .leastSquares = true});
  layer.prune(nothing);
  EXPECT_TRUE(layer.weights().sameBits(prunedWeights(weights, packMask(mask))));
}

} // namespace
} // namespace sdopt
