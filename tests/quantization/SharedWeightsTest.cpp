// Weights in palettes: what they keep of synthetic weights, and that codes mean what they say.

#include "compiler/quantization/SharedWeights.h"
#include "compiler/kernels/FloatKernels.h"
#include "compiler/quantization/Gptq.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

namespace sdopt {
namespace {

using testing::ElementsAre;

Tensor gaussian(Shape shape, uint32_t seed) {
  Tensor tensor(ElementType::F32, std::move(shape));
  std::mt19937 random(seed);
  const auto uniform = [&] { return (static_cast<double>(random()) + 0.5) / 4294967296.0; };
  for (float &value : tensor.mutableValues<float>())
    value = static_cast<float>(std::sqrt(-2 * std::log(uniform())) *
                               std::cos(6.283185307179586 * uniform()));
  return tensor;
}

WeightForm palette(int64_t bits, int64_t outputs = 0) {
  return {.coding = WeightCoding::Palette, .bits = bits, .paletteOutputs = outputs};
}

/// Weighted squared error of what codes mean, over that of zeros.
double errorOf(const Tensor &weights, const QuantizedWeights &shared, const WeightForm &form,
               const Tensor *importance = nullptr) {
  const Tensor decoded = decodeSharedWeights(form, shared.codes, shared.palettes);
  const int64_t row = weights.size() / weights.dim(0), taps = row / weights.dim(1);
  double signal = 0, noise = 0;
  for (int64_t i = 0; i < weights.size(); ++i) {
    const double weight = weights.values<float>()[i];
    const double counts = importance ? importance->values<float>()[i % row / taps] : 1;
    const double error = weight - static_cast<double>(shared.scales.values<float>()[i / row]) *
                                      decoded.values<int8_t>()[i];
    signal += counts * weight * weight;
    noise += counts * error * error;
  }
  return noise / signal;
}

double decibels(double error) { return -10 * std::log10(error); }

/// The quantizer of least error for a normal distribution (J. Max, "Quantizing for Minimum
/// Distortion", IRE Transactions on Information Theory 6(1), 1960, table I).
TEST(SharedWeights, ReachTheBestQuantizerOfNormalNumbers) {
  const Tensor weights = gaussian({64, 2304}, 1);
  const double best[] = {0.3634, 0.1175, 0.03454, 0.009497, 0.002499};
  for (int64_t bits = 1; bits <= 5; ++bits) {
    const double error = errorOf(weights, shareWeights(weights, palette(bits), {}), palette(bits));
    EXPECT_LE(error, best[bits - 1] * 1.01) << bits;
    EXPECT_GE(error, best[bits - 1] * 0.97) << bits;
  }
}

/// Bits that codes carry.
double entropyOf(const Tensor &codes) {
  std::map<int8_t, double> counts;
  for (int8_t code : codes.values<int8_t>())
    ++counts[code];
  double bits = 0;
  for (auto [code, count] : counts)
    bits -= count * std::log2(count / static_cast<double>(codes.size()));
  return bits / static_cast<double>(codes.size());
}

/// Even steps with an entropy of 2, 3 and 4 bits leave 10.07, 16.42 and 22.48 dB of a normal
/// distribution, by integration; the best quantizers 10.55, 16.56 and 22.55 (N. Farvardin,
/// J. Modestino, "Optimum Quantizer Performance for a Class of Non-Gaussian Memoryless Sources",
/// 1984).
TEST(SharedWeights, CodedPalettesAreEvenStepsOfTheirEntropy) {
  const Tensor weights = gaussian({64, 2304}, 1);
  const double best[] = {10.07, 16.42, 22.48};
  for (int bits = 2; bits <= 4; ++bits) {
    const WeightForm form = palette(bits + 2);
    const QuantizedWeights shared =
        shareWeights(weights, form, {.codedBits = static_cast<double>(bits)});
    EXPECT_LE(entropyOf(shared.codes), bits + 0.01);
    EXPECT_GE(entropyOf(shared.codes), bits - 0.05);
    EXPECT_NEAR(decibels(errorOf(weights, shared, form)), best[bits - 2], 0.12) << bits;
    EXPECT_THAT(shared.palettes.values<int8_t>(), testing::Contains(0)) << bits;
  }
}

/// What has too few values to carry as many bits keeps them all.
TEST(SharedWeights, CodedPalettesOfFewValues) {
  Tensor weights(ElementType::F32, {3, 40});
  for (int64_t i = 0; i < weights.size(); ++i)
    weights.mutableValues<float>()[i] = static_cast<float>(i % 3 - 1) * 0.37f;
  const WeightForm form = palette(4);
  const QuantizedWeights shared = shareWeights(weights, form, {.codedBits = 3});
  EXPECT_LT(errorOf(weights, shared, form), 1e-4);
  Tensor zeros(ElementType::F32, {3, 40});
  std::ranges::fill(zeros.mutableValues<float>(), 0.0f);
  const QuantizedWeights none = shareWeights(zeros, form, {.codedBits = 3});
  const Tensor decoded = decodeSharedWeights(form, none.codes, none.palettes);
  EXPECT_THAT(decoded.values<int8_t>(), testing::Each(0));
}

TEST(SharedWeights, MoreBitsAndPalettesLoseLess) {
  const Tensor weights = gaussian({24, 333}, 2);
  double before = 1;
  for (int64_t bits = 1; bits <= 6; ++bits) {
    double fewer = 1;
    for (int64_t outputs : {0, 7, 1}) {
      const WeightForm form = palette(bits, outputs);
      const double error = errorOf(weights, shareWeights(weights, form, {}), form);
      EXPECT_LT(error, before) << bits << " " << outputs;
      EXPECT_LT(error, fewer) << bits << " " << outputs;
      fewer = error;
    }
    before = fewer;
  }
  EXPECT_GT(decibels(before), 32);
}

TEST(SharedWeights, CodesAreIndicesOfAscendingEntries) {
  const Tensor weights = gaussian({5, 11, 3, 1}, 3);
  for (int64_t bits : {1, 3, 7})
    for (int64_t outputs : {0, 1, 2, 5, 100}) {
      const WeightForm form = palette(bits, outputs);
      const QuantizedWeights shared = shareWeights(weights, form, {});
      EXPECT_EQ(shared.codes.shape(), weights.shape());
      EXPECT_EQ(shared.palettes.shape(), Shape({form.palettes(5), int64_t{1} << bits}));
      for (int8_t code : shared.codes.values<int8_t>())
        EXPECT_LT(static_cast<uint8_t>(code), 1 << bits);
      for (int64_t p = 0; p < form.palettes(5); ++p)
        EXPECT_TRUE(std::ranges::is_sorted(
            shared.palettes.values<int8_t>().subspan(static_cast<size_t>(p << bits), 1 << bits)));
    }
}

TEST(SharedWeights, ChannelsOfOnePaletteDifferByTheirScales) {
  Tensor weights = gaussian({6, 400}, 4);
  for (int64_t i = 0; i < weights.size(); ++i)
    weights.mutableValues<float>()[i] *= std::pow(10.0f, static_cast<float>(i / 400) - 3);
  const WeightForm form = palette(4);
  const QuantizedWeights shared = shareWeights(weights, form, {});
  const Tensor decoded = decodeSharedWeights(form, shared.codes, shared.palettes);
  for (int64_t o = 0; o < 6; ++o) {
    double signal = 0, noise = 0;
    for (int64_t i = o * 400; i < (o + 1) * 400; ++i) {
      const double weight = weights.values<float>()[i];
      const double error = weight - static_cast<double>(shared.scales.values<float>()[o]) *
                                        decoded.values<int8_t>()[i];
      signal += weight * weight;
      noise += error * error;
    }
    EXPECT_GT(10 * std::log10(signal / noise), 18.5) << o;
  }
  const double one = errorOf(weights, shareWeights(weights, form, {.oneScale = true}), form);
  EXPECT_LT(decibels(one), 40);
  const QuantizedWeights common = shareWeights(weights, form, {.oneScale = true});
  for (float scale : common.scales.values<float>())
    EXPECT_EQ(scale, common.scales.values<float>()[0]);
}

TEST(SharedWeights, ImportanceDecides) {
  const Tensor weights = gaussian({32, 64}, 5);
  Tensor importance(ElementType::F32, {64});
  for (int64_t i = 0; i < 64; ++i)
    importance.mutableValues<float>()[i] = i < 8 ? 100.0f : 0.01f;
  const WeightForm form = palette(3, 1);
  const SharingOptions weighted{.importance = &importance};
  EXPECT_LT(errorOf(weights, shareWeights(weights, form, weighted), form, &importance),
            0.8 * errorOf(weights, shareWeights(weights, form, {}), form, &importance));
  // Without any importance all weights are alike.
  const Tensor none = Tensor::of<float>({64}, std::vector<float>(64, 0));
  const QuantizedWeights plain = shareWeights(weights, form, {});
  const QuantizedWeights same = shareWeights(weights, form, {.importance = &none});
  EXPECT_TRUE(std::ranges::equal(plain.codes.values<int8_t>(), same.codes.values<int8_t>()));
}

TEST(SharedWeights, ZerosStayZero) {
  Tensor weights = gaussian({9, 20, 3, 3}, 6);
  std::mt19937 random(7);
  for (float &weight : weights.mutableValues<float>())
    if (random() % 2)
      weight = 0;
  for (int64_t bits : {1, 2, 4, 7})
    for (int64_t outputs : {0, 2}) {
      const WeightForm form = palette(bits, outputs);
      const QuantizedWeights shared = shareWeights(weights, form, {.withZero = true});
      const Tensor decoded = decodeSharedWeights(form, shared.codes, shared.palettes);
      for (int64_t i = 0; i < weights.size(); ++i)
        if (weights.values<float>()[i] == 0) {
          ASSERT_EQ(decoded.values<int8_t>()[i], 0) << i;
        }
    }
}

TEST(SharedWeights, FewValuesAreExact) {
  // Four values, the largest of which is 127 times the scale: what they mean is exact.
  const WeightForm form = palette(2);
  const std::vector<float> numbers = {0.5f, -1.27f, 0.5f, 0.01f, 0.5f, 0.01f, -1.27f, 0.5f};
  const QuantizedWeights shared = shareWeights(Tensor::of<float>({1, 8}, numbers), form, {});
  EXPECT_THAT(shared.palettes.values<int8_t>(), ElementsAre(-127, 1, 50, 50));
  EXPECT_THAT(shared.codes.values<int8_t>(), ElementsAre(2, 0, 2, 1, 2, 1, 0, 2));
  EXPECT_NEAR(shared.scales.values<float>()[0], 0.01f, 1e-6);
}

/// S. Han, H. Mao, W. J. Dally, "Deep Compression", ICLR 2016, figure 3: 512 bits of floats become
/// 160 of indices and four floats. The NPU's four entries are int8, with one float for the scale.
TEST(SharedWeights, FourSharedWeights) {
  const std::vector<float> numbers = {2.09f,  -0.98f, 1.48f, 0.09f,  0.05f, -0.14f, -1.08f, 2.12f,
                                      -0.91f, 1.92f,  0,     -1.03f, 1.87f, 0,      1.53f,  1.49f};
  const Tensor weights = Tensor::of<float>({4, 4}, numbers);
  const WeightForm form = palette(2);
  const QuantizedWeights shared = shareWeights(weights, form, {.oneScale = true});
  EXPECT_EQ(8 * storedBytes(form, {.outputs = 4, .taps = 1, .inputs = 4}) + 32, 32 + 4 * 8 + 32);
  const Tensor decoded = decodeSharedWeights(form, shared.codes, shared.palettes);
  const float means[] = {-1, 0, 1.5f, 2};
  for (int64_t i = 0; i < 16; ++i) {
    const uint8_t code = static_cast<uint8_t>(shared.codes.values<int8_t>()[i]);
    EXPECT_NEAR(decoded.values<int8_t>()[i] * shared.scales.values<float>()[0], means[code], 0.01);
    EXPECT_LE(std::fabs(numbers[i] - means[code]), 0.25f);
  }
}

TEST(SharedWeights, DegenerateChannels) {
  Tensor weights = gaussian({4, 30}, 8);
  std::ranges::fill(weights.mutableValues<float>().subspan(0, 30), 0.0f);
  std::ranges::fill(weights.mutableValues<float>().subspan(30, 30), 1e-42f);
  std::ranges::fill(weights.mutableValues<float>().subspan(60, 30), -3.0f);
  for (int64_t outputs : {0, 1}) {
    const WeightForm form = palette(3, outputs);
    const QuantizedWeights shared = shareWeights(weights, form, {.withZero = true});
    for (float scale : shared.scales.values<float>())
      EXPECT_TRUE(scale > 0 && std::isfinite(scale));
    EXPECT_EQ(shared.scales.values<float>()[0], 1.0f);
    const Tensor decoded = decodeSharedWeights(form, shared.codes, shared.palettes);
    for (int64_t i = 0; i < 60; ++i)
      EXPECT_EQ(decoded.values<int8_t>()[i], 0);
    EXPECT_NEAR(decoded.values<int8_t>()[60] * shared.scales.values<float>()[2], -3, 0.4);
  }
  const Tensor zeros = Tensor::of<float>({2, 3}, std::vector<float>(6, 0));
  const QuantizedWeights none = shareWeights(zeros, palette(2), {});
  const Tensor means = decodeSharedWeights(palette(2), none.codes, none.palettes);
  for (int8_t value : means.values<int8_t>())
    EXPECT_EQ(value * none.scales.values<float>()[0], 0);
}

TEST(SharedWeights, KnownPalettesGiveTheSameAndThreadsDoNotMatter) {
  const Tensor weights = gaussian({70, 33, 3, 3}, 9);
  const Tensor means = gaussian({33}, 10);
  for (int64_t outputs : {0, 16}) {
    const WeightForm form = palette(4, outputs);
    const SharingOptions options{.means = &means};
    const QuantizedWeights once = shareWeights(weights, form, options);
    setKernelThreads(3);
    const QuantizedWeights threads = shareWeights(weights, form, options);
    setKernelThreads(1);
    const QuantizedWeights again = shareWeights(
        weights, form,
        {.means = &means, .knownScales = &once.scales, .knownPalettes = &once.palettes});
    for (const QuantizedWeights *other : {&threads, &again}) {
      EXPECT_TRUE(std::ranges::equal(once.codes.values<int8_t>(), other->codes.values<int8_t>()));
      EXPECT_TRUE(
          std::ranges::equal(once.palettes.values<int8_t>(), other->palettes.values<int8_t>()));
      EXPECT_TRUE(std::ranges::equal(once.scales.values<float>(), other->scales.values<float>()));
      EXPECT_TRUE(
          std::ranges::equal(once.correction.values<float>(), other->correction.values<float>()));
    }
    const Tensor decoded = decodeSharedWeights(form, once.codes, once.palettes);
    for (int64_t o : {0, 69}) {
      double correction = 0;
      for (int64_t i = 0; i < 33 * 9; ++i)
        correction += (weights.values<float>()[o * 297 + i] -
                       static_cast<double>(once.scales.values<float>()[o]) *
                           decoded.values<int8_t>()[o * 297 + i]) *
                      means.values<float>()[i / 9];
      EXPECT_NEAR(once.correction.values<float>()[o], correction, 1e-4);
    }
  }
}

/// Inputs that are alike: errors of one weight can be made up for by the others.
TEST(SharedWeights, RoundedCodesMakeUpForEachOther) {
  const int64_t inputs = 96, outputs = 32;
  const Tensor weights = gaussian({outputs, inputs}, 11);
  InputMoments moments{.channels = inputs};
  moments.mean.assign(inputs, 0.5);
  for (int64_t i = 0; i < inputs; ++i)
    for (int64_t j = 0; j < inputs; ++j)
      moments.covariance.push_back(std::pow(0.9f, static_cast<float>(std::abs(i - j))));
  for (bool corrected : {false, true})
    for (int64_t paletteOutputs : {0, 1, 5}) {
      const WeightForm form = palette(3, paletteOutputs);
      LayerRounding rounding(weights, form, RangeEstimator::MSE, corrected,
                             shareWeights(weights, form, {}));
      rounding.round(moments);
      const QuantizedWeights rounded = rounding.take();
      EXPECT_GT(rounding.power().sqnrAfter(), rounding.power().sqnrBefore() + 3);
      for (int8_t code : rounded.codes.values<int8_t>())
        EXPECT_LT(static_cast<uint8_t>(code), 8);
      // The power that is promised is that of the weights that the codes mean.
      const Tensor decoded = decodeSharedWeights(form, rounded.codes, rounded.palettes);
      double power = 0;
      for (int64_t o = 0; o < outputs; ++o) {
        std::vector<double> error(inputs);
        double mean = 0;
        for (int64_t i = 0; i < inputs; ++i) {
          error[i] = weights.values<float>()[o * inputs + i] -
                     static_cast<double>(rounded.scales.values<float>()[o]) *
                         decoded.values<int8_t>()[o * inputs + i];
          mean += error[i] * 0.5;
        }
        for (int64_t i = 0; i < inputs; ++i)
          for (int64_t j = 0; j < inputs; ++j)
            power += error[i] * error[j] * moments.covariance[i * inputs + j];
        power += corrected ? 0 : mean * mean;
      }
      EXPECT_NEAR(rounding.power().after, power, 1e-3 * power);
    }
}

} // namespace
} // namespace sdopt
