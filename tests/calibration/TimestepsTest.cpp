// Buckets of timesteps, and which argument is one.

#include "compiler/calibration/Timesteps.h"
#include "tests/calibration/SampleFiles.h"
#include "tests/reference/FunctionText.h"

#include <gmock/gmock.h>

namespace sdopt::test {
namespace {

using ::testing::ElementsAre;

TEST(TimestepBuckets, AreEquallyFullAndAscending) {
  std::vector<double> timesteps;
  for (int trajectory = 0; trajectory < 3; ++trajectory)
    for (int step = 19; step >= 0; --step)
      timesteps.push_back(step * 50 + 1);
  TimestepBuckets buckets(timesteps, 5);
  ASSERT_EQ(buckets.size(), 5u);
  EXPECT_EQ(buckets.intervals()[0], (TimestepBuckets::Interval{1, 151}));
  EXPECT_EQ(buckets.intervals()[4], (TimestepBuckets::Interval{801, 951}));
  std::vector<int> calls(5);
  for (double timestep : timesteps)
    ++calls[buckets.indexOf(timestep)];
  EXPECT_THAT(calls, ElementsAre(12, 12, 12, 12, 12));
}

TEST(TimestepBuckets, CallsOfOneTimestepStayTogether) {
  TimestepBuckets buckets({1, 1, 1, 1, 1, 1, 500, 900}, 4);
  ASSERT_EQ(buckets.size(), 2u);
  EXPECT_EQ(buckets.intervals()[0], (TimestepBuckets::Interval{1, 1}));
  EXPECT_EQ(buckets.intervals()[1], (TimestepBuckets::Interval{500, 900}));
}

TEST(TimestepBuckets, OtherTimestepsBelongToTheBucketBelow) {
  TimestepBuckets buckets({10, 20, 30, 40}, 2);
  EXPECT_EQ(buckets.indexOf(-5), 0u);
  EXPECT_EQ(buckets.indexOf(29), 0u);
  EXPECT_EQ(buckets.indexOf(30), 1u);
  EXPECT_EQ(buckets.indexOf(1e9), 1u);
  EXPECT_EQ(TimestepBuckets({7, 7, 7}, 8).size(), 1u);
  EXPECT_EQ(TimestepBuckets({}, 8).size(), 1u);
}

TEST(TimestepBuckets, NoBucketIsEmpty) {
  uint64_t state = 1;
  for (size_t count : {1, 2, 5, 8, 100})
    for (int calls = 1; calls < 60; calls += 7) {
      std::vector<double> timesteps;
      for (int i = 0; i < calls; ++i)
        timesteps.push_back(static_cast<double>(
            (state = state * 6364136223846793005u + 1442695040888963407u) >> 60));
      TimestepBuckets buckets(timesteps, count);
      EXPECT_LE(buckets.size(), count);
      std::vector<int> seen(buckets.size());
      for (double timestep : timesteps) {
        size_t index = buckets.indexOf(timestep);
        EXPECT_LE(buckets.intervals()[index].first, timestep);
        EXPECT_GE(buckets.intervals()[index].last, timestep);
        ++seen[index];
      }
      EXPECT_THAT(seen, ::testing::Each(::testing::Gt(0)));
    }
}

TEST(TimestepInput, IsWhatATimeEmbeddingReads) {
  FunctionText module(R"(
    func.func @unet(%x: tensor<2x3xf32> {sd.name = "sample"}, %ids: tensor<2x6xf32> {sd.name = "time_ids"}, %t: tensor<1xi64> {sd.name = "t"})
        -> (tensor<2x4xf32> {sd.name = "y"}) {
      %r = sd.reshape %t : tensor<1xi64> -> tensor<1x1xi64>
      %e = sd.time_embedding %t {cos_first = true, frequency_shift = 0.0 : f64, max_period = 1.0e4 : f64} : (tensor<1xi64>) -> tensor<2x4xf32> loc("e")
      return %e : tensor<2x4xf32>
    })");
  ASSERT_TRUE(module.parsed()) << module.messages();
  EXPECT_EQ(timestepInput(module.function()), 2);
  SampleFile file = sampleFile("t", {{"sample", floats({3, 2, 3}, std::vector<float>(18))},
                                     {"time_ids", floats({3, 2, 6}, std::vector<float>(36))},
                                     {"t", floats({3}, {981, 1, 41}).converted(ElementType::I64)}});
  auto reader = SampleReader::open(module.function(), {file});
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_THAT(*timestepsOf(module.function(), *reader), ElementsAre(981, 1, 41));
}

TEST(TimestepInput, IsMissingElsewhere) {
  FunctionText module(R"(
    func.func @vae(%x: tensor<1xf32> {sd.name = "x"}) -> (tensor<1xf32> {sd.name = "y"}) {
      return %x : tensor<1xf32>
    })");
  ASSERT_TRUE(module.parsed()) << module.messages();
  EXPECT_EQ(timestepInput(module.function()), -1);
}

} // namespace
} // namespace sdopt::test
