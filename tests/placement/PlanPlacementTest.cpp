// planPlacement: published instances, properties of random ones, errors.

#include "tests/placement/Instances.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>

namespace sdopt {
namespace {

using testing::HasSubstr;

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

std::vector<LiveBuffer> published(const std::string &name) {
  const auto buffers = readInstance(std::string(SDOPT_TESTDATA) + "/minimalloc/" + name + ".csv");
  EXPECT_TRUE(buffers.ok()) << buffers.status();
  return buffers.value_or(std::vector<LiveBuffer>());
}

Placement placed(const std::vector<LiveBuffer> &buffers, const PlacementOptions &options = {}) {
  const absl::StatusOr<Placement> placement = searchPlacement(buffers, options);
  EXPECT_TRUE(placement.ok()) << placement.status();
  if (!placement.ok())
    return {};
  EXPECT_EQ(checkPlacement(buffers, *placement), absl::OkStatus());
  return *placement;
}

std::string message(const std::vector<LiveBuffer> &buffers, const PlacementOptions &options = {}) {
  return std::string(planPlacement(buffers, options).status().message());
}

TEST(Published, AllFitTheirCapacity) {
  const std::map<std::string, size_t> counts = {{"A", 154}, {"B", 170}, {"C", 203}, {"D", 213},
                                                {"E", 215}, {"F", 296}, {"G", 308}, {"H", 316},
                                                {"I", 374}, {"J", 409}, {"K", 454}};
  for (const auto &[name, count] : counts) {
    const std::vector<LiveBuffer> buffers = published(name + ".1048576");
    ASSERT_EQ(buffers.size(), count);
    // Far below the default nodes, so that a search that gets worse is noticed.
    PlacementOptions options = {.capacity = 1048576, .goal = PlacementGoal::Fit};
    options.climbNodes = 20'000;
    options.exactNodes = 1'000'000;
    const Placement placement = placed(buffers, options);
    EXPECT_LE(placement.peak, 1048576) << name;
    EXPECT_EQ(placement.method, PlacementMethod::Exact) << name;
  }
  EXPECT_EQ(placed(published("input.12"), {.capacity = 12}).peak, 12);
}

TEST(Published, HillClimbIsNear) {
  for (char name = 'A'; name <= 'K'; ++name) {
    PlacementOptions options = {.capacity = 1048576, .goal = PlacementGoal::Fit};
    options.methods = {PlacementMethod::HillClimb};
    options.climbNodes = 50'000;
    EXPECT_LE(placed(published(std::string(1, name) + ".1048576"), options).peak, 1048576 * 5 / 4)
        << name;
  }
}

TEST(Published, TheRunningExampleIsSmallest) {
  const Placement placement = placed(published("input.12"));
  EXPECT_EQ(placement.lowerBound, 12);
  EXPECT_TRUE(placement.smallest);
}

TEST(PlanPlacement, EqualsEveryOrderOfTinyInstances) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    RandomShape shape = {.buffers = 2 + round % 6, .steps = 6, .mostSize = 12};
    if (round % 2)
      shape.alignments = {1, 4};
    const std::vector<LiveBuffer> buffers = randomBuffers(random, shape);
    const Placement placement = placed(buffers);
    EXPECT_EQ(placement.peak, bruteForcePeak(buffers)) << "round " << round;
    EXPECT_TRUE(placement.smallest);
  }
}

TEST(PlanPlacement, EachMethodIsSoundAndLaterOnesAreNotWorse) {
  std::mt19937 random(8);
  for (int round = 0; round < 60; round += 3) {
    const RandomShape shape = {
        .buffers = 10 + round, .steps = 30, .mostSize = 5000, .alignments = {1, 16, 64}};
    const std::vector<LiveBuffer> buffers = randomBuffers(random, shape);
    PlacementOptions options = {.climbNodes = 5'000, .exactNodes = 20'000};
    int64_t peak = kMost;
    for (const std::vector<PlacementMethod> &methods :
         {std::vector{PlacementMethod::Greedy},
          std::vector{PlacementMethod::Greedy, PlacementMethod::HillClimb}, options.methods}) {
      options.methods = methods;
      const Placement placement = placed(buffers, options);
      EXPECT_LE(placement.peak, peak);
      EXPECT_GE(placement.peak, placement.lowerBound);
      peak = placement.peak;
    }
    for (PlacementMethod method : {PlacementMethod::HillClimb, PlacementMethod::Exact}) {
      options.methods = {method};
      EXPECT_EQ(placed(buffers, options).method, method);
    }
  }
}

