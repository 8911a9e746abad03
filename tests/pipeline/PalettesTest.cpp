//===- PalettesTest.cpp - weights that share values, through the pipeline -----===//

#include "compiler/pipeline/WeightReport.h"
#include "compiler/weights/WeightStore.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

#include <fstream>

using namespace sdopt;
using namespace sdopt::test;
using testing::HasSubstr;

namespace {

class PalettesTest : public testing::Test {
protected:
  CompileOptions options(const std::string &place, const std::string &settings,
                         const std::string &head = "") {
    CompileOptions options = optionsFor(folder_.path(place), {"text_encoder"});
    options.recipe = folder_.path(place + ".yaml");
    std::ofstream(options.recipe) << "version: 1\nname: palettes\n"
                                  << head << "global: {weight_coding: palette, " << settings
                                  << "}\n";
    options.verify = VerifyMode::Fast;
    return options;
  }

  /// Bits that a weight of a matrix layer takes in the file, scales included: embeddings are not
  /// searched.
  static double packedBits(const CompileOptions &options) {
    const auto package = Package::open(options.output);
    EXPECT_TRUE(package.ok()) << package.status();
    return package.ok() ? storedBitsPerWeight((*package)->modules().front().info, /*rows=*/false)
                        : 0;
  }

  TemporaryFolder folder_;
};

TEST_F(PalettesTest, MoreBitsMorePalettesAndRoundingGain) {
  double before = 0;
  for (const char *settings : {"weight_bits: 1", "weight_bits: 3", "weight_bits: 3, rounding: gptq",
                               "weight_bits: 5", "weight_bits: 5, palette_outputs: 1"}) {
    const Report report = compiled(options("gain", settings)).report;
    const ModuleReport &module = moduleOf(report, "text_encoder");
    EXPECT_GT(module.psnr(), before + 0.3) << settings;
    before = module.psnr();
    const char *form = std::string(settings).starts_with("weight_bits: 1")   ? "1 bit palette"
                       : std::string(settings).starts_with("weight_bits: 3") ? "3 bit palette"
                                                                             : "5 bit palette";
    int64_t shared = 0;
    for (const LayerReport &layer : module.layers())
      if (!layer.weight_form().empty()) {
        EXPECT_THAT(layer.weight_form(), HasSubstr(form)) << layer.name();
        ++shared;
      }
    EXPECT_GE(shared, 6);
  }
}

TEST_F(PalettesTest, EightBitsAreInt8) {
  const Report report = compiled(options("eight", "weight_bits: 8")).report;
  for (const LayerReport &layer : moduleOf(report, "text_encoder").layers())
    if (!layer.weight_form().empty()) {
      EXPECT_THAT(layer.weight_form(), HasSubstr("int8")) << layer.name();
    }
}

TEST_F(PalettesTest, NothingElseDecides) {
  for (const std::string rounding : {"nearest", "gptq"}) {
    const std::string settings =
        "weight_bits: 3, palette_outputs: 8, activation_bits: 8, smooth: search, rounding: " +
        rounding;
    expectNothingElseDecides(folder_.path("stages-" + rounding),
                             [&](const std::string &place) { return options(place, settings); });
  }
}

TEST_F(PalettesTest, WidthsAreSearched) {
  CompileOptions search =
      options("search", "weight_bits: 4, palette_outputs: 8", "budget: 3.5bit\n");
  const Report report = compiled(search).report;
  const ModuleReport &module = moduleOf(report, "text_encoder");
  EXPECT_LE(packedBits(search), 3.5);
  EXPECT_GE(packedBits(search), 3.3);
  const double even =
      moduleOf(compiled(options("even", "weight_bits: 3, palette_outputs: 8")).report,
               "text_encoder")
          .psnr();
  EXPECT_GT(module.psnr(), even);
}

TEST_F(PalettesTest, CodedPalettesLoseLessThanPlainOnes) {
  const Report plain = compiled(options("plain", "weight_bits: 3")).report;
  const Report coded =
      compiled(options("coded", "weight_bits: 5, coded_bits: 3, storage: entropy")).report;
  const ModuleReport &few = moduleOf(plain, "text_encoder"),
                     &even = moduleOf(coded, "text_encoder");
  // Layers of 4096 weights have the coder's lanes to pay for.
  EXPECT_LE(even.weight_bits(), few.weight_bits() * 1.06);
  EXPECT_GT(even.psnr(), few.psnr() + 1);
}

/// Rounding that lets errors make up for each other spreads codes, and an entropy coder pays for
/// that after the forms were chosen.
TEST_F(PalettesTest, BudgetsHoldForThePackage) {
  for (const std::string rounding : {"nearest", "gptq"})
    for (const double budget : {2.5, 3.0}) {
      CompileOptions search = options(
          "budget", "weight_bits: 6, coded_bits: 3, storage: entropy, rounding: " + rounding,
          "budget: " + std::to_string(budget) + "bit\n");
      search.sensitivitySamples = 1;
      search.sensitivityFolder = folder_.path("sensitivity");
      compiled(search);
      EXPECT_LE(packedBits(search), budget) << rounding;
      EXPECT_GE(packedBits(search), 0.97 * budget) << rounding;
    }
}

TEST_F(PalettesTest, ABudgetThatNothingKeepsTellsTheLeastOne) {
  const auto errorAt = [&](const std::string &budget) {
    CompileOptions search =
        options("error", "weight_bits: 6, coded_bits: 3, storage: entropy, rounding: gptq",
                "budget: " + budget + "bit\n");
    search.sensitivitySamples = 1;
    search.sensitivityFolder = folder_.path("sensitivity");
    return textOf(compile(search, {}).status());
  };
  for (const std::string budget : {"0.5", "1.2"}) {
    const std::string text = errorAt(budget), before = "give --budget ";
    ASSERT_THAT(text, HasSubstr("module 'text_encoder': the budget of " + budget));
    ASSERT_THAT(text, HasSubstr(before));
    EXPECT_EQ(errorAt(text.substr(text.find(before) + before.size(), 4)), "");
  }
}

/// Prune, share, code: which layers are pruned is searched as well.
TEST_F(PalettesTest, PruningAndPalettesAreSearchedTogether) {
  const std::string settings = "weight_bits: 6, coded_bits: 3, storage: entropy, rounding: gptq, "
                               "prune: sparsegpt, sparsity: 0.5, prune_update: least_squares";
  std::string first;
  for (int threads : {1, 2}) {
    const std::string place = "joint-" + std::to_string(threads);
    CompileOptions search = options(place, settings, "budget: 2.5bit\n");
    search.threads = threads;
    search.sensitivitySamples = 1;
    search.masksOut = folder_.path(place + "-masks");
    search.sensitivityFolder = folder_.path(place + "-sensitivity");
    const Report report = compiled(search).report;
    const ModuleReport &module = moduleOf(report, "text_encoder");
    int64_t layers = 0;
    for (const WeightFormReport &form : module.weight_forms())
      layers += form.layers();
    EXPECT_LE(packedBits(search), 2.5);
    EXPECT_GE(packedBits(search), 2.4);
    // What is not pruned after all leaves no mask.
    const auto masks = TensorFile::open(search.masksOut + "/text_encoder.safetensors");
    ASSERT_TRUE(masks.ok()) << masks.status();
    EXPECT_LT((*masks)->names().size(), static_cast<size_t>(layers));
    const std::string content = bytesOf(search.output);
    if (threads == 1)
      first = content;
    else
      EXPECT_TRUE(content == first) << "the number of threads decides";
  }
}

/// The errors of layers of pruned and of dense functions are not the same, but can lie together.
TEST_F(PalettesTest, RecipesShareAFolderOfSensitivities) {
  const std::string coded = "weight_bits: 6, coded_bits: 3, storage: entropy";
  const auto packageOf = [&](const std::string &place, const std::string &settings,
                             const std::string &kept) {
    CompileOptions search = options(place, settings, "budget: 3bit\n");
    search.sensitivitySamples = 1;
    search.sensitivityFolder = folder_.path(kept);
    search.verify = VerifyMode::Off;
    compiled(search);
    return bytesOf(search.output);
  };
  const std::string pruned = coded + ", prune: wanda, sparsity: 0.5";
  packageOf("dense", coded, "shared");
  EXPECT_TRUE(packageOf("shared", pruned, "shared") == packageOf("alone", pruned, "own"));
}

TEST_F(PalettesTest, OneBitWithoutPaletteIsAnError) {
  CompileOptions uniform = options("uniform", "weight_bits: 1");
  std::ofstream(uniform.recipe) << "version: 1\nname: one\nglobal: {weight_bits: 1}\n";
  EXPECT_THAT(textOf(compile(uniform, {}).status()),
              HasSubstr("uniform.yaml:3:9: 'weight_bits' is 1, which needs "
                        "'weight_coding: palette'"));
}

} // namespace
