//===- UnetBarsTest.cpp - quality and size of the compiled UNet ---------------===//
//
// Calibrated on the recorded calibration trajectories, measured on the test trajectories. ONNX
// Runtime's static quantization reaches 56.2 dB (W8A16) and 42.0 dB (W8A8) on the same samples.
//
//===----------------------------------------------------------------------===//

#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include <cstdio>

using namespace sdopt;
using namespace sdopt::test;

namespace {

/// Calibration is the same for both recipes: the first compilation leaves its statistics.
class UnetBars : public testing::Test {
protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    CompileOptions options = optionsFor(folder_->path("w8a16"), {"unet"});
    options.statisticsOut = folder_->path("statistics");
    w8a16_ = new Report(compiled(options).report);
  }
  static void TearDownTestSuite() {
    delete w8a16_;
    delete folder_;
  }

  static void expectBars(const Report &report, double leastPsnr, double leastWorst,
                         double leastGuided) {
    const ModuleReport &unet = moduleOf(report, "unet");
    double ratio = static_cast<double>(report.package_bytes()) /
                   std::max<double>(1, static_cast<double>(unet.fp32_bytes()));
    std::printf("%s: %.2f dB (at least %.0f), worst call %.2f dB, package %.3f of fp32 (at most "
                "0.30)\n",
                report.recipe().c_str(), unet.psnr(), leastPsnr, unet.worst_psnr(), ratio);
    EXPECT_EQ(unet.samples(), 80);
    EXPECT_GE(unet.psnr(), leastPsnr);
    EXPECT_GE(unet.worst_psnr(), leastWorst);
    EXPECT_EQ(unet.guidance_pairs(), 80);
    EXPECT_GE(unet.guided_psnr(), leastGuided);
    EXPECT_LE(ratio, 0.30);
    EXPECT_EQ(unet.fp32_bytes(), 4 * unet.parameters());
    EXPECT_GT(unet.package_bytes(), unet.parameters());
    EXPECT_LE(unet.package_bytes(), report.package_bytes());
    EXPECT_FALSE(report.has_pipeline()) << "a UNet alone paints nothing";
  }

  static TemporaryFolder *folder_;
  static Report *w8a16_;
};

TemporaryFolder *UnetBars::folder_ = nullptr;
Report *UnetBars::w8a16_ = nullptr;

TEST_F(UnetBars, W8A16) { expectBars(*w8a16_, 61, 48, 56); }

TEST_F(UnetBars, FourBitWeights) {
  for (auto [recipe, least] : {std::pair("w4a16", 46.0), std::pair("w4a8", 46.0)}) {
    CompileOptions options = optionsFor(folder_->path(recipe), {"unet"});
    options.recipe = recipe;
    if (std::string(recipe) == "w4a16")
      options.statistics = {folder_->path("statistics/unet.pb")};
    const Report report = compiled(options).report;
    const ModuleReport &unet = moduleOf(report, "unet");
    std::printf("%s: %.2f dB (at least %.0f), %.3f bits a weight (at most 4.6)\n", recipe,
                unet.psnr(), least, unet.weight_bits());
    EXPECT_GE(unet.psnr(), least);
    EXPECT_LE(unet.weight_bits(), 4.6);
    EXPECT_GT(unet.weight_bits(), 4.0);
  }
}

TEST_F(UnetBars, W8A8) {
  CompileOptions options = optionsFor(folder_->path("w8a8"), {"unet"});
  options.recipe = "w8a8";
  options.statistics = {folder_->path("statistics/unet.pb")};
  expectBars(compiled(options).report, 56, 45, 43);
}

} // namespace