TEST(PlanPlacement, IsTheSameEveryTime) {
  std::mt19937 random(9);
  for (int round = 0; round < 10; ++round) {
    const std::vector<LiveBuffer> buffers =
        randomBuffers(random, {.buffers = 80, .steps = 40, .mostSize = 1000});
    const PlacementOptions options = {.climbNodes = 5'000, .exactNodes = 30'000};
    const Placement a = placed(buffers, options), b = placed(buffers, options);
    EXPECT_EQ(a.offsets, b.offsets);
    EXPECT_EQ(a.nodes, b.nodes);
  }
}

TEST(PlanPlacement, ABufferMayStartWhereAnotherEnds) {
  const std::vector<LiveBuffer> buffers = {{.size = 128, .first = 0, .last = 2},
                                           {.size = 128, .first = 2, .last = 4}};
  EXPECT_EQ(placed(buffers).peak, 128);
}

TEST(PlanPlacement, EmptyBuffersAreInNobodysWay) {
  EXPECT_EQ(placed({}).peak, 0);
  EXPECT_TRUE(placed({}).smallest);
  const std::vector<LiveBuffer> buffers = {{.size = 0, .first = 0, .last = 9, .alignment = 64},
                                           {.size = 70, .first = 3, .last = 3},
                                           {.size = 70, .first = 0, .last = 9, .alignment = 64}};
  const Placement placement = placed(buffers, {.capacity = 70});
  EXPECT_EQ(placement.peak, 70);
  EXPECT_EQ(placement.offsets, std::vector<int64_t>({0, 0, 0}));
  EXPECT_EQ(checkPlacement(buffers, placement, 70), absl::OkStatus());
}

TEST(PlanPlacement, AlignmentIsCountedBelowTheTopOnly) {
  const std::vector<LiveBuffer> buffers = {{.size = 65, .first = 0, .last = 1, .alignment = 64},
                                           {.size = 1, .first = 0, .last = 1, .alignment = 64}};
  const Placement placement = placed(buffers);
  EXPECT_EQ(placement.peak, 129); // either way round one lies on the other's padding
  EXPECT_EQ(placement.lowerBound, 66);
  EXPECT_TRUE(placement.smallest);
}

TEST(PlanPlacement, NegativeTimesAndTheWholeOfTime) {
  const std::vector<LiveBuffer> buffers = {
      {.size = 8, .first = std::numeric_limits<int64_t>::min(), .last = kMost},
      {.size = 4, .first = -5, .last = -1},
      {.size = 4, .first = -1, .last = 7}};
  EXPECT_EQ(placed(buffers).peak, 12);
}

TEST(PlanPlacement, SizesNearTheEndOfTheRange) {
  const int64_t half = int64_t{1} << 62;
  // One after the other, as large as can be.
  EXPECT_EQ(placed({{.size = kMost - 1, .first = 0, .last = 1},
                    {.size = kMost - 1, .first = 1, .last = 2}})
                .peak,
            kMost - 1);
  EXPECT_EQ(placed({{.size = half - 1, .first = 0, .last = 2, .alignment = 64},
                    {.size = half - 64, .first = 0, .last = 1, .alignment = 64},
                    {.size = half - 64, .first = 1, .last = 2, .alignment = 64}})
                .peak,
            kMost - 64);
  const std::string tooMuch = message({{.size = half, .first = 0, .last = 2, .name = "a"},
                                       {.size = half, .first = 1, .last = 2, .name = "b"}});
  EXPECT_THAT(tooMuch, HasSubstr("buffer 'b' of 4611686018427387904 bytes is alive with others "
                                 "that take 2^63 - 1 bytes or more"));
  // Not too many bytes, but alignment puts the end of either order beyond the range.
  const std::string notPlaced =
      message({{.size = half + 1, .first = 0, .last = 2, .alignment = half},
               {.size = half - 100, .first = 1, .last = 2, .alignment = half}});
  EXPECT_THAT(notPlaced, HasSubstr("were not placed below 2^63 - 1"));
}

