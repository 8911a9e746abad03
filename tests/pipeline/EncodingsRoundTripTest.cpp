//===- EncodingsRoundTripTest.cpp - formats out and in again ------------------===//

#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include <fstream>

namespace sdopt::test {
namespace {

/// Written encodings, read back, give the package that they were written for.
void expectSamePackage(EncodingsVersion version, const std::string &settings) {
  TemporaryFolder folder;
  const std::string recipe = folder.path("recipe.yaml");
  std::ofstream(recipe) << "version: 1\nname: all\nglobal: {" << settings << "}\n";
  CompileOptions options = optionsFor(folder.path("a"), smallModules());
  options.recipe = recipe;
  options.encodingsFolder = folder.path("encodings");
  options.encodingsVersion = version;
  compiled(options);
  options = optionsFor(folder.path("b"), smallModules());
  options.recipe = recipe;
  for (const std::string &module : smallModules())
    options.encodings.push_back(folder.path("encodings/" + module + ".encodings"));
  compiled(options);
  std::string package = bytesOf(folder.path("a/p.sdnpu"));
  EXPECT_FALSE(package.empty());
  EXPECT_TRUE(package == bytesOf(folder.path("b/p.sdnpu")));
}

TEST(EncodingsRoundTrip, Version1) {
  expectSamePackage(EncodingsVersion::V1, "weight_bits: 8, activation_bits: 16");
}
TEST(EncodingsRoundTrip, Version2) {
  expectSamePackage(EncodingsVersion::V2, "weight_bits: 8, activation_bits: 16");
}
TEST(EncodingsRoundTrip, SmoothedEightBits) {
  expectSamePackage(EncodingsVersion::V2,
                    "weight_bits: 8, activation_bits: 8, activation_range: mse, smooth: search");
}
TEST(EncodingsRoundTrip, CodesOfSecondMoments) {
  expectSamePackage(EncodingsVersion::V1, "weight_bits: 8, activation_bits: 8, rounding: gptq");
}
TEST(EncodingsRoundTrip, NarrowWeightsAreOfTheRecipe) {
  expectSamePackage(EncodingsVersion::V2, "weight_bits: 4, activation_bits: 8, smooth: 0.5, "
                                          "group_size: 32, weight_symmetric: false");
}
TEST(EncodingsRoundTrip, WeightsOfTwoTermsAreOfTheRecipe) {
  expectSamePackage(EncodingsVersion::V2, "weight_bits: 16, activation_bits: 8");
}

} // namespace
} // namespace sdopt::test
