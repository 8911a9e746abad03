//===- RoundingTest.cpp - codes by second moments, through the pipeline -------===//

#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

#include <fstream>

using namespace sdopt;
using namespace sdopt::test;
using testing::HasSubstr;

namespace {

class RoundingTest : public testing::Test {
protected:
  CompileOptions options(const std::string &place, const char *rounding) {
    CompileOptions options = optionsFor(folder_.path(place), {"text_encoder"});
    options.recipe = folder_.path(std::string(rounding) + ".yaml");
    std::ofstream(options.recipe)
        << "version: 1\nname: " << rounding
        << "\nglobal: {weight_bits: 4, weight_symmetric: false, rounding: " << rounding << "}\n";
    options.verify = VerifyMode::Fast;
    return options;
  }

  TemporaryFolder folder_;
};

TEST_F(RoundingTest, GainsAndSaysWhatEachLayerGains) {
  const Report nearest = compiled(options("nearest", "nearest")).report;
  const Report gptq = compiled(options("gptq", "gptq")).report;
  const ModuleReport &before = moduleOf(nearest, "text_encoder"),
                     &after = moduleOf(gptq, "text_encoder");
  EXPECT_GT(after.psnr(), before.psnr() + 2);
  EXPECT_NEAR(after.weight_bits(), before.weight_bits(), 0.01 * before.weight_bits());
  int64_t rounded = 0;
  for (const LayerReport &layer : after.layers()) {
    if (layer.nearest_codes_sqnr() == 0)
      continue;
    ++rounded;
    EXPECT_GE(layer.rounded_codes_sqnr(), layer.nearest_codes_sqnr()) << layer.name();
  }
  EXPECT_GE(rounded, 6);
  for (const LayerReport &layer : before.layers())
    EXPECT_EQ(layer.rounded_codes_sqnr(), 0) << layer.name();
  EXPECT_THAT(gptq.DebugString(), HasSubstr("with nearest codes"));
}

TEST_F(RoundingTest, NothingElseDecides) {
  expectNothingElseDecides(folder_.path("stages"),
                           [&](const std::string &place) { return options(place, "gptq"); });
}

TEST_F(RoundingTest, NeedsRecordedInputs) {
  CompileOptions first = options("first", "gptq");
  first.statisticsOut = folder_.path("statistics");
  compiled(first);
  CompileOptions second = options("second", "gptq");
  second.statistics = {folder_.path("statistics/text_encoder.pb")};
  second.samples.clear();
  second.verify = VerifyMode::Off;
  EXPECT_THAT(textOf(compile(second, {}).status()), HasSubstr("needs recorded inputs"));
}

} // namespace
