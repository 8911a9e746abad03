#include "compiler/report/Gates.h"
#include "tests/report/SampleReport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

using namespace sdopt;
using ::testing::HasSubstr;

namespace {

std::vector<GateResult> evaluate(const Report &report, const std::string &text) {
  absl::StatusOr<std::vector<Gate>> gates = parseGates(text);
  EXPECT_TRUE(gates.ok()) << gates.status().message();
  absl::StatusOr<std::vector<GateResult>> results = evaluateGates(report, *gates);
  EXPECT_TRUE(results.ok()) << results.status().message();
  return *results;
}

std::string parseError(const std::string &text) {
  absl::StatusOr<std::vector<Gate>> gates = parseGates(text);
  EXPECT_FALSE(gates.ok()) << text;
  EXPECT_EQ(gates.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(gates.status().message());
}

} // namespace

TEST(Gates, EvaluatesTheExample) {
  auto results =
      evaluate(sampleReport(),
               "unet.psnr>=40dB,package<=9MB, pipeline.images_per_second>=0.1,unet.cycles<=1e9");
  ASSERT_EQ(results.size(), 4u);
  for (const GateResult &result : results)
    EXPECT_TRUE(result.passed) << describe(result);
  EXPECT_EQ(results[0].text, "unet.psnr>=40dB");
  EXPECT_DOUBLE_EQ(results[0].value, 54.2);
  EXPECT_DOUBLE_EQ(results[1].limit, 9e6);
  EXPECT_DOUBLE_EQ(results[1].value, 7300000);
  EXPECT_EQ(describe(results[0]), "unet.psnr>=40dB: 54.2, passed");
}

TEST(Gates, EveryGateCanFail) {
  auto results = evaluate(
      sampleReport(),
      "unet.psnr>=60dB,package<=7MB,pipeline.images_per_second>=3,unet.cycles<=1e5,psnr>54.2");
  for (const GateResult &result : results)
    EXPECT_FALSE(result.passed) << describe(result);
}

TEST(Gates, RatesOfAPackageThatPaintsNothingAreAnError) {
  Report report = sampleReport();
  report.clear_pipeline();
  auto gates = parseGates("pipeline.images_per_second>=0");
  ASSERT_TRUE(gates.ok());
  auto results = evaluateGates(report, *gates);
  ASSERT_FALSE(results.ok());
  EXPECT_THAT(std::string(results.status().message()), HasSubstr("paints no picture"));
}

TEST(Gates, OperatorsAtTheLimit) {
  auto results = evaluate(sampleReport(),
                          "package_bytes>=7300000,package<=7300000B,package>7.3MB,package<7.3MB");
  EXPECT_TRUE(results[0].passed);
  EXPECT_TRUE(results[1].passed);
  EXPECT_FALSE(results[2].passed);
  EXPECT_FALSE(results[3].passed);
}

TEST(Gates, Units) {
  auto results = evaluate(sampleReport(), "unet.package_bytes<=1KiB,unet.package_bytes<=1kB,unet."
                                          "package_bytes<=2MiB,unet.package_bytes<=2GB,"
                                          "unet.package_bytes<=2GiB,unet.seconds<=5ms,unet.seconds<"
                                          "=5 s,unet.energy<=3mJ,pipeline.joules_per_image<=2J");
  std::vector<double> limits;
  for (const GateResult &result : results)
    limits.push_back(result.limit);
  EXPECT_THAT(limits,
              ::testing::ElementsAre(1024, 1000, 2097152, 2e9, 2147483648.0, 0.005, 5, 0.003, 2));
}

TEST(Gates, BarePsnrIsTheWorstModule) {
  EXPECT_DOUBLE_EQ(evaluate(sampleReport(), "psnr>=1")[0].value, 54.2);
}

TEST(Gates, NotANumberFails) {
  Report report = sampleReport();
  report.mutable_modules(1)->set_psnr(std::numeric_limits<double>::quiet_NaN());
  EXPECT_FALSE(evaluate(report, "unet.psnr>=0")[0].passed);
  EXPECT_FALSE(evaluate(report, "unet.psnr<100")[0].passed);
}

TEST(Gates, SyntaxErrorsSayWhereAndWhatExists) {
  EXPECT_THAT(parseError(""), HasSubstr("gate column 1: nothing here"));
  EXPECT_THAT(parseError("package<=9MB,"), HasSubstr("gate column 14: nothing here"));
  EXPECT_THAT(parseError("package<=9MB,>=3"), HasSubstr("gate column 14: a metric is missing"));
  EXPECT_THAT(parseError("pakage<=9MB"),
              AllOf(HasSubstr("gate column 1: no metric 'pakage'"), HasSubstr("package_bytes")));
  EXPECT_THAT(parseError("unet.pnsr>=1"),
              AllOf(HasSubstr("gate column 6: no metric 'pnsr' of a module"),
                    HasSubstr("sram_peak_bytes")));
  EXPECT_THAT(parseError("unet.name>=1"), HasSubstr("no metric 'name'"));
  EXPECT_THAT(parseError("unet.layers>=1"), HasSubstr("no metric 'layers'"));
  EXPECT_THAT(parseError("pipeline.fps>=1"),
              AllOf(HasSubstr("of the pipeline"), HasSubstr("images_per_second")));
  EXPECT_THAT(parseError(".psnr>=1"), HasSubstr("a module name is missing"));
  EXPECT_THAT(parseError("package=9"),
              AllOf(HasSubstr("gate column 8: no operator '='"), HasSubstr(">= <= > <")));
  EXPECT_THAT(parseError("package==9"), HasSubstr("no operator '=='"));
  EXPECT_THAT(parseError("package!=9"), HasSubstr("no operator '!='"));
  EXPECT_THAT(parseError("package"), HasSubstr("gate column 8: an operator is missing"));
  EXPECT_THAT(parseError("package<="), HasSubstr("gate column 10: a number is missing"));
  EXPECT_THAT(parseError("package<=MB"), HasSubstr("gate column 10: a number is missing"));
  EXPECT_THAT(parseError("package<=nan"), HasSubstr("a number is missing"));
  EXPECT_THAT(parseError("package<=inf"), HasSubstr("a number is missing"));
  EXPECT_THAT(parseError("package<=1e999"), HasSubstr("number out of range"));
  EXPECT_THAT(parseError("package<=9Mb"),
              AllOf(HasSubstr("gate column 11: no unit 'Mb'"), HasSubstr("MiB")));
  EXPECT_THAT(parseError("unet.psnr>=40MB"), HasSubstr("no unit 'MB' for 'psnr'; there is: dB"));
  EXPECT_THAT(parseError("unet.cycles<=4s"), HasSubstr("there is: no unit"));
}

TEST(Gates, UnknownModuleListsThoseThere) {
  absl::StatusOr<std::vector<GateResult>> results =
      evaluateGates(sampleReport(), *parseGates("unte.psnr>=40"));
  ASSERT_FALSE(results.ok());
  EXPECT_EQ(results.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(results.status().message()),
              HasSubstr("no module 'unte'; there are: text_encoder unet vae_encoder vae_decoder"));
}

TEST(Gates, QualityOfStepsAndGuidance) {
  auto results = evaluate(sampleReport(), "unet.worst_bucket_psnr>=52, unet.guided_psnr>=43dB, "
                                          "unet.guidance_sqnr>30dB, unet.guidance_cosine>=0.99");
  ASSERT_EQ(results.size(), 4u);
  EXPECT_FALSE(results[0].passed) << describe(results[0]);
  EXPECT_TRUE(results[1].passed) << describe(results[1]);
  EXPECT_FALSE(results[2].passed) << describe(results[2]);
  EXPECT_TRUE(results[3].passed) << describe(results[3]);
}

TEST(Gates, GuidanceThatWasNotRecordedIsAnErrorNotAPass) {
  Report report = sampleReport();
  auto error = [&report](const char *text) {
    auto results = evaluateGates(report, *parseGates(text));
    EXPECT_FALSE(results.ok()) << text;
    return std::string(results.status().message());
  };
  EXPECT_THAT(error("vae_decoder.guided_psnr<=100"), HasSubstr("'vae_decoder' has no timestep"));
  EXPECT_THAT(error("vae_decoder.guidance_cosine<=1"), HasSubstr("has no timestep"));
  for (ModuleReport &module : *report.mutable_modules())
    module.clear_guided_psnr();
  EXPECT_THAT(error("unet.guided_psnr<=100"),
              HasSubstr("no recorded calls with unconditional and conditional rows"));
  for (ModuleReport &module : *report.mutable_modules())
    module.set_samples(0);
  EXPECT_THAT(error("unet.guidance_sqnr<=100"), HasSubstr("give samples"));
}

TEST(Gates, UnmeasuredQualityIsAnErrorNotAPass) {
  Report report = sampleReport();
  for (ModuleReport &module : *report.mutable_modules())
    module.set_samples(0);
  for (const char *text : {"psnr<=100", "unet.psnr<=100", "unet.worst_psnr<=100"}) {
    absl::StatusOr<std::vector<GateResult>> results = evaluateGates(report, *parseGates(text));
    ASSERT_FALSE(results.ok()) << text;
    EXPECT_THAT(std::string(results.status().message()), HasSubstr("was not measured"));
  }
}
