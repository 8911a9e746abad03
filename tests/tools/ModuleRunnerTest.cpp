#include "tools/sdopt-run/ModuleRunner.h"
#include "tools/sdopt-run/RunModule.h"
#include "tools/sdopt-run/RunZoom.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

using namespace sdopt;
using ::testing::HasSubstr;

namespace {

std::vector<TensorInfo> unetTensors() {
  TensorInfo sample{.name = "sample", .role = TensorRole::Input, .logicalShape = {2, 3}};
  TensorInfo time{.name = "timestep", .role = TensorRole::Input, .logicalShape = {1}};
  TensorInfo out{.name = "out", .role = TensorRole::Output, .logicalShape = {2, 3}};
  return {sample, time, out, TensorInfo()};
}

Tensor counting(const Shape &shape) {
  Tensor tensor(ElementType::F32, shape);
  std::iota(tensor.mutableValues<float>().begin(), tensor.mutableValues<float>().end(), 0.0f);
  return tensor;
}

Tensor times(std::vector<int64_t> values) {
  return Tensor::of<int64_t>({static_cast<int64_t>(values.size())}, values);
}

/// out = sample + 100 * timestep.
absl::StatusOr<TensorMap> fake(const TensorMap &record) {
  const Tensor &sample = record.at("sample");
  EXPECT_EQ(sample.shape(), (Shape{2, 3}));
  EXPECT_EQ(record.at("timestep").shape(), (Shape{1}));
  Tensor out(ElementType::F32, sample.shape());
  for (int64_t i = 0; i < 6; ++i)
    out.mutableValues<float>()[i] =
        sample.values<float>()[i] +
        100.0f * static_cast<float>(record.at("timestep").values<int64_t>()[0]);
  return TensorMap{{"out", out}};
}

std::string runError(const TensorMap &inputs) {
  absl::StatusOr<TensorMap> outputs = runRecords(unetTensors(), inputs, fake);
  EXPECT_FALSE(outputs.ok());
  return std::string(outputs.status().message());
}

} // namespace

TEST(Records, RunOneByOne) {
  int64_t observed = 0;
  absl::StatusOr<TensorMap> outputs = runRecords(
      unetTensors(), {{"sample", counting({4, 2, 3})}, {"timestep", times({1, 2, 3, 4})}}, fake,
      [&](int64_t done, int64_t records) {
        EXPECT_EQ(done, ++observed);
        EXPECT_EQ(records, 4);
      });
  ASSERT_TRUE(outputs.ok()) << outputs.status().message();
  const Tensor &out = outputs->at("out");
  EXPECT_EQ(out.shape(), (Shape{4, 2, 3}));
  for (int64_t i = 0; i < 24; ++i)
    EXPECT_EQ(out.values<float>()[i], static_cast<float>(i + 100 * (i / 6 + 1)));
}

TEST(Records, RowsAreGroupedAndTheLastFilledUp) {
  absl::StatusOr<TensorMap> outputs =
      runRecords(unetTensors(), {{"sample", counting({5, 3})}, {"timestep", times({7})}}, fake);
  ASSERT_TRUE(outputs.ok()) << outputs.status().message();
  const Tensor &out = outputs->at("out");
  EXPECT_EQ(out.shape(), (Shape{5, 3}));
  for (int64_t i = 0; i < 15; ++i)
    EXPECT_EQ(out.values<float>()[i], static_cast<float>(i + 700));
}

TEST(Records, RowsOfACallAreSeveralBatches) {
  absl::StatusOr<TensorMap> outputs = runRecords(
      unetTensors(), {{"sample", counting({2, 6, 3})}, {"timestep", times({7, 8})}}, fake);
  ASSERT_TRUE(outputs.ok()) << outputs.status().message();
  const Tensor &out = outputs->at("out");
  EXPECT_EQ(out.shape(), (Shape{2, 6, 3}));
  for (int64_t i = 0; i < 36; ++i)
    EXPECT_EQ(out.values<float>()[i], static_cast<float>(i + (i < 18 ? 700 : 800)));
}

TEST(Records, ScalarTimestep) {
  absl::StatusOr<TensorMap> outputs =
      runRecords(unetTensors(),
                 {{"sample", counting({1, 2, 3})}, {"timestep", Tensor::scalar<int64_t>(1)}}, fake);
  ASSERT_TRUE(outputs.ok()) << outputs.status().message();
  EXPECT_EQ(outputs->at("out").values<float>()[5], 105.0f);
}

TEST(Records, ErrorsNameTheInput) {
  EXPECT_THAT(runError({{"sample", counting({4, 2, 3})}}),
              HasSubstr("no input 'timestep' of shape 1"));
  EXPECT_THAT(runError({{"sample", counting({4, 3, 2})}, {"timestep", times({1})}}),
              HasSubstr("input 'sample' has shape 4x3x2; needed: N records of 2x3"));
  EXPECT_THAT(runError({{"sample", counting({4, 2, 3})}, {"timestep", times({1, 2, 3})}}),
              HasSubstr("input 'timestep' has shape 3; needed: 4 records"));
  EXPECT_THAT(runError({{"sample", counting({0, 2, 3})}, {"timestep", times({1})}}),
              HasSubstr("one record or more"));
}

TEST(Quality, PeakSignalToNoise) {
  const float reference[] = {3, -4}, value[] = {3, -4.04f};
  Tensor a = Tensor::of<float>({2}, reference), b = Tensor::of<float>({2}, value);
  EXPECT_NEAR(peakSignalToNoise(a, b), 20 * std::log10(4 / (0.04 / std::sqrt(2.0))), 1e-3);
  EXPECT_TRUE(std::isinf(peakSignalToNoise(a, a)));
}

TEST(Rates, FromTheModulesTotals) {
  ModuleTotals text, unet;
  text.sum.seconds = 0.5;
  text.sum.energy = 1;
  unet.sum.seconds = 3.5;
  unet.sum.energy = 7;
  ModelledRates rates = modelledRates({text, unet}, 2);
  EXPECT_DOUBLE_EQ(rates.imagesPerSecond, 0.5);
  EXPECT_DOUBLE_EQ(rates.imagesPerJoule, 0.25);
  EXPECT_DOUBLE_EQ(rates.secondsPerImage, 2);
  EXPECT_DOUBLE_EQ(rates.joulesPerImage, 4);
}

TEST(ModelIndex, ScalingFactor) {
  EXPECT_FLOAT_EQ(*scalingFactor(R"({"vae_scaling_factor": 0.18215})"), 0.18215f);
  EXPECT_THAT(std::string(scalingFactor("{}").status().message()),
              HasSubstr("no 'vae_scaling_factor'"));
  EXPECT_FALSE(scalingFactor("nonsense").ok());
  EXPECT_FALSE(scalingFactor(R"({"vae_scaling_factor": -1})").ok());
  EXPECT_FALSE(scalingFactor(R"({"vae_scaling_factor": "x"})").ok());
}
