//===- NamePatternTest.cpp - globs against a recursive definition -----------===//

#include "compiler/recipe/NamePattern.h"

#include "gtest/gtest.h"

#include <random>

using namespace sdopt;

namespace {

/// The definition, spelled out.
bool fitsByDefinition(std::string_view glob, std::string_view name) {
  if (glob.empty())
    return name.empty();
  if (glob[0] == '*')
    return fitsByDefinition(glob.substr(1), name) ||
           (!name.empty() && fitsByDefinition(glob, name.substr(1)));
  return !name.empty() && (glob[0] == '?' || glob[0] == name[0]) &&
         fitsByDefinition(glob.substr(1), name.substr(1));
}

} // namespace

TEST(Glob, IsItsDefinition) {
  std::mt19937 random(1);
  int fits = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string glob, name;
    for (unsigned n = random() % 8; n > 0; --n)
      glob += "ab/*?*"[random() % 6];
    for (unsigned n = random() % 9; n > 0; --n)
      name += "ab/"[random() % 3];
    ASSERT_EQ(fitsGlob(glob, name), fitsByDefinition(glob, name)) << glob << " on " << name;
    fits += fitsGlob(glob, name);
  }
  EXPECT_GT(fits, 500);
}

TEST(Glob, FitsTheNamesOfBothExporters) {
  EXPECT_TRUE(fitsGlob("*conv_in*", "/unet/conv_in/Conv"));
  EXPECT_TRUE(fitsGlob("*conv_in*", "unet.conv_in.weight"));
  EXPECT_FALSE(fitsGlob("*conv_in*", "unet.conv_out.weight"));
  EXPECT_FALSE(fitsGlob("conv_in", "unet.conv_in.weight"));
  EXPECT_TRUE(fitsGlob("*resnets.?.conv1*", "/down_blocks.1/resnets.0/conv1/Conv") ==
              fitsByDefinition("*resnets.?.conv1*", "/down_blocks.1/resnets.0/conv1/Conv"));
  EXPECT_FALSE(fitsGlob("[ab]", "a"));
}

TEST(Glob, ManyStarsAreNotSlow) {
  std::string glob, name(20000, 'a');
  for (int i = 0; i < 200; ++i)
    glob += "a*";
  EXPECT_FALSE(fitsGlob(glob + "b", name));
  EXPECT_TRUE(fitsGlob(glob, name));
}

TEST(NamePattern, RegularExpressionsFitWholeNames) {
  EXPECT_TRUE(fitsAny("re:.*resnets\\.[01]\\..*", {"x", "unet.resnets.1.conv1.weight"}));
  EXPECT_FALSE(fitsAny("re:resnets", {"unet.resnets.1"}));
  EXPECT_FALSE(fitsAny("re:(", {"("}));
  EXPECT_FALSE(fitsAny("*", {}));
}

TEST(NamePattern, IsChecked) {
  EXPECT_TRUE(checkNamePattern("*").ok());
  EXPECT_TRUE(checkNamePattern("re:[ab]+").ok());
  EXPECT_FALSE(checkNamePattern("").ok());
  EXPECT_FALSE(checkNamePattern("re:").ok());
  EXPECT_FALSE(checkNamePattern("re:[ab").ok());
  EXPECT_FALSE(checkNamePattern(std::string(1001, 'a')).ok());
}

TEST(ModulePaths, OfBothExporters) {
  const auto paths = [](std::vector<std::string> names) {
    const size_t before = names.size();
    addModulePaths(names);
    return std::vector<std::string>(names.begin() + static_cast<int64_t>(before), names.end());
  };
  EXPECT_EQ(paths({"/unet/down_blocks.0/attentions.0/proj_in/MatMul"}),
            (std::vector<std::string>{"unet.down_blocks.0.attentions.0.proj_in",
                                      "down_blocks.0.attentions.0.proj_in"}));
  EXPECT_EQ(paths({"/conv_in/Conv"}), (std::vector<std::string>{"conv_in"}));
  EXPECT_EQ(paths({"node_conv2d_1", "unet/unet.conv_in.weight", "unet/unet.conv_in.bias"}),
            (std::vector<std::string>{"unet.conv_in", "conv_in"}));
  EXPECT_EQ(paths({"/Add", "/", "", "unet/onnx::MatMul_12", "val_3"}), std::vector<std::string>{});
}
