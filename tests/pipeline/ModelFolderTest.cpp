//===- ModelFolderTest.cpp - sizes of a folder's modules ----------------------===//

#include "compiler/pipeline/ModelFolder.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

using namespace sdopt;
using testing::AllOf;
using testing::HasSubstr;

namespace {

CompileOptions withDimensions(std::map<std::string, int64_t> dimensions) {
  CompileOptions options;
  options.model = SDOPT_TESTDATA "/patterns-sd2/opset17-fp32";
  options.dimensions = std::move(dimensions);
  return options;
}

} // namespace

TEST(ModelFolder, OneSizeOfTheLatentsIsThatOfAllModules) {
  for (const char *name : {"height", "latent_height"}) {
    const absl::StatusOr<ModelFolder> model = openModelFolder(withDimensions({{name, 24}}));
    ASSERT_TRUE(model.ok()) << model.status();
    ASSERT_EQ(model->modules.size(), 4u);
    for (const ModelModule &module : model->modules) {
      const int64_t pixels = module.name == "vae_encoder" ? 24 * 4 : 24;
      EXPECT_EQ(module.import.dimensions.at("height"), pixels) << module.name;
      EXPECT_EQ(module.import.dimensions.at("latent_height"), 24) << module.name;
      EXPECT_FALSE(module.import.dimensions.contains("width")) << module.name;
    }
  }
}

TEST(ModelFolder, TwoSizesOfTheLatentsAreAnError) {
  const absl::Status status =
      openModelFolder(withDimensions({{"width", 24}, {"latent_width", 32}})).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(
      std::string(status.message()),
      AllOf(HasSubstr("--dimension width=24 and latent_width=32"), HasSubstr("one of them")));
}
