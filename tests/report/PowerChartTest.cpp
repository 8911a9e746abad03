#include "compiler/report/PowerChart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <regex>

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

TEST(PowerChart, NamesDoNotOverlap) {
  const std::vector<NamedTimeEnergy> policies = {
      {"fixed clock, dfs", {2.55, 3.45}}, {"dvfs", {2.46, 3.92}},    {"joint", {2.47, 3.9}},
      {"dvfs under a cap", {2.5, 3.6}},   {"dfs again", {2.6, 3.4}}, {"slow", {6, 3.4}},
      {"slow, slower", {5.95, 3.45}}};
  const std::string chart = timeEnergyChart({{2.46, 3.92}, {2.55, 3.45}, {6, 3.4}}, policies);
  struct Label {
    double left, right, y;
  };
  std::vector<Label> labels;
  const std::regex form(
      R"re(<text x="([0-9.]+)" y="([0-9.]+)" text-anchor="(\w+)" class="label">([^<]*)<)re");
  for (std::sregex_iterator it(chart.begin(), chart.end(), form), end; it != end; ++it) {
    const double x = std::stod((*it)[1]), width = 6.5 * static_cast<double>((*it)[4].length());
    const double left = (*it)[3] == "end" ? x - width : x;
    labels.push_back({left, left + width, std::stod((*it)[2])});
    EXPECT_GE(left, 0);
    EXPECT_LE(left + width, 960);
  }
  ASSERT_EQ(labels.size(), policies.size());
  for (size_t i = 0; i < labels.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      EXPECT_TRUE(labels[i].right < labels[j].left || labels[j].right < labels[i].left ||
                  std::abs(labels[i].y - labels[j].y) >= 12)
          << policies[i].name << " over " << policies[j].name;
}

TEST(PowerChart, NothingWithoutNumbers) {
  EXPECT_EQ(timeEnergyChart({}, {{"fixed clock", {1, 1}}}), "");
  EXPECT_EQ(timeEnergyChart({{1, std::numeric_limits<double>::infinity()}}, {}), "");
  EXPECT_EQ(timeEnergyChart({{1, 1}}, {{"fixed clock", {0, 1}}}), "");
}

} // namespace
} // namespace sdopt
