#include "compiler/report/Numbers.h"
#include "compiler/report/Svg.h"
#include "tests/report/SampleReport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

using namespace sdopt;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Escape, CoversMarkupAndControlCharacters) {
  EXPECT_EQ(escapeHtml("<a b=\"c\">&'"), "&lt;a b=&quot;c&quot;&gt;&amp;&#39;");
  EXPECT_EQ(escapeHtml(std::string("a\0b\x1b", 4)), "a\xEF\xBF\xBD"
                                                    "b\xEF\xBF\xBD");
}

TEST(ReportHtml, EscapesEveryText) {
  const std::string evil = "<script>\"x'&";
  Report report = sampleReport();
  report.set_model(evil);
  report.set_recipe(evil);
  report.set_target(evil);
  report.set_version(evil);
  report.set_target_digest(evil);
  for (ModuleReport &module : *report.mutable_modules()) {
    module.set_name(evil);
    module.set_recipe(evil);
    for (LayerReport &layer : *module.mutable_layers()) {
      layer.set_name(evil);
      layer.set_kind(evil);
      layer.set_bound(evil);
      layer.set_tiling(evil);
    }
  }
  for (Remark &remark : *report.mutable_remarks()) {
    remark.set_pass(evil);
    remark.set_module(evil);
    remark.set_where(evil);
    remark.set_what(evil);
  }
  report.add_assumptions(evil);
  for (PowerStudy &study : *report.mutable_power()->mutable_studies()) {
    study.set_goal(evil);
    for (PowerChoice &choice : *study.mutable_choices()) {
      choice.set_policy(evil);
      if (!choice.problem().empty())
        choice.set_problem(evil);
      for (ModuleClockReport &module : *choice.mutable_modules())
        module.set_name(evil);
    }
  }
  std::string html = toHtml(report);
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("\"x'")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;&quot;x&#39;&amp;"));
}

TEST(ReportHtml, ShowsTimestepsAndGuidanceWhereTheyWereMeasured) {
  std::string html = toHtml(sampleReport());
  for (const char *text : {"PSNR by timestep of unet", "timestep 951, 4 calls",
                           "cosine of c - u 0.9934", "guided 44.1 dB", "worst timesteps 51.5 dB"})
    EXPECT_THAT(html, HasSubstr(text));
  EXPECT_THAT(html, Not(HasSubstr("by timestep of vae_decoder")));
}

TEST(ReportHtml, ShowsRangesByTimestepWhereTheyAreKnown) {
  std::string html = toHtml(sampleReport());
  for (const char *text :
       {"Range of each layer by timestep of unet", "timesteps 801 to 951",
        "Range against timestep of unet", "-1.00 to 2.00, root mean square 0.400"})
    EXPECT_THAT(html, HasSubstr(text));
  // The layer that drifts most comes first: a quarter of its range is left.
  EXPECT_THAT(html,
              HasSubstr("largest magnitude<span class=\"key\"><i class=\"array\"></i>/blocks.0/"));
  EXPECT_THAT(html, Not(HasSubstr("by timestep of vae_decoder")));
}

TEST(ReportHtml, ShowsVoltagesAndClocks) {
  std::string html = toHtml(sampleReport());
  for (const char *text :
       {"least time under a cap, layers at most 2.90 W", "unet.step: 0.72 V, 570 MHz to 860 MHz",
        "1,234 + 2", "layer &#39;a&lt;b&#39; draws at least 3 W",
        "Energy of a picture against its time"})
    EXPECT_THAT(html, HasSubstr(text));
  Report without = sampleReport();
  without.clear_power();
  EXPECT_THAT(toHtml(without), Not(HasSubstr("Voltage and clock")));
}

TEST(ReportHtml, IsSelfContained) {
  std::string html = toHtml(sampleReport());
  for (const char *outside : {"http:", "https:", "src=", "<link", "<script", "@import", "url("})
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  EXPECT_EQ(html, toHtml(sampleReport()));
}

TEST(ReportHtml, ShowsHeadlines) {
  std::string html = toHtml(sampleReport());
  for (const char *text : {"7.30 MB", "54.2 dB", "2.38", "3.23", "/blocks.0/conv1",
                           "keys do not stay in SRAM", "vendor data sheet", "lower bound", "<svg"})
    EXPECT_THAT(html, HasSubstr(text));
}

