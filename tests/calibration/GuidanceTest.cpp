// Pairs of unconditional and conditional rows, and what guidance makes of errors.

#include "compiler/calibration/Guidance.h"
#include "tests/calibration/SampleFiles.h"
#include "tests/reference/FunctionText.h"

#include <gmock/gmock.h>

#include <cmath>

namespace sdopt::test {
namespace {

/// [rows][2] latents, one timestep, [rows][1][1] texts.
Sample call(std::vector<float> latents, float timestep, std::vector<float> texts) {
  auto rows = static_cast<int64_t>(texts.size());
  return {.inputs = {floats({1}, {timestep}), floats({rows, 1, 2, 1}, latents),
                     floats({rows, 1, 1}, texts)},
          .rows = rows};
}

TEST(GuidancePairs, AreTheTwoHalvesOfACall) {
  GuidancePairs pairs(5);
  std::vector<float> reference = {1, 2, 3, 1}, actual = {1.5f, 2, 3, 1};
  auto found = pairs.add({.call = 0, .rows = 2}, call({7, 8, 7, 8}, 1, {0, 9}), reference, actual);
  ASSERT_EQ(found.size(), 1u);
  // u + 5 (c - u): 11 against 9, -3 against -3; c - u: 2 against 1.5, -1 against -1.
  EXPECT_DOUBLE_EQ(found[0].guided.error, 4);
  EXPECT_DOUBLE_EQ(found[0].guided.largest, 11);
  EXPECT_DOUBLE_EQ(found[0].signal.reference, 5);
  EXPECT_DOUBLE_EQ(found[0].signal.error, 0.25);
  EXPECT_NEAR(sqnrOf(found[0].signal), 10 * std::log10(20), 1e-12);
  EXPECT_NEAR(cosineOf(found[0].signal), (3 + 1) / std::sqrt(5 * 3.25), 1e-12);
}

TEST(GuidancePairs, RowsWithoutTheSameLatentAndAnotherTextAreNone) {
  GuidancePairs pairs(5);
  std::vector<float> values = {1, 2, 3, 1};
  EXPECT_TRUE(
      pairs.add({.call = 0, .rows = 2}, call({7, 8, 7, 9}, 1, {0, 9}), values, values).empty());
  EXPECT_TRUE(
      pairs.add({.call = 1, .rows = 2}, call({7, 8, 7, 8}, 1, {9, 9}), values, values).empty());
}

TEST(GuidancePairs, MayBeSplitOverEvaluationsOfACall) {
  // Four rows of one call, one by one: 0 with 2, 1 with 3.
  GuidancePairs pairs(5);
  size_t found = 0;
  for (int64_t row = 0; row < 4; ++row) {
    float latent = static_cast<float>(row % 2);
    std::vector<float> values = {latent, 1};
    auto now = pairs.add({.call = 3, .firstRow = row, .rows = 4},
                         call({latent, 5}, 1, {static_cast<float>(row / 2)}), values, values);
    EXPECT_EQ(now.size(), row < 2 ? 0u : 1u) << row;
    found += now.size();
  }
  EXPECT_EQ(found, 2u);
}

TEST(GuidancePairs, MayBeConsecutiveCallsOfOneRow) {
  GuidancePairs pairs(5);
  std::vector<float> values = {1, 2};
  EXPECT_TRUE(pairs.add({.call = 0}, call({7, 8}, 1, {0}), values, values).empty());
  EXPECT_EQ(pairs.add({.call = 1}, call({7, 8}, 1, {9}), values, values).size(), 1u);
  // Another timestep, and a call whose partner was left out.
  EXPECT_TRUE(pairs.add({.call = 2}, call({7, 8}, 1, {0}), values, values).empty());
  EXPECT_TRUE(pairs.add({.call = 3}, call({7, 8}, 2, {9}), values, values).empty());
  EXPECT_TRUE(pairs.add({.call = 5}, call({7, 8}, 2, {9}), values, values).empty());
  EXPECT_TRUE(pairs.add({.file = 1, .call = 7}, call({7, 8}, 2, {9}), values, values).empty());
}

TEST(GuidancePairs, OddCallsHaveNone) {
  GuidancePairs pairs(5);
  std::vector<float> values(6);
  EXPECT_TRUE(
      pairs.add({.rows = 3}, call({7, 8, 7, 8, 7, 8}, 1, {0, 9, 4}), values, values).empty());
}

TEST(ErrorSums, CosineAndRatiosOfNothing) {
  ErrorSums none;
  EXPECT_TRUE(std::isinf(sqnrOf(none)));
  EXPECT_EQ(cosineOf(none), 1);
  ErrorSums lost;
  lost.add(1, 0);
  EXPECT_EQ(sqnrOf(lost), 0);
  EXPECT_EQ(cosineOf(lost), 0);
  ErrorSums turned;
  turned.add(1, -1);
  EXPECT_EQ(cosineOf(turned), -1);
}

} // namespace
} // namespace sdopt::test
