#include "compiler/report/Gates.h"
#include "tests/report/SampleReport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

using namespace sdopt;

namespace {

std::vector<std::string> lines(const Report &report, const Report &baseline) {
  std::vector<std::string> found;
  for (const Regression &regression : compareWithBaseline(report, baseline))
    found.push_back(describe(regression));
  return found;
}

} // namespace

TEST(Baseline, EqualReportsHaveNoRegressions) {
  EXPECT_THAT(lines(sampleReport(), sampleReport()), ::testing::IsEmpty());
}

TEST(Baseline, ListsLayersAndModules) {
  Report baseline = sampleReport(), report = sampleReport();
  LayerReport &layer = *report.mutable_modules(1)->mutable_layers(1);
  layer.set_sqnr(layer.sqnr() - 3);
  layer.set_cycles(layer.cycles() * 2);
  report.mutable_modules(1)->set_psnr(50);
  report.mutable_modules(1)->set_energy(1);
  auto found = compareWithBaseline(report, baseline);
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0].metric, "psnr");
  EXPECT_EQ(found[0].layer, "");
  EXPECT_EQ(found[1].metric, "energy");
  EXPECT_EQ(found[2].metric, "sqnr");
  EXPECT_EQ(found[2].layer, "/blocks.0/conv1");
  EXPECT_EQ(found[3].metric, "cycles");
  EXPECT_EQ(describe(found[0]), "unet: psnr 54.2 -> 50.0");
}

TEST(Baseline, TolerancesHoldOnBothSides) {
  Report baseline = sampleReport(), report = sampleReport();
  report.set_package_bytes(7300000 * 1.009);
  report.mutable_modules(1)->set_psnr(54.2 - 0.09);
  EXPECT_THAT(lines(report, baseline), ::testing::IsEmpty());
  report.set_package_bytes(7300000 * 1.011);
  report.mutable_modules(1)->set_psnr(54.2 - 0.11);
  EXPECT_EQ(lines(report, baseline).size(), 2u);
}

TEST(Baseline, ImprovementsAreNotRegressions) {
  Report report = sampleReport();
  report.set_package_bytes(1000);
  report.mutable_modules(1)->set_psnr(std::numeric_limits<double>::infinity());
  report.mutable_modules(1)->mutable_layers(0)->set_cycles(1);
  EXPECT_THAT(lines(report, sampleReport()), ::testing::IsEmpty());
}

TEST(Baseline, NewAndMissing) {
  Report baseline = sampleReport(), report = sampleReport();
  report.mutable_modules(1)->mutable_layers(2)->set_name("/renamed");
  report.mutable_modules(3)->set_name("decoder");
  EXPECT_THAT(lines(report, baseline),
              ::testing::ElementsAre("unet /renamed: not in the baseline",
                                     "unet /blocks.0/time_emb_proj: only in the baseline",
                                     "decoder: not in the baseline",
                                     "vae_decoder: only in the baseline"));
}

TEST(Baseline, LostMeasurementsAreRegressions) {
  Report report = sampleReport();
  report.mutable_modules(1)->set_samples(0);
  report.mutable_modules(1)->set_psnr(0);
  report.mutable_modules(2)->mutable_layers(0)->set_sqnr(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(lines(report, sampleReport()).size(), 3u);
}