TEST(ReportHtml, LayersThatDoNotRunHaveNoBound) {
  Report report = sampleReport();
  for (ModuleReport &module : *report.mutable_modules())
    for (int i : {2, 3}) {
      LayerReport &layer = *module.mutable_layers(i);
      layer.clear_cycles();
      layer.clear_energy();
      layer.clear_dram_bytes();
      layer.set_dram_lower_bound_bytes(int64_t(1) << 40);
    }
  const std::string html = toHtml(report);
  EXPECT_THAT(html, HasSubstr("(all: 1.25x the bound)"));
  EXPECT_THAT(html, Not(HasSubstr("(all: 0.00x")));
  EXPECT_THAT(html, Not(HasSubstr("1,099,511,627,776")));
}

TEST(ReportHtml, WideTablesScrollInTheirBoxAlone) {
  const std::string html = toHtml(sampleReport());
  for (size_t at = html.find("<table>"); at != std::string::npos; at = html.find("<table>", at + 1))
    EXPECT_TRUE(html.substr(0, at).ends_with("scroll\">") ||
                html.substr(0, at).ends_with("scroll\">\n"))
        << html.substr(at - 60, 60);
  EXPECT_THAT(html, Not(HasSubstr("scroll\">\n<figure")));
}

TEST(ReportHtml, SurvivesEmptyAndOddNumbers) {
  EXPECT_THAT(toHtml(Report()), HasSubstr("not measured"));
  Report report = sampleReport();
  ModuleReport &module = *report.mutable_modules(1);
  module.set_psnr(std::numeric_limits<double>::infinity());
  module.mutable_layers(0)->set_sqnr(std::numeric_limits<double>::infinity());
  module.mutable_layers(1)->set_sqnr(std::numeric_limits<double>::quiet_NaN());
  module.mutable_layers(2)->set_sqnr(-3);
  module.mutable_layers(3)->set_cycles(-5);
  module.mutable_layers(4)->set_cycles(std::numeric_limits<int64_t>::max());
  std::string html = toHtml(report);
  EXPECT_THAT(html, HasSubstr("exact"));
  EXPECT_THAT(html, Not(HasSubstr("=\"nan")));
  EXPECT_THAT(html, Not(HasSubstr("=\"not a number")));
}

TEST(Numbers, SizesAreParsedStrictly) {
  EXPECT_EQ(*parseBytes("1B"), 1);
  EXPECT_EQ(*parseBytes("900MB"), 900000000);
  EXPECT_EQ(*parseBytes("1.5 GiB"), int64_t{3} << 29);
  EXPECT_EQ(*parseBytes("0.5KiB"), 512);
  EXPECT_EQ(*parseBytes("1.0001kB"), 1000);
  for (const char *text : {"", "1", "0B", "0.5B", "-1MB", "+1MB", ".5MB", "1e3MB", "1 mb", "1MB ",
                           "1 M B", "infMB", "nanB", "0x10B", "1e99GB", "99999999999GB"})
    EXPECT_FALSE(parseBytes(text).ok()) << text;
}

TEST(Numbers, ReadWell) {
  EXPECT_EQ(outOf(3, 10), "3/10");
  EXPECT_EQ(outOf(3.25, 10), "3.25/10");
  EXPECT_EQ(outOf(179.9999, 200), "180/200");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-123), "-123");
  EXPECT_EQ(grouped(-1234), "-1,234");
  EXPECT_EQ(withPrefix(9e6, "B"), "9.00 MB");
  EXPECT_EQ(withPrefix(999999, "B"), "1.00 MB");
  EXPECT_EQ(withPrefix(512, "B"), "512 B");
  EXPECT_EQ(withPrefix(0.00312, "J"), "3.12 mJ");
  EXPECT_EQ(withPrefix(0, "B"), "0 B");
  EXPECT_EQ(significant(0.00412), "0.00412");
  EXPECT_EQ(significant(1250), "1,250");
  EXPECT_EQ(significant(0), "0");
  EXPECT_EQ(decibels(41.26), "41.3 dB");
  EXPECT_EQ(timestepText(1, 161), "1 to 161");
  EXPECT_EQ(timestepText(999, 999), "999");
  EXPECT_EQ(timestepText(0.25, 1000), "0.250 to 1,000");
}
