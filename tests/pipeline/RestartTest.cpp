//===- RestartTest.cpp - stop after a stage, go on from it --------------------===//

#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

#include <filesystem>
#include <fstream>

using namespace sdopt;
using namespace sdopt::test;
using testing::AllOf;
using testing::HasSubstr;

namespace {

constexpr std::array<Stage, 6> kStages = {Stage::Import,   Stage::Normalize, Stage::Calibrate,
                                          Stage::Quantize, Stage::Lower,     Stage::Schedule};

/// Without the outputs that a stopped compilation does not make.
CompileOptions stopped(CompileOptions options, Stage stage) {
  options.stopAfter = stage;
  options.output.clear();
  options.reportFolder.clear();
  return options;
}

class Restart : public testing::Test {
protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    compiled(options("through"));
  }
  static void TearDownTestSuite() { delete folder_; }

  static CompileOptions options(const std::string &place) {
    CompileOptions options = optionsFor(folder_->path(place), smallModules());
    options.verify = VerifyMode::Fast;
    return options;
  }
  static std::string path(const std::string &name) { return folder_->path(name); }

  static TemporaryFolder *folder_;
};

TemporaryFolder *Restart::folder_ = nullptr;

class RestartFrom : public Restart, public testing::WithParamInterface<Stage> {};

TEST_P(RestartFrom, GivesTheSamePackageAndReport) {
  std::string place = name(GetParam());
  CompileOptions options = this->options(place);
  options.stageFolder = path(place + "/stages");
  compiled(stopped(options, GetParam()));
  EXPECT_FALSE(std::filesystem::exists(path(place + "/p.sdnpu")));
  options.startFrom = GetParam();
  compiled(options);
  expectSameOutputs(path("through"), path(place));
}

INSTANTIATE_TEST_SUITE_P(Stages, RestartFrom, testing::ValuesIn(kStages),
                         [](const auto &info) { return std::string(name(info.param)); });

TEST_F(Restart, StageByStageOnTheUnet) {
  writeFewSamples(path("samples"), "unet", 2);
  CompileOptions options = this->options("unet");
  options.modules = {"unet"};
  options.samples = path("samples");
  options.verify = VerifyMode::Off;
  compiled(options);
  options.output = path("unet-steps/p.sdnpu");
  options.reportFolder = path("unet-steps/report");
  options.stageFolder = path("unet-steps/stages");
  for (Stage stage : kStages) {
    compiled(stopped(options, stage));
    options.startFrom = stage;
  }
  compiled(options);
  expectSameOutputs(path("unet"), path("unet-steps"));
}

TEST_F(Restart, StatisticsGivenAtTheStart) {
  CompileOptions options = this->options("statistics");
  options.statisticsOut = path("statistics/pb");
  compiled(options);
  options.statisticsOut.clear();
  for (const std::string &module : smallModules())
    options.statistics.push_back(path("statistics/pb/" + module + ".pb"));
  options.stageFolder = path("statistics/stages");
  compiled(stopped(options, Stage::Lower));
  options.startFrom = Stage::Lower;
  compiled(options);
  expectSameOutputs(path("through"), path("statistics"));
}

TEST_F(Restart, AnotherRecipeFromTheStatisticsOn) {
  CompileOptions options = this->options("recipe");
  options.recipe = "w8a8";
  compiled(options);
  options.recipe = "w8a16";
  options.stageFolder = path("recipe-change/stages");
  compiled(stopped(options, Stage::Calibrate));
  options.recipe = "w8a8";
  options.startFrom = Stage::Calibrate;
  options.output = path("recipe-change/p.sdnpu");
  options.reportFolder = path("recipe-change/report");
  compiled(options);
  expectSameOutputs(path("recipe"), path("recipe-change"));
}

