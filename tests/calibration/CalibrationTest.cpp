// Statistics of a small network: right, and the same for any number of threads.

#include "compiler/calibration/Calibration.h"
#include "tests/calibration/SampleFiles.h"
#include "tests/reference/FunctionText.h"

#include <gmock/gmock.h>

namespace sdopt::test {
namespace {

using ::testing::HasSubstr;

constexpr const char *kNetwork = R"(
  func.func @f(%x: tensor<2x3xf32> {sd.name = "x"}) -> (tensor<2x3xf32> {sd.name = "y"}) {
    %w = sd.constant dense<[[1.0, -2.0, 0.5], [0.25, 3.0, -1.0], [2.0, 0.0, -0.75]]> : tensor<3x3xf32> loc("w")
    %h = sd.linear %x, %w : (tensor<2x3xf32>, tensor<3x3xf32>) -> tensor<2x3xf32> loc("h")
    %y = sd.silu %h : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("y")
    return %y : tensor<2x3xf32>
  })";

absl::StatusOr<Statistics> calibrated(const std::string &text, const Tensor &x, int threads) {
  FunctionText function(text);
  EXPECT_TRUE(function.parsed()) << function.messages();
  return calibrate(function.function(), fastContext(), {sampleFile("x", {{"x", x}})},
                   {.threads = threads});
}

TEST(Calibrate, CountsEveryActivation) {
  Tensor x = randomFloats({40, 2, 3}, 3, 1);
  auto statistics = calibrated(kNetwork, x, 1);
  ASSERT_TRUE(statistics.ok()) << statistics.status();
  ASSERT_EQ(statistics->values().size(), 3u);
  EXPECT_EQ(statistics->find("w"), nullptr);
  EXPECT_EQ(statistics->calls(), 40u);
  const ValueStatistics &input = *statistics->find("x");
  auto values = x.values<float>();
  EXPECT_EQ(input.count, 240u);
  EXPECT_EQ(input.min, *std::min_element(values.begin(), values.end()));
  EXPECT_EQ(input.max, *std::max_element(values.begin(), values.end()));
  double sum = 0, squares = 0;
  for (float value : values) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  EXPECT_NEAR(input.sum, sum, 1e-9);
  EXPECT_NEAR(input.sumOfSquares, squares, 1e-9);
  EXPECT_GE(statistics->find("y")->min, -0.2785f);
  // Only of what layers with weights read.
  EXPECT_EQ(statistics->find("h")->channels.size(), 0u);
  ASSERT_EQ(input.channels.size(), 3u);
  for (size_t c = 0; c < 3; ++c) {
    float low = values[c], high = values[c];
    double channelSum = 0, channelSquares = 0;
    for (size_t i = c; i < values.size(); i += 3) {
      low = std::min(low, values[i]);
      high = std::max(high, values[i]);
      channelSum += values[i];
      channelSquares += static_cast<double>(values[i]) * values[i];
    }
    EXPECT_EQ(input.channels.min[c], low);
    EXPECT_EQ(input.channels.max[c], high);
    EXPECT_NEAR(input.channels.sum[c], channelSum, 1e-9);
    EXPECT_NEAR(input.channels.sumOfSquares[c], channelSquares, 1e-9);
  }
}

TEST(Calibrate, SameBytesForAnyNumberOfThreads) {
  Tensor x = randomFloats({57, 2, 3}, 3, 2);
  auto one = calibrated(kNetwork, x, 1);
  ASSERT_TRUE(one.ok()) << one.status();
  for (int threads : {2, 3, 8}) {
    auto several = calibrated(kNetwork, x, threads);
    ASSERT_TRUE(several.ok()) << several.status();
    EXPECT_EQ(several->serialize(), one->serialize()) << threads;
  }
}

TEST(Calibrate, ReportsProgressInOrder) {
  FunctionText function(kNetwork);
  std::vector<int64_t> seen;
  CalibrationOptions options{.threads = 3, .progress = [&](int64_t done, int64_t total) {
                               EXPECT_EQ(total, 9);
                               seen.push_back(done);
                             }};
  ASSERT_TRUE(calibrate(function.function(), fastContext(),
                        {sampleFile("x", {{"x", randomFloats({9, 2, 3}, 1, 3)}})}, options)
                  .ok());
  EXPECT_THAT(seen, ::testing::ElementsAre(1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST(CalibrateErrors, ValuesThatAreNotFinite) {
  Tensor x = randomFloats({5, 2, 3}, 1, 4);
  x.mutableValues<float>()[3 * 6 + 0] = 3e38f; // overflows in the linear layer
  for (int threads : {1, 4}) {
    auto statistics = calibrated(kNetwork, x, threads);
    EXPECT_THAT(std::string(statistics.status().message()),
                HasSubstr("value 'h' is not finite in evaluation 3"));
  }
}

TEST(CalibrateErrors, TwoValuesOfOneName) {
  std::string text = kNetwork;
  text.replace(text.find("loc(\"h\")"), 8, "loc(\"y\")");
  auto statistics = calibrated(text, randomFloats({1, 2, 3}, 1, 4), 1);
  EXPECT_THAT(std::string(statistics.status().message()), HasSubstr("two values are named 'y'"));
}

} // namespace
} // namespace sdopt::test
