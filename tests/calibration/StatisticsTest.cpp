// The statistics file: round trip, refusal of bad files; digests of functions; scales survive text.

#include "compiler/calibration/Statistics.h"
#include "compiler/calibration/statistics.pb.h"
#include "tests/reference/FunctionText.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

namespace sdopt::test {
namespace {

using ::testing::HasSubstr;

Statistics sample() {
  ValueStatistics a{.name = "a", .min = -1, .max = 2, .sum = 0.1, .sumOfSquares = 5, .count = 3};
  a.channels = {
      .min = {-1, 0, 2}, .max = {-1, 0.5f, 2}, .sum = {-1, 0.5, 2}, .sumOfSquares = {1, 0.25, 4}};
  a.histogram.add(std::vector<float>{-1, 2, 0.5f});
  ValueStatistics b{.name = "b"};
  return Statistics("func", "data", 7, {a, b});
}

std::string message(const absl::Status &status) {
  return std::string(status.message().data(), status.message().size());
}

TEST(StatisticsFile, RoundTrip) {
  Statistics statistics = sample();
  auto parsed = Statistics::parse(statistics.serialize(), "s.pb");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->values(), statistics.values());
  EXPECT_EQ(parsed->functionDigest(), "func");
  EXPECT_EQ(parsed->samplesDigest(), "data");
  EXPECT_EQ(parsed->calls(), 7u);
  EXPECT_EQ(parsed->serialize(), statistics.serialize());
  EXPECT_EQ(parsed->find("a")->count, 3u);
  EXPECT_EQ(parsed->find("c"), nullptr);
}

/// A value in two buckets of timesteps.
Statistics bucketed() {
  ValueStatistics a{.name = "a", .min = -1, .max = 2, .moving = {-0.5, 1}, .count = 3};
  a.channels = {
      .min = {-1, 0, 2}, .max = {-1, 0.5f, 2}, .sum = {-1, 0.5, 2}, .sumOfSquares = {1, 0.25, 4}};
  a.histogram.add(std::vector<float>{-1, 2, 0.5f});
  a.buckets = {{.min = -1, .max = 2, .moving = {-1, 2}, .sum = 1, .sumOfSquares = 5, .count = 2},
               {.min = 0.5f, .max = 0.5f, .moving = {0.5, 0.5}, .sum = 0.5, .count = 1}};
  a.buckets[0].histogram.add(std::vector<float>{-1, 2});
  a.buckets[1].histogram.add(std::vector<float>{0.5f});
  for (BucketStatistics &bucket : a.buckets)
    bucket.channelLargest = {1, 0.5f, 2};
  return Statistics("func", "data", 2, {a}, {{1, 401}, {451, 951}});
}

TEST(StatisticsFile, RoundTripOfBuckets) {
  Statistics statistics = bucketed();
  auto parsed = Statistics::parse(statistics.serialize(), "s.pb");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->values(), statistics.values());
  EXPECT_EQ(parsed->timesteps(), statistics.timesteps());
  EXPECT_EQ(parsed->serialize(), statistics.serialize());
}

TEST(StatisticsFile, RefusesBadBuckets) {
  auto edited = [](const std::function<void(calibration::StatisticsFile &)> &edit) {
    calibration::StatisticsFile file;
    EXPECT_TRUE(file.ParseFromString(bucketed().serialize()));
    edit(file);
    return message(Statistics::parse(file.SerializeAsString(), "s.pb").status());
  };
  auto bucket = [&](auto edit) {
    return edited([&](auto &file) { edit(*file.mutable_values(0)->mutable_buckets(1)); });
  };
  EXPECT_THAT(edited([](auto &file) { file.mutable_timesteps()->RemoveLast(); }),
              HasSubstr("value 'a' has 2 buckets of timesteps but must have 0"));
  EXPECT_THAT(edited([](auto &file) { file.clear_timesteps(); }),
              HasSubstr("there is no bucket of timesteps"));
  EXPECT_THAT(edited([](auto &file) { file.mutable_timesteps(1)->set_first(401); }),
              HasSubstr("bucket 1 of timesteps is not in ascending order"));
  EXPECT_THAT(edited([](auto &file) { file.mutable_values(0)->set_average_max(2.1); }),
              HasSubstr("value 'a' has moving averages beyond its range"));
  EXPECT_THAT(bucket([](auto &b) { b.set_max(-HUGE_VALF); }),
              HasSubstr("bucket 1 of value 'a' has no finite range"));
  EXPECT_THAT(bucket([](auto &b) { b.set_average_min(0.1); }),
              HasSubstr("bucket 1 of value 'a' has moving averages beyond its range"));
  EXPECT_THAT(bucket([](auto &b) { b.set_first_bin(256); }), HasSubstr("does not fit 512 bins"));
  EXPECT_THAT(bucket([](auto &b) { b.set_count(2); }), HasSubstr("counts 1 elements"));
  EXPECT_THAT(bucket([](auto &b) { b.add_channel_largest(1); }),
              HasSubstr("tells of 4 channels instead of 3"));
  EXPECT_THAT(bucket([](auto &b) { b.set_channel_largest(0, -1); }),
              HasSubstr("has a channel of no magnitude"));
  EXPECT_THAT(bucket([](auto &b) {
                b.set_max(3);
                b.set_average_max(3);
              }),
              HasSubstr("bucket 1 of value 'a' is not within the value's range"));
  EXPECT_THAT(bucket([](auto &b) {
                b.set_bins(0, 2);
                b.set_count(2);
              }),
              HasSubstr("buckets of value 'a' count 4 elements but must count 3"));
}

