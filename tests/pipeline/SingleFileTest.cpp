//===- SingleFileTest.cpp - one .onnx file instead of a folder ----------------===//

#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

#include <algorithm>
#include <filesystem>

using namespace sdopt;
using namespace sdopt::test;
using testing::HasSubstr;

namespace {

/// Commands and constants of the only module of a package.
struct ModuleBytes {
  std::string name, commands;
  std::vector<std::byte> constants;
  friend bool operator==(const ModuleBytes &, const ModuleBytes &) = default;
};

ModuleBytes moduleBytes(const std::string &path) {
  absl::StatusOr<std::unique_ptr<Package>> package = Package::open(path);
  EXPECT_TRUE(package.ok()) << package.status();
  if (!package.ok() || (*package)->modules().size() != 1)
    return {};
  const PackageModule &module = (*package)->modules()[0];
  return {module.info.network.name,
          encodeCommands(module.info.program.commands),
          {module.constants.begin(), module.constants.end()}};
}

class SingleFile : public testing::Test {
protected:
  SingleFile() {
    compiled(optionsFor(folder_.path("folder"), {"text_encoder"}));
    expected_ = moduleBytes(folder_.path("folder/p.sdnpu"));
    EXPECT_EQ(expected_.name, "text_encoder");
  }

  CompileOptions fileOptions() {
    CompileOptions options = optionsFor(folder_.path("file"), {});
    options.model = modelFolder() + "/text_encoder/model.onnx";
    return options;
  }

  TemporaryFolder folder_;
  ModuleBytes expected_;
};

TEST_F(SingleFile, InputShape) {
  CompileOptions options = fileOptions();
  options.inputShapes["input_ids"] = {2, 77};
  compiled(options);
  EXPECT_EQ(moduleBytes(options.output), expected_);
}

TEST_F(SingleFile, InputShapeWithTheModulesName) {
  CompileOptions options = fileOptions();
  options.inputShapes["text_encoder.input_ids"] = {2, 77};
  compiled(options);
  EXPECT_EQ(moduleBytes(options.output), expected_);
}

TEST_F(SingleFile, NamedDimensions) {
  CompileOptions options = fileOptions();
  options.batch = 2;
  options.dimensions["sequence_length"] = 77;
  compiled(options);
  EXPECT_EQ(moduleBytes(options.output), expected_);
}

TEST_F(SingleFile, NamedAfterTheFile) {
  std::filesystem::create_directories(folder_.path("elsewhere"));
  std::string file = folder_.path("elsewhere/clip.onnx");
  std::filesystem::copy_file(modelFolder() + "/text_encoder/model.onnx", file);
  for (const char *set : {"_calibration.safetensors", "_test.safetensors"})
    std::filesystem::copy_file(samplesFolder() + "/text_encoder" + set,
                               folder_.path("elsewhere/clip") + set);
  CompileOptions options = fileOptions();
  options.model = file;
  options.samples = folder_.path("elsewhere");
  options.inputShapes["input_ids"] = {2, 77};
  CompileResult result = compiled(options);
  ModuleBytes module = moduleBytes(options.output);
  EXPECT_EQ(module.name, "clip");
  EXPECT_EQ(module.commands, expected_.commands);
  EXPECT_EQ(module.constants, expected_.constants);
  EXPECT_EQ(std::count(result.inputs.begin(), result.inputs.end(), file), 1);
}

TEST_F(SingleFile, AnotherBatch) {
  CompileOptions options = fileOptions();
  options.inputShapes["input_ids"] = {1, 77};
  compiled(options);
  absl::StatusOr<std::unique_ptr<Package>> package = Package::open(options.output);
  ASSERT_TRUE(package.ok()) << package.status();
  for (const TensorInfo &tensor : (*package)->modules()[0].info.network.tensors)
    if (tensor.role != TensorRole::Intermediate) {
      EXPECT_EQ(tensor.logicalShape[0], 1) << tensor.name;
    }
}

TEST_F(SingleFile, UnknownDimensionIsNamed) {
  CompileOptions options = fileOptions();
  options.inputShapes["input_ids"] = {2, 77};
  options.dimensions["sequenz_length"] = 77;
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(textOf(result.status()), HasSubstr("'sequenz_length'"));
  EXPECT_THAT(textOf(result.status()), HasSubstr("'batch_size', 'sequence_length'"));
  EXPECT_FALSE(std::filesystem::exists(options.output));
}

/// Sizes from the configurations are defaults: a shape that is given wins.
TEST_F(SingleFile, ShapeOverridesTheConfiguration) {
  CompileOptions options = fileOptions();
  options.model = modelFolder();
  options.modules = {"text_encoder"};
  options.inputShapes["text_encoder.input_ids"] = {1, 20};
  options.stopAfter = Stage::Normalize;
  options.stageFolder = folder_.path("stages");
  options.output.clear();
  options.reportFolder.clear();
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_TRUE(result.ok()) << result.status();
}

TEST_F(SingleFile, UnboundDimensionIsNamed) {
  CompileOptions options = fileOptions();
  options.batch = 2;
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(textOf(result.status()), HasSubstr("sequence_length"));
  EXPECT_THAT(textOf(result.status()), HasSubstr("input_ids"));
}

TEST_F(SingleFile, ShapeForNoInput) {
  CompileOptions options = fileOptions();
  options.inputShapes["pixels"] = {2, 77};
  absl::StatusOr<CompileResult> result = compile(options, {});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(textOf(result.status()), HasSubstr("pixels"));
}

} // namespace