TEST_F(Restart, RefusesSnapshotsOfAnotherRecipe) {
  CompileOptions options = this->options("other-recipe");
  options.stageFolder = path("other-recipe/stages");
  compiled(stopped(options, Stage::Quantize));
  options.startFrom = Stage::Quantize;
  options.recipe = "w8a8";
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(textOf(result.status()), HasSubstr("were made for recipe w8a16 ("));
  EXPECT_THAT(textOf(result.status()), HasSubstr("use --start-from calibrate"));
}

TEST_F(Restart, RefusesSnapshotsOfOtherShapes) {
  CompileOptions options = this->options("other-shapes");
  options.modules = {"text_encoder"};
  options.stageFolder = path("other-shapes/stages");
  compiled(stopped(options, Stage::Normalize));
  options = stopped(options, Stage::Calibrate);
  options.startFrom = Stage::Normalize;
  options.batch = 1;
  EXPECT_THAT(
      textOf(compile(options, {}).status()),
      AllOf(HasSubstr("have input 'input_ids' of module 'text_encoder' as 2x77, not as 1x77"),
            HasSubstr("without --start-from")));
  options.batch = 2;
  compiled(options);
}

TEST_F(Restart, SchedulesForAnotherTarget) {
  CompileOptions options = this->options("other-target");
  options.stageFolder = path("other-target/stages");
  compiled(stopped(options, Stage::Schedule));
  options.target = "laptop";
  options.startFrom = Stage::Schedule;
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(textOf(result.status()), HasSubstr("were made for target mobile, not laptop"));
  options.startFrom = Stage::Lower;
  EXPECT_EQ(compiled(options).report.target(), "laptop");
}

TEST_F(Restart, DropsTheQualityOfAnEditedSnapshot) {
  for (Stage stage : {Stage::Quantize, Stage::Schedule}) {
    std::string place = std::string("edited-") + name(stage);
    CompileOptions options = this->options(place);
    options.verify = VerifyMode::Off;
    options.modules = {"text_encoder"};
    options.stageFolder = path(place + "/stages");
    compiled(stopped(options, stage));
    options.startFrom = stage;
    std::vector<std::string> warnings;
    Messages messages;
    messages.warning = [&](std::string_view text) { warnings.emplace_back(text); };
    absl::StatusOr<CompileResult> same = compile(options, messages);
    ASSERT_TRUE(same.ok()) << same.status();
    EXPECT_GT(same->report.modules(0).samples(), 0);
    EXPECT_THAT(warnings, testing::IsEmpty());

    std::string file = options.stageFolder + "/text_encoder/" + name(stage) + ".mlir";
    std::ofstream(file, std::ios::app) << "// edited\n";
    absl::StatusOr<CompileResult> edited = compile(options, messages);
    ASSERT_TRUE(edited.ok()) << edited.status();
    EXPECT_EQ(edited->report.modules(0).samples(), 0);
    EXPECT_THAT(warnings, testing::ElementsAre(HasSubstr(file + "' is not as it was written")));
    options.gates = "text_encoder.psnr>=1dB";
    EXPECT_THAT(textOf(compile(options, messages).status()), HasSubstr("text_encoder.psnr>=1dB"));
  }
}

TEST_F(Restart, NamesWhatIsMissing) {
  CompileOptions options = this->options("missing");
  options.stageFolder = path("missing/stages");
  options.startFrom = Stage::Quantize;
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(textOf(result.status()), HasSubstr("missing/stages/text_encoder/quantize.mlir"));
  EXPECT_THAT(textOf(result.status()), HasSubstr("run with --stop-after quantize --stages first"));
}

TEST_F(Restart, RefusesSnapshotsOfAnotherModel) {
  CompileOptions options = this->options("other");
  options.stageFolder = path("other/stages");
  compiled(stopped(options, Stage::Normalize));
  options.startFrom = Stage::Normalize;
  options.model = modelFolder(kHalfExport);
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(textOf(result.status()), HasSubstr("'model.onnx' is not the file"));
  EXPECT_FALSE(std::filesystem::exists(path("other/p.sdnpu")));
}

} // namespace
