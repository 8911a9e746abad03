#include "compiler/report/Charts.h"
#include "compiler/report/Plot.h"
#include "tests/report/SampleReport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <regex>

using namespace sdopt;
using ::testing::HasSubstr;
using ::testing::Not;

namespace {

struct Box {
  double left, right, top, bottom;
  std::string text;
};

/// Of the small texts of a picture.
std::vector<Box> boxesOf(const std::string &svg) {
  static const std::regex kText(
      "<text x=\"([-0-9.]+)\" y=\"([-0-9.]+)\" text-anchor=\"([a-z]+)\"[^>]*>([^<]*)<");
  std::vector<Box> boxes;
  for (std::sregex_iterator at(svg.begin(), svg.end(), kText), end; at != end; ++at) {
    const double x = std::stod((*at)[1]), y = std::stod((*at)[2]);
    const double width = textWidth((*at)[4]);
    const double left = (*at)[3] == "start" ? x : (*at)[3] == "end" ? x - width : x - width / 2;
    boxes.push_back({left, left + width, y - 9, y + 2, (*at)[4]});
  }
  return boxes;
}

void expectReadable(const std::string &svg) {
  const std::vector<Box> boxes = boxesOf(svg);
  EXPECT_GT(boxes.size(), 4u);
  for (size_t i = 0; i < boxes.size(); ++i) {
    EXPECT_GE(boxes[i].left, 0) << boxes[i].text;
    EXPECT_LE(boxes[i].right, kWidth) << boxes[i].text;
    for (size_t k = 0; k < i; ++k)
      EXPECT_TRUE(boxes[i].left >= boxes[k].right || boxes[k].left >= boxes[i].right ||
                  boxes[i].top >= boxes[k].bottom || boxes[k].top >= boxes[i].bottom)
          << boxes[i].text << " lies over " << boxes[k].text;
  }
}

std::vector<std::string> picturesOf(const ModuleReport &module, const MachineReport &machine) {
  return {rooflineChart(module, machine), timelineChart(module, machine), memoryChart(module),
          sramChart(module, machine)};
}

TEST(Pictures, TextsDoNotOverlap) {
  for (int layers : {3, 8, 40, 700}) {
    const Report report = sampleReport(layers);
    for (const std::string &picture : picturesOf(report.modules(1), report.machine()))
      expectReadable(picture);
  }
}

TEST(Pictures, SizeIsBounded) {
  const Report report = sampleReport(2000);
  size_t bytes = 0;
  for (const std::string &picture : picturesOf(report.modules(1), report.machine()))
    bytes += picture.size();
  EXPECT_LT(bytes, 900'000u);
  EXPECT_THAT(memoryChart(report.modules(1)), HasSubstr("the largest"));
}

TEST(Pictures, RooflineTellsLayersAndRoofs) {
  const Report report = sampleReport(16);
  const std::string svg = rooflineChart(report.modules(1), report.machine());
  for (const char *text : {"8 x 8 bit 1.23 TOP/s", "16 x 16 bit 310 GOP/s", "6.40 GB/s of DRAM",
                           "/blocks.0/conv1 (conv)", "no DRAM traffic", "operations per DRAM byte"})
    EXPECT_THAT(svg, HasSubstr(text));
}

/// Two layers of one place share a dot that names both.
TEST(Pictures, RooflineMergesDots) {
  Report report = sampleReport(2);
  ModuleReport &module = *report.mutable_modules(1);
  *module.mutable_layers(0) = module.layers(1);
  module.mutable_layers(0)->set_name("first");
  module.mutable_layers(1)->set_name("second");
  const std::string svg = rooflineChart(module, report.machine());
  EXPECT_THAT(svg, HasSubstr("first (conv)\nsecond (conv)\n"));
  EXPECT_EQ(svg.find("<circle"), svg.rfind("<circle"));
}

TEST(Pictures, MemoryShowsWhatIsAliveAndTheBound) {
  const Report report = sampleReport(16);
  const std::string svg = memoryChart(report.modules(1));
  for (const char *text : {"tensor 3\n300,000 bytes at 900,000, layers 3 to 4", "bytes alive",
                           "no plan takes less: 1.15 MB", "class=\"boundary\""})
    EXPECT_THAT(svg, HasSubstr(text));
}

TEST(Pictures, TimelineNamesTheLongestLayers) {
  const Report report = sampleReport(16);
  const std::string svg = timelineChart(report.modules(1), report.machine());
  for (const char *text : {"DMA in: works in", "array: works in 50", "Timeline of a step"})
    EXPECT_THAT(svg, HasSubstr(text));
  EXPECT_THAT(svg, HasSubstr(">/blocks.1/conv1<"));
}

TEST(Pictures, NothingIsDrawnWithoutData) {
  for (const std::string &picture : picturesOf(ModuleReport(), MachineReport()))
    EXPECT_EQ(picture, "");
  Report report = sampleReport(8);
  for (const std::string &picture : picturesOf(report.modules(1), MachineReport()))
    EXPECT_THAT(picture, Not(HasSubstr("nan")));
}

TEST(Pictures, OddNumbersDoNoHarm) {
  Report report = sampleReport(8);
  ModuleReport &module = *report.mutable_modules(1);
  module.mutable_layers(0)->set_cycles(std::numeric_limits<int64_t>::max());
  module.mutable_layers(1)->set_cycles(-1);
  module.mutable_layers(2)->set_dram_bytes(-1);
  module.mutable_layers(3)->set_macs(std::numeric_limits<int64_t>::max());
  module.mutable_memory(0)->set_first_layer(-3);
  module.mutable_memory(1)->set_last_layer(1 << 30);
  module.mutable_timeline()->mutable_lanes(0)->set_queue("<x>");
  for (const std::string &picture : picturesOf(module, report.machine())) {
    EXPECT_THAT(picture, Not(HasSubstr("nan")));
    EXPECT_THAT(picture, Not(HasSubstr("inf")));
    EXPECT_THAT(picture, Not(HasSubstr("<x>")));
  }
}

TEST(Plot, NamesAreShortenedInFront) {
  EXPECT_EQ(shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(shortened("abcdef", 4), "…def");
  EXPECT_EQ(shortened("äöüß", 3), "…üß");
}

} // namespace
