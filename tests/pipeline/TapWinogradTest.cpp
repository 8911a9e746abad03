//===- TapWinogradTest.cpp - F(4x4, 3x3) through the pipeline ----------------===//

#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

#include <filesystem>
#include <fstream>

using namespace sdopt;
using namespace sdopt::test;
using testing::HasSubstr;

namespace {

class TapWinograd : public testing::Test {
protected:
  CompileOptions options(const std::string &place, const std::string &least = "30dB",
                         const std::string &module = "vae_decoder",
                         const std::string &head = "hoist: true") {
    CompileOptions options = optionsFor(folder_.path(place), {module});
    options.recipe = folder_.path(place + ".yaml");
    std::ofstream(options.recipe) << "version: 1\nname: taps\n"
                                  << head << "\nglobal: {winograd_min_sqnr: " << least << "}\n";
    options.verify = VerifyMode::Fast;
    return options;
  }

  static int64_t layersWithTaps(const CompileResult &result) {
    int64_t count = 0;
    for (const Remark &remark : result.report.remarks())
      count += remark.pass() == "quantize-winograd" && remark.kind() == Remark::PASSED;
    return count;
  }

  TemporaryFolder folder_;
};

TEST_F(TapWinograd, IsFasterAndTheSameToTheBit) {
  const CompileResult plain = compiled(options("plain", "off")), taps = compiled(options("taps"));
  EXPECT_EQ(layersWithTaps(plain), 0);
  EXPECT_GE(layersWithTaps(taps), 1);
  const ModuleReport &before = moduleOf(plain.report, "vae_decoder"),
                     &after = moduleOf(taps.report, "vae_decoder");
  EXPECT_LT(after.cycles(), before.cycles());
  EXPECT_LT(after.macs(), before.macs());
  EXPECT_GT(after.psnr(), 35);
  EXPECT_NE(after.psnr(), before.psnr());
  EXPECT_EQ(layersWithTaps(compiled(options("strict", "150dB"))), 0);
}

TEST_F(TapWinograd, NothingElseDecides) {
  expectNothingElseDecides(folder_.path("stages"),
                           [&](const std::string &place) { return options(place); });
}

TEST_F(TapWinograd, BucketsOfTimestepsShareTheShifts) {
  writeFewSamples(folder_.path("samples"), "unet", 6);
  CompileOptions buckets = options("buckets", "20dB", "unet", "timestep_buckets: 2");
  buckets.samples = folder_.path("samples");
  EXPECT_GE(layersWithTaps(compiled(buckets)), 1);
}

TEST_F(TapWinograd, NeedsRecordedInputs) {
  CompileOptions first = options("first");
  first.statisticsOut = folder_.path("statistics");
  compiled(first);
  CompileOptions second = options("second");
  second.samples.clear();
  second.verify = VerifyMode::Off;
  second.statistics = {folder_.path("statistics/vae_decoder.pb")};
  EXPECT_THAT(textOf(compile(second, {}).status()),
              HasSubstr("has layers with 'winograd_min_sqnr', which needs recorded inputs: give "
                        "--samples, or a recipe with 'winograd_min_sqnr: off'"));
}

TEST_F(TapWinograd, IsOfOneTarget) {
  CompileOptions first = options("target");
  first.stageFolder = folder_.path("stages");
  first.stopAfter = Stage::Quantize;
  first.output.clear();
  first.reportFolder.clear();
  compiled(first);
  CompileOptions second = options("target");
  second.stageFolder = folder_.path("stages");
  second.startFrom = Stage::Quantize;
  second.target = "laptop";
  EXPECT_THAT(textOf(compile(second, {}).status()),
              HasSubstr("were made for target mobile, not laptop; use --start-from calibrate or an "
                        "earlier stage"));
}

} // namespace