TEST(StatisticsFile, SaveAndLoad) {
  std::string path = ::testing::TempDir() + "statistics-test.pb";
  ASSERT_TRUE(sample().save(path).ok());
  auto loaded = Statistics::load(path);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->serialize(), sample().serialize());
  std::remove(path.c_str());
  EXPECT_THAT(message(Statistics::load(path).status()), HasSubstr("statistics-test.pb"));
}

std::string failureAfter(const std::function<void(calibration::StatisticsFile &)> &edit) {
  calibration::StatisticsFile file;
  EXPECT_TRUE(file.ParseFromString(sample().serialize()));
  edit(file);
  return message(Statistics::parse(file.SerializeAsString(), "s.pb").status());
}

TEST(StatisticsFile, RefusesBadChannels) {
  auto edited = [](auto edit) {
    return failureAfter([&](calibration::StatisticsFile &file) { edit(*file.mutable_values(0)); });
  };
  EXPECT_THAT(edited([](auto &value) { value.add_channel_max(0); }),
              HasSubstr("value 'a' does not tell the same of all channels"));
  EXPECT_THAT(edited([](auto &value) {
                value.add_channel_min(0);
                value.add_channel_max(0);
                value.add_channel_sum(0);
                value.add_channel_sum_of_squares(0);
              }),
              HasSubstr("does not tell the same of all channels")); // 3 elements, 4 channels
  EXPECT_THAT(edited([](auto &value) { value.set_channel_max(1, 3); }),
              HasSubstr("channel 1 of value 'a' has no range within the value's"));
  EXPECT_THAT(edited([](auto &value) { value.set_channel_sum(2, HUGE_VAL); }),
              HasSubstr("channel 2 of value 'a'"));
}

TEST(StatisticsFile, RefusesBadFiles) {
  EXPECT_THAT(message(Statistics::parse("\xff\xff\xff", "s.pb").status()),
              HasSubstr("'s.pb' is not a statistics file"));
  EXPECT_THAT(failureAfter([](auto &file) { file.set_version(9); }), HasSubstr("version 9"));
  EXPECT_THAT(failureAfter([](auto &file) { file.mutable_values(0)->set_max(INFINITY); }),
              HasSubstr("value 'a' has no finite range"));
  EXPECT_THAT(failureAfter([](auto &file) { file.mutable_values(0)->set_min(3); }),
              HasSubstr("value 'a' has no finite range"));
  EXPECT_THAT(failureAfter([](auto &file) { file.mutable_values(0)->set_first_bin(1024); }),
              HasSubstr("histogram of value 'a' does not fit"));
  EXPECT_THAT(failureAfter([](auto &file) { file.mutable_values(0)->set_count(4); }),
              HasSubstr("counts 3 elements but must count 4"));
  EXPECT_THAT(failureAfter([](auto &file) { file.mutable_values(1)->set_name("a"); }),
              HasSubstr("holds a value twice"));
  EXPECT_THAT(failureAfter([](auto &file) { file.mutable_values(1)->clear_name(); }),
              HasSubstr("a value has no name"));
}

std::string digestOf(const std::string &text) {
  FunctionText function(text);
  EXPECT_TRUE(function.parsed()) << function.messages();
  return functionDigest(function.function());
}

TEST(FunctionDigest, CountsOperationsAndNames) {
  auto text = [](const std::string &kind, const std::string &name) {
    return "func.func @f(%x: tensor<2xf32>) -> tensor<2xf32> {\n %y = sd.unary " + kind +
           " %x : (tensor<2xf32>) -> tensor<2xf32> loc(\"" + name +
           "\")\n return %y : tensor<2xf32> loc(\"r\")\n} loc(\"f\")";
  };
  EXPECT_EQ(digestOf(text("neg", "y")), digestOf(text("neg", "y")));
  EXPECT_NE(digestOf(text("neg", "y")), digestOf(text("abs", "y")));
  EXPECT_NE(digestOf(text("neg", "y")), digestOf(text("neg", "z")));
}

TEST(CodeTypes, ScalesSurvivePrintingAndParsing) {
  FunctionText context("func.func @f() { return }");
  mlir::MLIRContext *mlirContext = context.function()->getContext();
  for (int i = 1; i < 2000; ++i) {
    double scale = static_cast<double>(static_cast<float>(1.0 / (i * 7.3 + i * i)));
    auto type = mlir::quant::UniformQuantizedType::get(
        mlir::quant::QuantizationFlags::Signed, mlir::IntegerType::get(mlirContext, 16),
        mlir::Float32Type::get(mlirContext), scale, 0, -32768, 32767);
    std::string text;
    llvm::raw_string_ostream(text) << type;
    FunctionText parsed("func.func @f(%x: tensor<1x" + text + ">) { return }");
    ASSERT_TRUE(parsed.parsed()) << parsed.messages();
    ASSERT_EQ(codeScale(parsed.function().getArgumentTypes()[0]), scale) << text;
    i += i / 10;
  }
}

} // namespace
} // namespace sdopt::test
