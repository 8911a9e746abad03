// Masks against plain float64 loops that sort, bit for bit.

#include "compiler/prune/Masks.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/prune/InputPower.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace sdopt {
namespace {

/// Few different values, so that scores are often equal.
Tensor coarse(Shape shape, uint32_t seed, int values) {
  Tensor tensor(ElementType::F32, std::move(shape));
  std::mt19937 random(seed);
  for (float &value : tensor.mutableValues<float>())
    value = static_cast<float>(static_cast<int>(random() % values) - values / 2) * 0.03125f;
  return tensor;
}

Tensor fine(Shape shape, uint32_t seed) { return coarse(std::move(shape), seed, 1 << 20); }

struct Shapes {
  Shape weights;
  KernelWindow window;
  int64_t pictures = 1;
};

KernelWindow rowsOf(int64_t channels) { return {.channels = channels}; }

/// im2col, one row after the other.
std::vector<std::vector<double>> rowsSeen(const Tensor &input, const KernelWindow &w,
                                          int64_t pictures) {
  std::vector<std::vector<double>> rows;
  for (int64_t p = 0; p < pictures; ++p)
    for (int64_t y = 0; y < w.outHeight; ++y)
      for (int64_t x = 0; x < w.outWidth; ++x) {
        std::vector<double> row;
        for (int64_t ky = 0; ky < w.kernelHeight; ++ky)
          for (int64_t kx = 0; kx < w.kernelWidth; ++kx)
            for (int64_t c = 0; c < w.channels; ++c) {
              const int64_t h = y * w.strideH - w.top + ky * w.dilationH;
              const int64_t v = x * w.strideW - w.left + kx * w.dilationW;
              const bool inside = h >= 0 && h < w.height && v >= 0 && v < w.width;
              row.push_back(
                  inside
                      ? input.values<float>()[((p * w.height + h) * w.width + v) * w.channels + c]
                      : 0.0);
            }
        rows.push_back(row);
      }
  return rows;
}

std::vector<double> plainPower(const std::vector<std::vector<double>> &rows, double weight) {
  std::vector<double> power(rows.front().size());
  for (const std::vector<double> &row : rows)
    for (size_t k = 0; k < row.size(); ++k)
      power[k] += weight * (row[k] * row[k]);
  return power;
}

/// Sorts (score, index) pairs and prunes from the front.
void pruneSorted(std::vector<std::pair<double, size_t>> scores, size_t zeros, Mask &mask) {
  std::sort(scores.begin(), scores.end());
  for (size_t i = 0; i < zeros; ++i)
    mask[scores[i].second] = 0;
}

/// `power` [tap][input]; empty: magnitudes.
Mask plainMask(const Tensor &weights, const std::vector<double> &power, const Sparsity &sparsity) {
  const size_t outputs = weights.dim(0), inputs = weights.dim(1);
  const size_t taps = weights.size() / (outputs * inputs);
  Mask mask(weights.size(), 1);
  for (size_t o = 0; o < outputs; ++o) {
    auto score = [&](size_t i, size_t t) {
      const size_t at = (o * inputs + i) * taps + t;
      const double norm = power.empty() ? 1 : std::sqrt(power[t * inputs + i]);
      return std::pair(std::abs(double(weights.values<float>()[at])) * norm, at);
    };
    if (sparsity.hasPattern()) {
      const size_t m = sparsity.group, n = sparsity.kept;
      for (size_t t = 0; t < taps; ++t)
        for (size_t first = 0; first < inputs; first += m) {
          std::vector<std::pair<double, size_t>> run;
          for (size_t i = first; i < std::min(first + m, inputs); ++i)
            run.push_back(score(i, t));
          pruneSorted(run, run.size() > n ? run.size() - n : 0, mask);
        }
      continue;
    }
    std::vector<std::pair<double, size_t>> row;
    for (size_t i = 0; i < inputs; ++i)
      for (size_t t = 0; t < taps; ++t)
        row.push_back(score(i, t));
    pruneSorted(row, static_cast<size_t>(sparsity.fraction * double(inputs * taps)), mask);
  }
  return mask;
}

/// `power` as above.
Mask plainLayerMask(const Tensor &weights, const std::vector<double> &power, double fraction) {
  const size_t inputs = weights.dim(1), row = weights.size() / weights.dim(0), taps = row / inputs;
  std::vector<std::pair<double, size_t>> all;
  for (size_t i = 0; i < size_t(weights.size()); ++i) {
    const double norm = power.empty() ? 1 : std::sqrt(power[i % taps * inputs + i % row / taps]);
    all.emplace_back(std::abs(double(weights.values<float>()[i])) * norm, i);
  }
  Mask mask(weights.size(), 1);
  pruneSorted(all, static_cast<size_t>(fraction * double(weights.size())), mask);
  return mask;
}

const std::vector<Shapes> kShapes = {
    {{5, 7}, rowsOf(7), 11},
    {{16, 64}, rowsOf(64), 33},
    {{3, 130}, rowsOf(130), 5},
    {{4, 1}, rowsOf(1), 3},
    {{4, 4, 3, 3},
     {.height = 8,
      .width = 6,
      .outHeight = 8,
      .outWidth = 6,
      .kernelHeight = 3,
      .kernelWidth = 3,
      .top = 1,
      .left = 1,
      .channels = 4},
     1},
    {{6, 13, 3, 3},
     {.height = 9,
      .width = 7,
      .outHeight = 5,
      .outWidth = 4,
      .kernelHeight = 3,
      .kernelWidth = 3,
      .strideH = 2,
      .strideW = 2,
      .top = 1,
      .left = 1,
      .channels = 13},
     2},
    {{2, 70, 1, 1}, {.height = 5, .width = 3, .outHeight = 5, .outWidth = 3, .channels = 70}, 2},
    {{3, 5, 2, 3},
     {.height = 7,
      .width = 8,
      .outHeight = 5,
      .outWidth = 4,
      .kernelHeight = 2,
      .kernelWidth = 3,
      .dilationH = 2,
      .dilationW = 2,
      .channels = 5},
     2},
};

const std::vector<Sparsity> kSparsities = {
    {.fraction = 0.5},
    {.fraction = 0.05},
    {.fraction = 0.7},
    {.fraction = 0.99},
    {0.5, 2, 4},
    {0.5, 4, 8},
    {0.5, 1, 4},
    {0.5, 3, 5},
    {0.5, 1, 2},
    {.kept = 15, .group = 16},
    {.kept = 1, .group = 16},
};

TEST(InputPower, IsThatOfPlainImageColumns) {
  for (size_t i = 0; i < kShapes.size(); ++i) {
    const auto &[shape, window, pictures] = kShapes[i];
    const Tensor input =
        fine({pictures, window.height, window.width, window.channels}, 7 + uint32_t(i));
    for (double weight : {1.0, 1.2, 0.8}) {
      InputPower power(window);
      power.add(input.values<float>().data(), pictures, weight);
      EXPECT_EQ(power.sums(), plainPower(rowsSeen(input, window, pictures), weight)) << i;
    }
  }
}

TEST(Masks, OfWandaAndMagnitudeAreThoseOfPlainLoops) {
  int settings = 0;
  for (size_t i = 0; i < kShapes.size(); ++i)
    for (const Sparsity &sparsity : kSparsities)
      for (bool ties : {false, true}) {
        const auto &[shape, window, pictures] = kShapes[i];
        const Tensor weights = ties ? coarse(shape, 3 + uint32_t(i), 5) : fine(shape, uint32_t(i));
        const Shape inputShape = {pictures, window.height, window.width, window.channels};
        const Tensor input = ties ? coarse(inputShape, 91, 3) : fine(inputShape, 99);
        InputPower power(window);
        power.add(input.values<float>().data(), pictures, 1);
        EXPECT_EQ(wandaMask(weights, power.sums(), sparsity),
                  plainMask(weights, plainPower(rowsSeen(input, window, pictures), 1), sparsity))
            << i << " " << name(sparsity) << " " << ties;
        EXPECT_EQ(magnitudeMask(weights, sparsity), plainMask(weights, {}, sparsity))
            << i << " " << name(sparsity) << " " << ties;
        if (!sparsity.hasPattern()) {
          MagnitudeThreshold threshold;
          threshold.add(weights, sparsity.fraction);
          threshold.refine(weights);
          EXPECT_EQ(threshold.mask(weights), plainLayerMask(weights, {}, sparsity.fraction))
              << i << " " << name(sparsity) << " " << ties;
          EXPECT_EQ(wandaLayerMask(weights, power.sums(), sparsity.fraction),
                    plainLayerMask(weights, power.sums(), sparsity.fraction))
              << i << " " << name(sparsity) << " " << ties;
        }
        settings += 2;
      }
  EXPECT_GE(settings, 10);
}

TEST(Masks, DoNotDependOnThreads) {
  const Tensor weights = fine({37, 65, 3, 3}, 4);
  const std::vector<double> power(65 * 9, 2.0);
  const Mask one = wandaMask(weights, power, {.fraction = 0.6});
  setKernelThreads(3);
  EXPECT_EQ(wandaMask(weights, power, {.fraction = 0.6}), one);
  setKernelThreads(1);
}

TEST(Masks, KeepTheirOrderUnderAnyPowerOfAWholeLayer) {
  // Smoothing divides an input channel and multiplies its weights: by a power of two exactly.
  Tensor weights = fine({8, 24}, 5);
  std::vector<double> power(24);
  for (size_t i = 0; i < power.size(); ++i)
    power[i] = 1.0 + double(i * i % 7);
  const Mask before = wandaMask(weights, power, {0.5, 2, 4});
  for (int64_t i = 0; i < 24; ++i) {
    const float scale = std::ldexp(1.0f, int(i % 5) - 2);
    power[i] /= double(scale) * scale;
    for (int64_t o = 0; o < 8; ++o)
      weights.mutableValues<float>()[o * 24 + i] *= scale;
  }
  EXPECT_EQ(wandaMask(weights, power, {0.5, 2, 4}), before);
  EXPECT_NE(magnitudeMask(weights, {0.5, 2, 4}), before);
}

TEST(Masks, OneThresholdForSeveralLayers) {
  for (int values : {5, 1 << 20}) {
    std::vector<Tensor> layers = {coarse({4, 9}, 1, values), coarse({3, 3, 3, 3}, 2, values),
                                  coarse({7, 5}, 3, values)};
    const std::vector<double> fractions = {0.5, 0.25, 0.8};
    MagnitudeThreshold threshold;
    std::vector<std::pair<double, size_t>> all;
    size_t zeros = 0;
    for (size_t i = 0; i < layers.size(); ++i) {
      threshold.add(layers[i], fractions[i]);
      zeros += static_cast<size_t>(fractions[i] * double(layers[i].size()));
      for (float weight : layers[i].values<float>())
        all.emplace_back(std::abs(double(weight)), all.size());
    }
    Mask expected(all.size(), 1), found;
    pruneSorted(all, zeros, expected);
    for (const Tensor &layer : layers)
      threshold.refine(layer);
    for (const Tensor &layer : layers) {
      const Mask mask = threshold.mask(layer);
      found.insert(found.end(), mask.begin(), mask.end());
    }
    EXPECT_EQ(found, expected) << values;
  }
}

/// The published search, with sorted copies and running sums.
Mask plainThresholdSearch(const Tensor &weights, const std::vector<double> &power,
                          double fraction) {
  const size_t outputs = weights.dim(0), inputs = weights.dim(1);
  const size_t taps = weights.size() / (outputs * inputs), row = inputs * taps;
  auto attempt = [&](double alpha) {
    Mask mask(weights.size(), 1);
    for (size_t o = 0; o < outputs; ++o) {
      std::vector<std::pair<double, size_t>> scores;
      for (size_t i = 0; i < row; ++i)
        scores.emplace_back(std::abs(double(weights.values<float>()[o * row + i])) *
                                std::sqrt(power[i % taps * inputs + i / taps]),
                            o * row + i);
      std::sort(scores.begin(), scores.end());
      double total = 0, sum = 0;
      for (auto &[score, at] : scores)
        total += score;
      for (auto &[score, at] : scores)
        if ((sum += score) <= alpha * total)
          mask[at] = 0;
    }
    return mask;
  };
  double low = 0, high = 0.8, alpha = 0.4;
  Mask mask = attempt(alpha);
  auto reached = [&] { return double(zerosOf(mask)) / double(mask.size()); };
  while (std::abs(reached() - fraction) > 0.001 && high - low >= 0.001) {
    if (reached() > fraction)
      high = alpha;
    else
      low = alpha;
    alpha = (low + high) / 2;
    mask = attempt(alpha);
  }
  return mask;
}

TEST(Masks, OfTheThresholdSearch) {
  for (double fraction : {0.2, 0.5, 0.75}) {
    const Tensor weights = fine({24, 40, 3, 3}, 8);
    std::vector<double> power(360);
    for (size_t i = 0; i < power.size(); ++i)
      power[i] = 0.5 + double(i * 37 % 101);
    const Mask mask = thresholdSearchMask(weights, power, fraction);
    EXPECT_EQ(mask, plainThresholdSearch(weights, power, fraction));
    EXPECT_NEAR(double(zerosOf(mask)) / double(mask.size()), fraction, 0.002);
  }
}

TEST(Masks, PackAndUnpack) {
  for (size_t count : {1, 7, 8, 9, 64, 101}) {
    Mask mask(count);
    std::mt19937 random(count);
    for (uint8_t &kept : mask)
      kept = random() % 2;
    const Tensor packed = packMask(mask);
    EXPECT_EQ(packed.size(), int64_t(count + 7) / 8);
    EXPECT_EQ(unpackMask(packed, int64_t(count)), mask);
    Tensor weights = fine({int64_t(count), 1}, 5);
    for (float &weight : weights.mutableValues<float>())
      weight -= 100; // negative zeros would show
    const Tensor pruned = prunedWeights(weights, packed);
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(pruned.values<float>()[i], mask[i] ? weights.values<float>()[i] : 0);
      EXPECT_FALSE(!mask[i] && std::signbit(pruned.values<float>()[i]));
    }
    EXPECT_EQ(nonZeros(pruned), mask);
  }
}

} // namespace
} // namespace sdopt
