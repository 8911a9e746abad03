//===- ReleaseChecksTest.cpp - gates and baselines of a compilation -----------===//

#include "compiler/report/Report.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

#include <filesystem>

using namespace sdopt;
using namespace sdopt::test;
using testing::HasSubstr;

namespace {

class ReleaseChecks : public testing::Test {
protected:
  CompileOptions options() { return optionsFor(folder_.path("out"), {"text_encoder"}); }

  /// Compiles once and stores the report, changed, as the baseline of a second compilation.
  template <typename Change> CompileResult againstBaseline(Change change) {
    Report report = compiled(options()).report;
    change(report);
    CompileOptions second = options();
    second.baseline = folder_.file("baseline.json", toJson(report));
    return compiled(second);
  }

  void expectNothingLeft() { EXPECT_TRUE(std::filesystem::is_empty(folder_.path("out"))); }

  TemporaryFolder folder_;
};

TEST_F(ReleaseChecks, GatesThatHold) {
  CompileOptions options = this->options();
  options.gates = "text_encoder.psnr>=40dB, package<=1MB";
  CompileResult result = compiled(options);
  ASSERT_EQ(result.gates.size(), 2u);
  EXPECT_TRUE(result.gates[0].passed && result.gates[1].passed);
  EXPECT_GE(result.gates[0].value, 40);
  EXPECT_EQ(result.gates[1].value, std::filesystem::file_size(options.output));
  EXPECT_TRUE(result.passed());
}

TEST_F(ReleaseChecks, GateThatFails) {
  CompileOptions options = this->options();
  options.gates = "text_encoder.psnr>=40dB, package<=1kB";
  CompileResult result = compiled(options);
  ASSERT_EQ(result.gates.size(), 2u);
  EXPECT_TRUE(result.gates[0].passed);
  EXPECT_FALSE(result.gates[1].passed);
  EXPECT_FALSE(result.passed());
  // A failed gate is a finding, not an error: the package and its report are there to be looked at.
  EXPECT_TRUE(std::filesystem::exists(options.output));
  EXPECT_TRUE(std::filesystem::exists(options.reportFolder + "/report.json"));
}

TEST_F(ReleaseChecks, UnknownMetric) {
  CompileOptions options = this->options();
  options.gates = "package<=1MB, text_encoder.beauty>=1";
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(textOf(result.status()), HasSubstr("beauty"));
  expectNothingLeft();
}

TEST_F(ReleaseChecks, UnknownModule) {
  CompileOptions options = this->options();
  options.gates = "vae_decoder.psnr>=40dB";
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(textOf(result.status()), HasSubstr("vae_decoder"));
  expectNothingLeft();
}

TEST_F(ReleaseChecks, GateOnWhatWasNotMeasured) {
  CompileOptions first = options();
  first.statisticsOut = folder_.path("statistics");
  compiled(first);
  CompileOptions options = optionsFor(folder_.path("second"), {"text_encoder"});
  options.samples.clear();
  options.statistics = {folder_.path("statistics/text_encoder.pb")};
  options.gates = "text_encoder.psnr>=1dB";
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition) << result.status();
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path("second")));
}

TEST_F(ReleaseChecks, TheSameAgainRegressesNowhere) {
  CompileResult result = againstBaseline([](Report &) {});
  EXPECT_TRUE(result.regressions.empty());
  EXPECT_TRUE(result.passed());
}

TEST_F(ReleaseChecks, RegressionsAreListedByLayer) {
  std::string layer;
  CompileResult result = againstBaseline([&](Report &report) {
    ModuleReport &module = *report.mutable_modules(0);
    module.set_psnr(module.psnr() + 1);
    module.mutable_layers(2)->set_cycles(module.layers(2).cycles() / 2);
    layer = module.layers(2).name();
  });
  ASSERT_EQ(result.regressions.size(), 2u);
  EXPECT_EQ(result.regressions[0].module, "text_encoder");
  EXPECT_EQ(result.regressions[0].metric, "psnr");
  EXPECT_EQ(result.regressions[0].layer, "");
  EXPECT_EQ(result.regressions[1].layer, layer);
  EXPECT_EQ(result.regressions[1].metric, "cycles");
  EXPECT_EQ(result.regressions[1].kind, RegressionKind::Worse);
  EXPECT_FALSE(result.passed());
}

TEST_F(ReleaseChecks, NewLayersAreNoFailure) {
  CompileResult result = againstBaseline(
      [](Report &report) { report.mutable_modules(0)->mutable_layers()->DeleteSubrange(3, 1); });
  ASSERT_EQ(result.regressions.size(), 1u);
  EXPECT_EQ(result.regressions[0].kind, RegressionKind::New);
  EXPECT_TRUE(result.passed());
}

TEST_F(ReleaseChecks, BrokenBaseline) {
  CompileOptions options = this->options();
  options.baseline = folder_.file("baseline.json", "{\"modules\": 3}");
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_FALSE(result.ok());
  EXPECT_THAT(textOf(result.status()), HasSubstr("baseline.json"));
  expectNothingLeft();
}

} // namespace
