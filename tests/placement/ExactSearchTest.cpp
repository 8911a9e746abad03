// The exact search against every order of tiny instances: it finds the lowest peak and refutes what
// is lower.

#include "compiler/placement/PlacementProblem.h"
#include "tests/placement/Instances.h"

#include <gtest/gtest.h>

namespace sdopt {
namespace {

/// Ends of the search just below the lowest peak, at it, and above.
void expectExact(const std::vector<LiveBuffer> &buffers) {
  const absl::StatusOr<PlacementProblem> problem = makeProblem(buffers);
  ASSERT_TRUE(problem.ok()) << problem.status();
  const int64_t lowest = bruteForcePeak(buffers);
  EXPECT_LE(problem->lowerBound, problem->alignedBound);
  ASSERT_LE(problem->alignedBound, lowest);
  for (int64_t capacity : {lowest - 1, lowest, lowest + 3}) {
    Attempt attempt;
    const SearchEnd end = searchExactly(*problem, capacity, 1'000'000, attempt);
    ASSERT_EQ(end, capacity < lowest ? SearchEnd::Impossible : SearchEnd::Found)
        << "capacity " << capacity << " of " << lowest;
    if (end == SearchEnd::Found) {
      EXPECT_LE(attempt.peak, capacity);
    }
  }
}

TEST(ExactSearch, DecidesTinyInstancesLikeEveryOrder) {
  std::mt19937 random(1);
  for (int round = 0; round < 800; ++round) {
    const RandomShape shape = {.buffers = 3 + round % 5, .steps = 3 + round % 7};
    ASSERT_NO_FATAL_FAILURE(expectExact(randomBuffers(random, shape))) << "round " << round;
  }
}

TEST(ExactSearch, DecidesFullInstancesLikeAllArrangements) {
  std::mt19937 random(5);
  int fit = 0, refuted = 0, open = 0;
  for (int round = 0; round < 400; ++round) {
    const int64_t capacity = 8 + round % 3;
    const std::vector<LiveBuffer> buffers = fullBuffers(random, capacity, 16);
    const absl::StatusOr<PlacementProblem> problem = makeProblem(buffers);
    ASSERT_EQ(problem->lowerBound, capacity);
    Attempt attempt;
    const SearchEnd end = searchExactly(*problem, capacity, 20'000, attempt);
    const bool fits = bruteForceFits(buffers, capacity);
    open += end == SearchEnd::OutOfNodes;
    fit += end == SearchEnd::Found;
    refuted += end == SearchEnd::Impossible; // by search: the live bytes fit
    EXPECT_NE(end, fits ? SearchEnd::Impossible : SearchEnd::Found) << "round " << round;
  }
  EXPECT_GT(fit, 300);
  EXPECT_GT(refuted, 20);
  EXPECT_LT(open, 10);
}

TEST(ExactSearch, DecidesTinyAlignedInstances) {
  std::mt19937 random(2);
  for (int round = 0; round < 600; ++round) {
    RandomShape shape = {.buffers = 3 + round % 5, .steps = 4 + round % 4, .mostSize = 20};
    shape.alignments = round % 3 == 0   ? std::vector<int64_t>{4}
                       : round % 3 == 1 ? std::vector<int64_t>{1, 2, 8}
                                        : std::vector<int64_t>{6, 9, 15};
    ASSERT_NO_FATAL_FAILURE(expectExact(randomBuffers(random, shape))) << "round " << round;
  }
}

TEST(ExactSearch, DecidesInstancesOfFewSizes) {
  std::mt19937 random(3);
  for (int round = 0; round < 60; ++round)
    ASSERT_NO_FATAL_FAILURE(
        expectExact(randomBuffers(random, {.buffers = 8, .steps = 7, .mostSize = 3})))
        << "round " << round;
}

/// Rectangles of a tiling: everything must lie exactly, and capacity - 1 is refuted by the bound.
std::vector<LiveBuffer> tiling(std::mt19937 &random, int64_t first, int64_t last, int64_t size) {
  if (last - first < 4 || size < 4 || random() % 8 == 0)
    return {{.size = size, .first = first, .last = last}};
  const bool inTime = random() % 2 == 0;
  const int64_t cut = inTime ? first + 1 + static_cast<int64_t>(random() % (last - first - 1))
                             : 1 + static_cast<int64_t>(random() % (size - 1));
  std::vector<LiveBuffer> all =
      inTime ? tiling(random, first, cut, size) : tiling(random, first, last, cut);
  const std::vector<LiveBuffer> rest =
      inTime ? tiling(random, cut, last, size) : tiling(random, first, last, size - cut);
  all.insert(all.end(), rest.begin(), rest.end());
  return all;
}

TEST(ExactSearch, FillsTilingsWithoutAGap) {
  std::mt19937 random(4);
  int searched = 0;
  for (int round = 0; round < 40; ++round) {
    std::vector<LiveBuffer> buffers = tiling(random, 0, 40, 60);
    std::shuffle(buffers.begin(), buffers.end(), random);
    const absl::StatusOr<Placement> placement = planPlacement(buffers, {.capacity = 60});
    ASSERT_TRUE(placement.ok()) << "round " << round << ": " << placement.status();
    EXPECT_EQ(checkPlacement(buffers, *placement, 60), absl::OkStatus());
    EXPECT_TRUE(placement->smallest);
    searched += placement->method == PlacementMethod::Exact;
  }
  EXPECT_GT(searched, 0);
}

TEST(ExactSearch, StopsAtTheNodes) {
  const auto buffers = readInstance(std::string(SDOPT_TESTDATA) + "/minimalloc/E.1048576.csv");
  ASSERT_TRUE(buffers.ok()) << buffers.status();
  const absl::StatusOr<PlacementProblem> problem = makeProblem(*buffers);
  for (int64_t nodes : {0, 1, 999}) {
    Attempt attempt;
    EXPECT_EQ(searchExactly(*problem, 1048576, nodes, attempt), SearchEnd::OutOfNodes);
    EXPECT_EQ(attempt.nodes, nodes);
    EXPECT_EQ(attempt.peak, kTooHigh);
  }
}

} // namespace
} // namespace sdopt
