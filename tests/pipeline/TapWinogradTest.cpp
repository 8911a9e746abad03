//===- TapWinogradTest.cpp - F(4x4, 3x3) through the pipeline ----------------===//

#include "compiler/target/Target.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

#include <filesystem>
#include <fstream>
#include <map>

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
  int64_t told = 0;
  for (const LayerReport &layer : after.layers())
    if (layer.winograd() == "F(4x4, 3x3)") {
      ++told;
      EXPECT_GE(layer.winograd_sqnr(), 30) << layer.name();
    } else {
      EXPECT_EQ(layer.winograd_sqnr(), 0) << layer.name();
    }
  EXPECT_EQ(told, layersWithTaps(taps));
  EXPECT_EQ(layersWithTaps(compiled(options("strict", "150dB"))), 0);
}

TEST_F(TapWinograd, NothingElseDecides) {
  expectNothingElseDecides(folder_.path("stages"),
                           [&](const std::string &place) { return options(place); });
}

// The UNet's pictures of 16x16 are too small for large arrays.
TEST_F(TapWinograd, BucketsOfTimestepsShareTheShifts) {
  absl::StatusOr<Target> target = loadTarget("mobile");
  ASSERT_TRUE(target.ok()) << target.status();
  target->array.rows = target->array.columns = 16;
  writeFewSamples(folder_.path("samples"), "unet", 6);
  CompileOptions buckets = options("buckets", "20dB", "unet", "timestep_buckets: 2");
  buckets.target = folder_.path("small.yaml");
  std::ofstream(buckets.target) << canonicalText(*target);
  buckets.samples = folder_.path("samples");
  EXPECT_GE(layersWithTaps(compiled(buckets)), 1);
}

TEST_F(TapWinograd, WidthsAreSearchedBesides) {
  const CompileResult result = compiled(options("widths", "30dB", "vae_decoder", "budget: 6bit"));
  EXPECT_GE(layersWithTaps(result), 1);
  EXPECT_LE(moduleOf(result.report, "vae_decoder").weight_bits(), 6.01);
}

// Two layers of int8 weights, each with shifts of its own; what either loses is little of its own
// sums, and so of both.
TEST_F(TapWinograd, TermsOfWideWeightsLoseAsLittle) {
  const auto wide = [&](const std::string &place, const std::string &least) {
    CompileOptions options = this->options(place);
    std::ofstream(options.recipe) << "version: 1\nname: wide\nglobal: {weight_bits: 16, "
                                  << "winograd_min_sqnr: " << least << "}\n";
    return compiled(options);
  };
  const CompileResult plain = wide("plain", "off"), taps = wide("taps", "50dB");
  std::map<std::string, double> losses;
  const ModuleReport &report = moduleOf(taps.report, "vae_decoder");
  for (const LayerReport &layer : report.layers())
    if (layer.winograd() == "F(4x4, 3x3)") {
      EXPECT_GE(layer.winograd_sqnr(), 50) << layer.name();
      losses[layer.name()] = layer.winograd_sqnr();
    }
  ASSERT_EQ(static_cast<int64_t>(losses.size()), layersWithTaps(taps));
  int64_t sums = 0;
  for (const LayerReport &layer : report.layers())
    if (losses.count(layer.name() + ".coarse") && losses.count(layer.name() + ".fine")) {
      ++sums;
      EXPECT_GE(layer.isolated_sqnr(), 50) << layer.name();
    }
  EXPECT_GE(sums, 1);
  EXPECT_LT(report.psnr(), moduleOf(plain.report, "vae_decoder").psnr());
  EXPECT_GT(report.psnr(),
            moduleOf(compiled(options("narrow", "off")).report, "vae_decoder").psnr());
}

TEST_F(TapWinograd, LeavesAsThePlainConvolution) {
  for (const char *least : {"off", "30dB"}) {
    CompileOptions exported = options(least, least);
    exported.exportFolder = folder_.path(std::string(least) + "-onnx");
    compiled(exported);
  }
  EXPECT_TRUE(bytesOf(folder_.path("off-onnx/vae_decoder/model.onnx")) ==
              bytesOf(folder_.path("30dB-onnx/vae_decoder/model.onnx")));
}

TEST_F(TapWinograd, NeedsRecordedInputs) {
  CompileOptions first = options("first");
  first.statisticsOut = folder_.path("statistics");
  compiled(first);
  CompileOptions second = options("second");
  second.samples.clear();
  second.verify = VerifyMode::Off;
  second.statistics = {folder_.path("statistics/vae_decoder.pb")};
  EXPECT_THAT(
      textOf(compile(second, {}).status()),
      HasSubstr("layers of this module that would be faster so; it needs recorded inputs: give "
                "--samples, or a recipe with 'winograd_min_sqnr: off'"));
}

TEST_F(TapWinograd, IsOfOneTarget) {
  // No layer loses so little; on another target others might have been asked.
  CompileOptions first = options("target", "190dB");
  first.stageFolder = folder_.path("stages");
  first.stopAfter = Stage::Quantize;
  first.output.clear();
  first.reportFolder.clear();
  compiled(first);
  CompileOptions second = options("target", "190dB");
  second.stageFolder = folder_.path("stages");
  second.startFrom = Stage::Quantize;
  second.target = "laptop";
  EXPECT_THAT(textOf(compile(second, {}).status()),
              HasSubstr("were made for target mobile, not laptop; use --start-from calibrate or an "
                        "earlier stage"));
}

} // namespace
