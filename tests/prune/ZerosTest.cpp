// What pruning made zero stays exactly zero through every form of quantization.

#include "compiler/prune/Compensation.h"
#include "compiler/quantization/Gptq.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace sdopt {
namespace {

struct Setting {
  WeightForm form;
  RangeEstimator range = RangeEstimator::MSE;
  bool oneScale = false;
};

WeightForm grouped(int64_t bits, int64_t groupSize, bool symmetric, bool sharedTaps = false) {
  return {WeightCoding::Grouped, bits, groupSize, symmetric, sharedTaps};
}

std::vector<Setting> allForms() {
  std::vector<Setting> settings = {{{}}, {{}, RangeEstimator::MinMax}, {{}, {}, true}};
  for (int64_t bits = 2; bits <= 7; ++bits)
    for (int64_t groupSize : {0, 16, 64})
      for (bool symmetric : {false, true})
        for (RangeEstimator range : {RangeEstimator::MSE, RangeEstimator::MinMax})
          settings.push_back(
              {grouped(bits, groupSize, symmetric, bits % 2 == 0), range, bits == 5});
  return settings;
}

Tensor weightsOf(const Shape &shape, uint32_t seed) {
  std::mt19937 random(seed);
  Tensor tensor(ElementType::F32, shape);
  for (float &value : tensor.mutableValues<float>())
    value = static_cast<float>((static_cast<double>(random()) / 4294967296.0 - 0.3) *
                               (1 + random() % 5));
  return tensor;
}

QuantizedWeights nearest(const Tensor &weights, const Setting &setting) {
  if (setting.form.coding != WeightCoding::Raw)
    return quantizeNarrowWeights(weights, setting.form, setting.oneScale, setting.range, nullptr,
                                 nullptr);
  std::optional<Tensor> scales;
  if (setting.oneScale)
    scales = commonWeightScale(weights, 0, setting.range);
  return quantizeWeights(weights, 0, setting.range, scales ? &*scales : nullptr);
}

Tensor decoded(const QuantizedWeights &codes, const WeightForm &form) {
  if (form.coding == WeightCoding::Raw)
    return codes.codes;
  return decodeWeightTensor(form, codes.codes, form.hasScales() ? &codes.groupScales : nullptr,
                            form.symmetric ? nullptr : &codes.zeroPoints, false);
}

void expectZeros(const Mask &mask, const Tensor &weights, const std::string &what) {
  int64_t wrong = 0;
  for (size_t i = 0; i < mask.size(); ++i)
    wrong += !mask[i] && weights.values<int8_t>()[i] != 0;
  EXPECT_EQ(wrong, 0) << what;
}

InputMoments momentsOf(int64_t channels, int64_t taps) {
  InputMoments moments{.channels = channels, .taps = taps};
  const int64_t n = moments.columns();
  for (int64_t i = 0; i < n; ++i) {
    moments.mean.push_back(0.3 * static_cast<double>(i % 3));
    for (int64_t j = 0; j < n; ++j)
      moments.covariance.push_back(
          static_cast<float>(std::pow(0.8, static_cast<double>(std::abs(i - j)))));
  }
  return moments;
}

TEST(Zeros, StayWithNearestCodes) {
  for (const Shape &shape : {Shape{6, 70}, Shape{5, 18, 3, 3}})
    for (const Setting &setting : allForms()) {
      const Tensor dense = weightsOf(shape, 3);
      for (const Sparsity &sparsity :
           {Sparsity{.fraction = 0.5}, Sparsity{0.5, 2, 4}, Sparsity{.fraction = 0.9}}) {
        const Mask mask = magnitudeMask(dense, sparsity);
        const Tensor weights = prunedWeights(dense, packMask(mask));
        expectZeros(mask, decoded(nearest(weights, setting), setting.form), name(setting.form));
      }
    }
}

TEST(Zeros, StayWhenCodesMakeUpForEachOther) {
  for (const Shape &shape : {Shape{6, 70}, Shape{5, 18, 3, 3}})
    for (const Setting &setting : allForms())
      for (bool corrected : {false, true})
        for (bool updated : {false, true}) {
          const Tensor dense = weightsOf(shape, 3);
          const InputMoments moments = momentsOf(shape[1], shape.size() == 4 ? 9 : 1);
          const Mask mask = magnitudeMask(dense, {0.5, 2, 4});
          Tensor weights = prunedWeights(dense, packMask(mask));
          if (updated) {
            LayerPruning pruning(dense, mask, {.leastSquares = true, .corrected = corrected});
            pruning.prune(moments);
            weights = pruning.weights();
          }
          LayerRounding rounding(updated ? dense : weights, setting.form, setting.range, corrected,
                                 nearest(weights, setting), weights);
          rounding.round(moments);
          const QuantizedWeights codes = rounding.take();
          expectZeros(mask, decoded(codes, setting.form), name(setting.form));
          EXPECT_LE(rounding.power().after, rounding.power().before);
        }
}

TEST(Zeros, AreMadeUpForTogetherWithCodes) {
  const Tensor dense = weightsOf({24, 96}, 5);
  const InputMoments moments = momentsOf(96, 1);
  const Setting setting{grouped(3, 16, false)};
  LayerPruning pruning(dense, {}, {.sparsity = Sparsity{0.5, 2, 4}, .sweep = true});
  pruning.prune(moments);
  LayerRounding together(dense, setting.form, setting.range, false,
                         nearest(pruning.weights(), setting), pruning.weights());
  together.round(moments);
  LayerRounding after(pruning.weights(), setting.form, setting.range, false,
                      nearest(pruning.weights(), setting), pruning.weights());
  after.round(moments);
  LayerRounding compared(dense, setting.form, setting.range, false, after.take(),
                         pruning.weights());
  compared.round(moments);
  EXPECT_LT(together.power().after, together.power().before);
  EXPECT_LE(together.power().after, compared.power().before * (1 + 1e-6));
}

TEST(Zeros, LeaveTheirMeanToTheBiasOnce) {
  const Tensor dense = weightsOf({4, 40}, 8);
  const InputMoments moments = momentsOf(40, 1);
  const Setting setting{grouped(4, 16, true)};
  LayerPruning pruning(dense, {},
                       {.sparsity = Sparsity{.fraction = 0.5}, .sweep = true, .corrected = true});
  pruning.prune(moments);
  LayerRounding rounding(dense, setting.form, setting.range, true,
                         nearest(pruning.weights(), setting), pruning.weights());
  rounding.round(moments);
  const QuantizedWeights codes = rounding.take();
  const Tensor weights = decoded(codes, setting.form);
  for (int64_t o = 0; o < 4; ++o) {
    double mean = 0;
    for (int64_t i = 0; i < 40; ++i)
      mean += (dense.values<float>()[o * 40 + i] -
               static_cast<double>(codes.scales.values<float>()[o]) *
                   weights.values<int8_t>()[o * 40 + i]) *
              moments.mean[i];
    EXPECT_NEAR(pruning.correction().values<float>()[o] + codes.correction.values<float>()[o], mean,
                1e-3);
  }
}

} // namespace
} // namespace sdopt