TEST(PlanPlacement, ThousandsOfBuffers) {
  std::mt19937 random(10);
  std::vector<LiveBuffer> buffers =
      randomBuffers(random, {.buffers = 3000, .steps = 4000, .mostSize = 100000});
  for (LiveBuffer &b : buffers)
    b.last = std::min(b.last, b.first + 40);
  const Placement placement = placed(buffers, {.climbNodes = 10'000});
  EXPECT_LE(static_cast<double>(placement.peak), 1.3 * static_cast<double>(placement.lowerBound));
  // As many in one section, where there is nothing to choose.
  for (LiveBuffer &b : buffers)
    b.first = 0, b.last = 1;
  EXPECT_EQ(placed(buffers).peak, placed(buffers).lowerBound);
}

TEST(PlanPlacement, ExactTakesAsManyAsItSays) {
  std::mt19937 random(11);
  std::vector<LiveBuffer> buffers =
      randomBuffers(random, {.buffers = kMostExactBuffers, .steps = 2000, .mostSize = 1000});
  for (LiveBuffer &b : buffers)
    b.last = std::min(b.last, b.first + 30);
  PlacementOptions options = {.methods = {PlacementMethod::Greedy, PlacementMethod::Exact}};
  options.exactNodes = 20'000;
  EXPECT_GT(placed(buffers, options).nodes, 20'000);
}

TEST(Misfit, NamesTheBufferAndWhatIsShort) {
  const std::vector<LiveBuffer> buffers = {{.size = 100, .first = 0, .last = 2, .name = "skip"},
                                           {.size = 60, .first = 1, .last = 3, .name = "sum"}};
  EXPECT_EQ(planPlacement(buffers, {.capacity = 150}).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(message(buffers, {.capacity = 150}),
              testing::MatchesRegex("buffer '(skip|sum)' of .* bytes, alive in .*, ends at 160: "
                                    "needed 160 bytes, available 150, short by 10; the smallest "
                                    "capacity that fits is 160 .160 bytes are alive at one time."));
  EXPECT_TRUE(planPlacement(buffers, {.capacity = 160}).ok());
}

TEST(Misfit, OneBufferLargerThanAllThereIs) {
  const std::vector<LiveBuffer> buffers = {{.size = 10, .first = 0, .last = 2, .name = "small"},
                                           {.size = 500, .first = 1, .last = 2, .name = "large"}};
  for (PlacementGoal goal : {PlacementGoal::Fit, PlacementGoal::Lowest})
    EXPECT_THAT(message(buffers, {.capacity = 400, .goal = goal}),
                testing::AllOf(HasSubstr("buffer 'large' of 500 bytes, alive in [1, 2)"),
                               HasSubstr("needed 510 bytes, available 400, short by 110")));
  EXPECT_THAT(message({{.size = 5, .first = 0, .last = 1}}, {.capacity = 0}),
              HasSubstr("buffer 0 of 5 bytes"));
}

TEST(Misfit, TheSmallestCapacityIsProved) {
  std::mt19937 random(12);
  int above = 0;
  for (int round = 0; round < 200; ++round) {
    const std::vector<LiveBuffer> buffers = fullBuffers(random, 8, 16);
    if (bruteForceFits(buffers, 8))
      continue;
    ++above;
    EXPECT_THAT(message(buffers, {.capacity = 8, .goal = PlacementGoal::Fit}),
                HasSubstr(bruteForceFits(buffers, 9) ? "that fits is 9 (8 bytes are alive"
                                                     : "that fits is 10 (8 bytes are alive"));
  }
  EXPECT_GT(above, 5);
}

TEST(Errors, NameTheBuffer) {
  EXPECT_EQ(message({{.size = -1, .first = 0, .last = 1, .name = "x"}}),
            "buffer 'x' has -1 bytes; needs 0 or more");
  EXPECT_EQ(message({{}, {.size = 1, .first = 4, .last = 3}}),
            "buffer 1 is alive from 4 to 3; needs an end that is not before its start");
  EXPECT_EQ(message({{.size = 1, .first = 0, .last = 1, .alignment = 0}}),
            "buffer 0 has alignment 0; needs 1 or more");
}

TEST(CheckPlacement, FindsPlantedFaults) {
  const std::vector<LiveBuffer> buffers = published("input.12");
  const Placement good = placed(buffers);
  const auto fault = [&](const auto &plant, int64_t capacity = 12) {
    Placement bad = good;
    plant(bad);
    return std::string(checkPlacement(buffers, bad, capacity).message());
  };
  EXPECT_EQ(checkPlacement(buffers, good, 12), absl::OkStatus());
  EXPECT_THAT(fault([](Placement &p) { p.offsets.pop_back(); }), HasSubstr("4 offsets for 5"));
  EXPECT_THAT(fault([](Placement &p) { p.offsets[0] = -1; }), HasSubstr("needs a multiple of 1"));
  EXPECT_THAT(fault([](Placement &p) { p.offsets[2] = p.offsets[4]; }), HasSubstr("overlaps"));
  EXPECT_THAT(fault([](Placement &p) { p.offsets[4] += 9; }), HasSubstr("within"));
  EXPECT_THAT(fault([](Placement &p) { p.peak -= 1; }), HasSubstr("states a peak of 11"));
  EXPECT_THAT(fault([](Placement &p) { p.lowerBound += 1; }), HasSubstr("states 13 live bytes"));
  EXPECT_THAT(fault([](Placement &) {}, 11), HasSubstr("does not end within 11"));
}

} // namespace
} // namespace sdopt
