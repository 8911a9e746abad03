// Statistics of a small network: right, and the same for any number of threads.

#include "compiler/calibration/Calibration.h"
#include "tests/calibration/SampleFiles.h"
#include "tests/reference/FunctionText.h"
#include "tests/weights/TemporaryFolder.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

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

constexpr const char *kStep = R"(
  func.func @f(%x: tensor<2x3xf32> {sd.name = "x"}, %t: tensor<1xi64> {sd.name = "t"}) -> (tensor<2x3xf32> {sd.name = "y"}) {
    %w = sd.constant dense<[[1.0, -2.0, 0.5], [0.25, 3.0, -1.0], [2.0, 0.0, -0.75]]> : tensor<3x3xf32> loc("w")
    %e = sd.time_embedding %t {cos_first = true, frequency_shift = 0.0 : f64, max_period = 1.0e4 : f64} : (tensor<1xi64>) -> tensor<2x2xf32> loc("e")
    %h = sd.linear %x, %w : (tensor<2x3xf32>, tensor<3x3xf32>) -> tensor<2x3xf32> loc("h")
    return %h : tensor<2x3xf32>
  })";

TEST(Calibrate, KeepsBucketsOfTimesteps) {
  constexpr int kCalls = 24;
  Tensor x = randomFloats({kCalls, 2, 3}, 3, 9), t = Tensor(ElementType::I64, {kCalls});
  std::span<float> values = x.mutableValues<float>();
  for (int call = 0; call < kCalls; ++call) {
    t.mutableValues<int64_t>()[call] = 901 - 300 * (call % 4);
    for (int i = 0; i < 6; ++i)
      values[6 * call + i] *= static_cast<float>(1 + call % 4);
  }
  FunctionText function(kStep);
  ASSERT_TRUE(function.parsed()) << function.messages();
  SampleFile file = sampleFile("x", {{"x", x}, {"t", t}});
  auto calibrated = [&](int threads) {
    return calibrate(function.function(), fastContext(), {file},
                     {.threads = threads, .timestepBuckets = 4});
  };
  auto statistics = calibrated(1);
  ASSERT_TRUE(statistics.ok()) << statistics.status();
  ASSERT_EQ(statistics->timesteps().size(), 4u);
  EXPECT_EQ(statistics->timesteps()[3], (TimestepBuckets::Interval{901, 901}));
  const ValueStatistics &input = *statistics->find("x");
  ASSERT_EQ(input.buckets.size(), 4u);
  MovingExtremes overall;
  std::vector<MovingExtremes> moving(4);
  std::vector<BucketStatistics> expected(4);
  for (int call = 0; call < kCalls; ++call) {
    size_t b = 3 - call % 4;
    std::span<const float> part = values.subspan(6 * call, 6);
    auto [low, high] = std::minmax_element(part.begin(), part.end());
    BucketStatistics &bucket = expected[b];
    overall.add(*low, *high, call == 0);
    bucket.moving.add(*low, *high, call < 4);
    bucket.min = call < 4 ? *low : std::min(bucket.min, *low);
    bucket.max = call < 4 ? *high : std::max(bucket.max, *high);
    bucket.count += 6;
    bucket.histogram.add(part);
    bucket.channelLargest.resize(3);
    for (int i = 0; i < 6; ++i) {
      float &largest = bucket.channelLargest[i % 3];
      largest = std::max(largest, std::fabs(part[i]));
      bucket.sum += part[i];
    }
  }
  EXPECT_EQ(input.moving, overall);
  for (int b = 0; b < 4; ++b) {
    const BucketStatistics &found = input.buckets[b];
    EXPECT_EQ(found.min, expected[b].min);
    EXPECT_EQ(found.max, expected[b].max);
    EXPECT_EQ(found.moving, expected[b].moving);
    EXPECT_EQ(found.count, expected[b].count);
    EXPECT_EQ(found.histogram, expected[b].histogram);
    EXPECT_EQ(found.channelLargest, expected[b].channelLargest);
    EXPECT_NEAR(found.sum, expected[b].sum, 1e-9);
  }
  for (int threads : {2, 5})
    EXPECT_EQ(calibrated(threads)->serialize(), statistics->serialize()) << threads;
  EXPECT_TRUE(Statistics::parse(statistics->serialize(), "s.pb").ok());
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

TEST(CalibrateErrors, ConstantsThatAreNotFinite) {
  std::string text = kNetwork;
  text.replace(text.find("-0.75"), 5, "0x7F800000");
  for (int threads : {1, 4})
    EXPECT_EQ(
        std::string(calibrated(text, randomFloats({5, 2, 3}, 1, 4), threads).status().message()),
        "tensor 'w' of the model is not finite at element 8, so value 'h' is not either");
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

// Buckets of timesteps that no call has filled yet, values above zero, moving averages.
TEST(Calibrate, GoesOnWhereItWasInterrupted) {
  constexpr const char *kTimed = R"(
    func.func @f(%x: tensor<2x3xf32> {sd.name = "x"}, %t: tensor<f32> {sd.name = "t"}) -> (tensor<2x3xf32> {sd.name = "y"}, tensor<1x4xf32> {sd.name = "e"}) {
      %w = sd.constant dense<[[1.0, -2.0, 0.5], [0.25, 3.0, -1.0], [2.0, 0.0, -0.75]]> : tensor<3x3xf32> loc("w")
      %r = sd.reshape %t : tensor<f32> -> tensor<1xf32> loc("r")
      %e = sd.time_embedding %r {cos_first = true, frequency_shift = 0.0 : f64, max_period = 10000.0 : f64} : (tensor<1xf32>) -> tensor<1x4xf32> loc("e")
      %h = sd.linear %x, %w : (tensor<2x3xf32>, tensor<3x3xf32>) -> tensor<2x3xf32> loc("h")
      %y = sd.sigmoid %h : (tensor<2x3xf32>) -> tensor<2x3xf32> loc("y")
      return %y, %e : tensor<2x3xf32>, tensor<1x4xf32>
    })";
  TemporaryFolder folder;
  const std::string file = folder.path("kept/unet.partial.pb");
  FunctionText function(kTimed);
  ASSERT_TRUE(function.parsed()) << function.messages();
  Tensor t(ElementType::F32, {60});
  for (int i = 0; i < 60; ++i)
    t.mutableValues<float>()[i] = static_cast<float>(951 - i / 6 * 100);
  const Tensor x = randomFloats({60, 2, 3}, 3, 1), other = randomFloats({60, 2, 3}, 3, 2);
  struct Interruption {};
  auto run = [&](const Tensor &x, double stopAt, const std::string &partial, int threads) {
    std::vector<double> told;
    CalibrationOptions options{.threads = threads, .partialFile = partial};
    options.progress = [&](double done, int64_t total) {
      EXPECT_EQ(total, 60);
      if (done == stopAt)
        throw Interruption();
      told.push_back(done);
    };
    auto statistics = calibrate(function.function(), fastContext(),
                                {sampleFile("x", {{"x", x}, {"t", t}})}, options);
    EXPECT_TRUE(statistics.ok()) << statistics.status();
    return std::pair(statistics.ok() ? statistics->serialize() : "", told.front());
  };
  const auto whole = run(x, -1, "", 1);
  EXPECT_THROW(run(x, 20, file, 1), Interruption);
  ASSERT_TRUE(std::filesystem::exists(file));
  EXPECT_FALSE(Statistics::load(file).ok()) << "a part is no whole";
  // 18 calls are known; it is interrupted again, and goes on with other threads.
  EXPECT_THROW(run(x, 47, file, 1), Interruption);
  const auto resumed = run(x, -1, file, 3);
  EXPECT_GT(resumed.second, 45);
  EXPECT_EQ(resumed.first, whole.first);
  // Other samples begin at the beginning.
  const auto others = run(other, -1, file, 1);
  EXPECT_LT(others.second, 2);
  EXPECT_EQ(others.first, run(other, -1, "", 1).first);
}

} // namespace
} // namespace sdopt::test
