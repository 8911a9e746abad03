// PSNR and SQNR against hand-made errors.

#include "compiler/calibration/Quality.h"
#include "tests/calibration/SampleFiles.h"
#include "tests/reference/FunctionText.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>

namespace sdopt::test {
namespace {

constexpr const char *kModule = R"(
  !q = !quant.uniform<i8:f32, 0.5:0>
  func.func @real(%x: tensor<1x4xf32> {sd.name = "x"}) -> (tensor<1x4xf32> {sd.name = "y"}) {
    %h = sd.unary neg %x : (tensor<1x4xf32>) -> tensor<1x4xf32> loc("h")
    return %h : tensor<1x4xf32>
  }
  func.func @coded(%x: tensor<1x4xf32> {sd.name = "x"}) -> (tensor<1x4xf32> {sd.name = "y"}) {
    %n = sd.unary neg %x : (tensor<1x4xf32>) -> tensor<1x4xf32> loc("n")
    %h = sd.quantize %n : tensor<1x4xf32> -> tensor<1x4x!q> loc("h")
    %y = sd.dequantize %h : tensor<1x4x!q> -> tensor<1x4xf32> loc("y")
    return %y : tensor<1x4xf32>
  })";

class Quality : public ::testing::Test {
protected:
  absl::StatusOr<QualityResult> measure(const NamedTensors &tensors, int threads = 1) {
    auto functions = module_.function()->getParentRegion()->getOps<mlir::func::FuncOp>();
    auto first = functions.begin(), second = std::next(first);
    return measureQuality(*first, *second, fastContext(), {sampleFile("x", tensors)},
                          {.threads = threads});
  }
  FunctionText module_{kModule};
};

TEST_F(Quality, ComparesWithTheFloatFunction) {
  ASSERT_TRUE(module_.parsed()) << module_.messages();
  // Errors: 0.125, 0, -0.25 + ..., 0; call 1 is exact.
  auto result = measure({{"x", floats({2, 1, 4}, {0.125f, 1, 0.375f, 10, 1, 2, 3, 4})}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->outputs[0].againstRecorded);
  EXPECT_EQ(result->samples, 2);
  double squares = 0.125 * 0.125 * 2; // -0.125 -> 0, -0.375 -> -0.5
  double rmse = std::sqrt(squares / 8);
  EXPECT_EQ(result->outputs[0].name, "y");
  EXPECT_NEAR(result->outputs[0].psnr, 20 * std::log10(10 / rmse), 1e-9);
  EXPECT_NEAR(result->outputs[0].worstPsnr, 20 * std::log10(10 / std::sqrt(squares / 4)), 1e-9);
  EXPECT_EQ(result->outputs[0].worstCall, 0);
  ASSERT_EQ(result->layers.size(), 1u);
  EXPECT_EQ(result->layers[0].name, "h");
  double signal = 0.125 * 0.125 + 1 + 0.375 * 0.375 + 100 + 1 + 4 + 9 + 16;
  EXPECT_NEAR(result->layers[0].sqnr, 10 * std::log10(signal / squares), 1e-9);
  EXPECT_EQ(psnr(*result), result->outputs[0].psnr);
}

TEST_F(Quality, ComparesWithRecordedResults) {
  auto result =
      measure({{"x", floats({1, 1, 4}, {1, 1, 1, 1})}, {"y", floats({1, 1, 4}, {-1, -1, -1, -3})}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->outputs[0].againstRecorded);
  EXPECT_NEAR(result->outputs[0].psnr, 20 * std::log10(3.0 / 1.0), 1e-9);
  EXPECT_TRUE(std::isinf(result->layers[0].sqnr));
}

TEST_F(Quality, EachResultIsComparedWithTheRecordedOneIfThereIsOne) {
  FunctionText module(R"(
    func.func @real(%x: tensor<1x4xf32> {sd.name = "x"}) -> (tensor<1x4xf32> {sd.name = "y"}, tensor<4x1xf32> {sd.name = "z"}) {
      %z = sd.reshape %x : tensor<1x4xf32> -> tensor<4x1xf32>
      return %x, %z : tensor<1x4xf32>, tensor<4x1xf32>
    }
    func.func @coded(%x: tensor<1x4xf32> {sd.name = "x"}) -> (tensor<1x4xf32> {sd.name = "y"}, tensor<4x1xf32> {sd.name = "z"}) {
      %z = sd.reshape %x : tensor<1x4xf32> -> tensor<4x1xf32>
      return %x, %z : tensor<1x4xf32>, tensor<4x1xf32>
    })");
  ASSERT_TRUE(module.parsed()) << module.messages();
  auto functions = module.function()->getParentRegion()->getOps<mlir::func::FuncOp>();
  SampleFile file = sampleFile(
      "x", {{"x", floats({1, 1, 4}, {1, 1, 1, 1})}, {"z", floats({1, 4, 1}, {1, 1, 1, 3})}});
  auto result =
      measureQuality(*functions.begin(), *std::next(functions.begin()), fastContext(), {file});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->outputs[0].againstRecorded);
  EXPECT_TRUE(std::isinf(result->outputs[0].psnr));
  EXPECT_TRUE(result->outputs[1].againstRecorded);
  EXPECT_NEAR(result->outputs[1].psnr, 20 * std::log10(3.0 / 1.0), 1e-9);
}

TEST_F(Quality, SameForAnyNumberOfThreads) {
  NamedTensors tensors = {{"x", randomFloats({31, 1, 4}, 7, 8)}};
  auto one = measure(tensors, 1), four = measure(tensors, 4);
  ASSERT_TRUE(one.ok() && four.ok());
  EXPECT_EQ(one->outputs[0].psnr, four->outputs[0].psnr);
  EXPECT_EQ(one->outputs[0].worstCall, four->outputs[0].worstCall);
  EXPECT_EQ(one->layers[0].sqnr, four->layers[0].sqnr);
}

TEST_F(Quality, LayersAlone) {
  FunctionText module(R"(
    !q = !quant.uniform<i8:f32, 0.5:0>
    func.func @real(%x: tensor<1x4xf32> {sd.name = "x"}) -> (tensor<1x4xf32> {sd.name = "y"}) {
      %h = sd.add %x, %x : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<1x4xf32> loc("h")
      %g = sd.add %h, %h : (tensor<1x4xf32>, tensor<1x4xf32>) -> tensor<1x4xf32> loc("g")
      return %g : tensor<1x4xf32>
    }
    func.func @coded(%x: tensor<1x4xf32> {sd.name = "x"}) -> (tensor<1x4xf32> {sd.name = "y"}) {
      %q = sd.quantize %x : tensor<1x4xf32> -> tensor<1x4x!q> loc("x")
      %h = sd.add %q, %q : (tensor<1x4x!q>, tensor<1x4x!q>) -> tensor<1x4x!q> loc("h")
      %g = sd.add %h, %h : (tensor<1x4x!q>, tensor<1x4x!q>) -> tensor<1x4x!q> loc("g")
      %y = sd.dequantize %g : tensor<1x4x!q> -> tensor<1x4xf32> loc("y")
      return %y : tensor<1x4xf32>
    })");
  ASSERT_TRUE(module.parsed()) << module.messages();
  auto functions = module.function()->getParentRegion()->getOps<mlir::func::FuncOp>();
  SampleFile file = sampleFile("x", {{"x", floats({1, 1, 4}, {0.3f, 0.3f, 0.3f, 0.3f})}});
  auto result =
      measureQuality(*functions.begin(), *std::next(functions.begin()), fastContext(), {file});
  ASSERT_TRUE(result.ok()) << result.status();
  std::map<std::string, LayerQuality> layers;
  for (const LayerQuality &layer : result->layers)
    layers[layer.name] = layer;
  // h is 1 instead of 0.6. g is 2 instead of 1.2, and 1 where it reads the code of 0.6.
  EXPECT_NEAR(layers["h"].sqnr, 20 * std::log10(0.6 / 0.4), 1e-4);
  EXPECT_NEAR(layers["h"].isolatedSqnr, 20 * std::log10(0.6 / 0.4), 1e-4);
  EXPECT_NEAR(layers["g"].sqnr, 20 * std::log10(1.2 / 0.8), 1e-4);
  EXPECT_NEAR(layers["g"].isolatedSqnr, 20 * std::log10(1.2 / 0.2), 1e-4);
  EXPECT_EQ(layers["x"].isolatedSqnr, 0) << "a code is no layer";
  EXPECT_NEAR(layers["g"].cosine, 1, 1e-9);
}

constexpr const char *kStep = R"(
  !q = !quant.uniform<i8:f32, 0.5:0>
  func.func @real(%x: tensor<2x2xf32> {sd.name = "x"}, %t: tensor<1xi64> {sd.name = "t"}) -> (tensor<2x2xf32> {sd.name = "y"}) {
    %e = sd.time_embedding %t {cos_first = true, frequency_shift = 0.0 : f64, max_period = 1.0e4 : f64} : (tensor<1xi64>) -> tensor<2x2xf32> loc("e")
    return %x : tensor<2x2xf32>
  }
  func.func @coded(%x: tensor<2x2xf32> {sd.name = "x"}, %t: tensor<1xi64> {sd.name = "t"}) -> (tensor<2x2xf32> {sd.name = "y"}) {
    %h = sd.quantize %x : tensor<2x2xf32> -> tensor<2x2x!q> loc("h")
    %y = sd.dequantize %h : tensor<2x2x!q> -> tensor<2x2xf32> loc("y")
    return %y : tensor<2x2xf32>
  })";

TEST_F(Quality, IsToldByTimestep) {
  FunctionText module(kStep);
  ASSERT_TRUE(module.parsed()) << module.messages();
  auto functions = module.function()->getParentRegion()->getOps<mlir::func::FuncOp>();
  // Calls 0 and 2 (timestep 900) are exact, call 1 (timestep 1) is 0.25 off everywhere; no pairs,
  // since all rows differ in the latent.
  SampleFile file = sampleFile(
      "t", {{"x", floats({3, 2, 2}, {1, 2, 3, 4, 0.25f, 1.25f, 2.25f, 3.25f, 8, 2, 1, 1})},
            {"t", floats({3}, {900, 1, 900}).converted(ElementType::I64)}});
  auto result =
      measureQuality(*functions.begin(), *std::next(functions.begin()), fastContext(), {file});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->timesteps.size(), 2u);
  EXPECT_EQ(result->timesteps[0].timesteps, (TimestepBuckets::Interval{1, 1}));
  EXPECT_EQ(result->timesteps[0].calls, 1);
  EXPECT_NEAR(result->timesteps[0].psnr, 20 * std::log10(8 / 0.25), 1e-9);
  EXPECT_EQ(result->timesteps[0].worstPsnr, result->timesteps[0].psnr);
  EXPECT_EQ(result->timesteps[1].calls, 2);
  EXPECT_TRUE(std::isinf(result->timesteps[1].psnr));
  EXPECT_EQ(result->guidance.pairs, 0);
  EXPECT_EQ(result->outputs[0].worstCall, 1);
}

TEST_F(Quality, WithoutATimestepThereAreNoBuckets) {
  auto result = measure({{"x", floats({2, 1, 4}, {1, 1, 1, 1, 2, 2, 2, 2})}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->buckets.empty() && result->timesteps.empty());
}

} // namespace
} // namespace sdopt::test
