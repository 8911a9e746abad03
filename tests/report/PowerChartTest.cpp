#include "compiler/report/PowerChart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>

namespace sdopt {
namespace {

using testing::HasSubstr;
using testing::Not;

size_t count(const std::string &text, const std::string &part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++found;
  return found;
}

TEST(PowerChart, OneDotForEachPointAndANameForEachPolicy) {
  const std::string chart =
      timeEnergyChart({{5, 16}, {6, 14}, {10, 11}}, {{"fixed <clock>", {6.2, 14.2}}});
  EXPECT_EQ(count(chart, "array dot"), 3u);
  EXPECT_EQ(count(chart, "vector dot"), 1u);
  EXPECT_EQ(count(chart, "trace array"), 2u);
  EXPECT_THAT(chart, HasSubstr("fixed &lt;clock&gt;"));
  EXPECT_THAT(chart, Not(HasSubstr("fixed <clock>")));
  // 10 s and 11 J are 0.1 images/s and 0.0909 images/J.
  EXPECT_THAT(chart, HasSubstr("0.100 images/s, 0.0909 images/s/W"));
}

TEST(PowerChart, PoliciesAtOnePointShareAMark) {
  const std::string chart =
      timeEnergyChart({{5, 16}}, {{"dvfs", {6, 14}}, {"dfs", {7, 14}}, {"joint", {6, 14}}});
  EXPECT_EQ(count(chart, "vector dot"), 2u);
  EXPECT_THAT(chart, HasSubstr("dvfs, joint</text>"));
}

TEST(PowerChart, NothingWithoutNumbers) {
  EXPECT_EQ(timeEnergyChart({}, {{"fixed clock", {1, 1}}}), "");
  EXPECT_EQ(timeEnergyChart({{1, std::numeric_limits<double>::infinity()}}, {}), "");
  EXPECT_EQ(timeEnergyChart({{1, 1}}, {{"fixed clock", {0, 1}}}), "");
}

} // namespace
} // namespace sdopt
