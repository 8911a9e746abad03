//===- PalettesTest.cpp - weights that share values, through the pipeline -----===//

#include "compiler/pipeline/WeightReport.h"
#include "compiler/weights/Safetensors.h"
#include "compiler/weights/TensorFile.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>

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

TEST_F(PalettesTest, CodebooksLeaveAndComeBack) {
  const char *settings[] = {"weight_bits: 3", "weight_bits: 2, palette_outputs: 16",
                            "weight_bits: 4, palette_outputs: 1, rounding: gptq",
                            "weight_bits: 6, coded_bits: 3, storage: entropy",
                            "weight_bits: 4, prune: magnitude"};
  for (const char *setting : settings) {
    CompileOptions first = options("first", setting);
    first.codebooksOut = folder_.path("books");
    const ModuleReport before = moduleOf(compiled(first).report, "text_encoder");
    const std::string file = folder_.path("books/text_encoder.safetensors");

    // Whatever the recipe says of widths and rounding.
    const std::string text = setting;
    CompileOptions second =
        options("second", std::string("weight_bits: 8") +
                              (text.ends_with("magnitude") ? ", prune: magnitude" : "") +
                              (text.ends_with("entropy") ? ", storage: entropy" : ""));
    second.codebooks = {file};
    second.codebooksOut = folder_.path("again");
    const ModuleReport after = moduleOf(compiled(second).report, "text_encoder");
    EXPECT_EQ(bytesOf(folder_.path("again/text_encoder.safetensors")), bytesOf(file)) << setting;
    EXPECT_NEAR(after.psnr(), before.psnr(), 0.1) << setting; // biases: means of other sums
    EXPECT_EQ(after.weight_bits(), before.weight_bits()) << setting;
    if (text == "weight_bits: 3") {
      EXPECT_EQ(after.psnr(), before.psnr());
      CompileOptions twice = second;
      twice.output = folder_.path("twice.sdnpu");
      twice.threads = 3;
      twice.stageFolder = folder_.path("stages");
      twice.stopAfter = Stage::Calibrate;
      twice.output.clear();
      twice.reportFolder.clear();
      twice.codebooksOut.clear();
      compiled(twice);
      CompileOptions restarted = second;
      restarted.stageFolder = twice.stageFolder;
      restarted.startFrom = Stage::Calibrate;
      const std::string package = bytesOf(second.output);
      compiled(restarted);
      EXPECT_TRUE(bytesOf(second.output) == package);
    }
  }
}

TEST_F(PalettesTest, TrainedCodebooksAreTheWeights) {
  // Entries are moved as a training might, without the model: the codes stay.
  CompileOptions first = options("first", "weight_bits: 4, bias_correction: false");
  first.codebooksOut = folder_.path("books");
  compiled(first);
  const std::string file = folder_.path("books/text_encoder.safetensors");
  const auto read = [&](const std::string &path) {
    std::vector<std::pair<std::string, Tensor>> tensors;
    auto opened = TensorFile::open(path);
    EXPECT_TRUE(opened.ok()) << opened.status();
    for (const std::string &name : (*opened)->names())
      tensors.emplace_back(name, (*opened)->get(name)->converted((*opened)->get(name)->type()));
    return tensors;
  };
  std::vector<std::pair<std::string, Tensor>> tensors = read(file);
  ASSERT_GE(tensors.size(), 18u);
  for (auto &[name, tensor] : tensors)
    if (name.ends_with(".codebook")) {
      Tensor moved(ElementType::I8, tensor.shape());
      for (int64_t i = 0; i < tensor.size(); ++i)
        moved.mutableValues<int8_t>()[i] =
            static_cast<int8_t>(std::clamp(tensor.values<int8_t>()[i] + 3, -127, 127));
      tensor = std::move(moved);
    }
  const std::string trained = folder_.path("text_encoder.safetensors");
  ASSERT_TRUE(writeSafetensors(trained, tensors).ok());
  CompileOptions second = options("second", "weight_bits: 4, bias_correction: false");
  second.codebooks = {trained};
  second.codebooksOut = folder_.path("again");
  compiled(second);
  EXPECT_EQ(bytesOf(folder_.path("again/text_encoder.safetensors")), bytesOf(trained));

  // Without indices the weights get the nearest entries: those of the model's own codebooks are
  // what they were.
  tensors = read(file);
  std::erase_if(tensors, [](const auto &tensor) { return tensor.first.ends_with(".indices"); });
  ASSERT_TRUE(writeSafetensors(trained, tensors).ok());
  compiled(second);
  EXPECT_EQ(bytesOf(folder_.path("again/text_encoder.safetensors")), bytesOf(file));
}

TEST_F(PalettesTest, MistakesInCodebooksAreTold) {
  CompileOptions first = options("first", "weight_bits: 2");
  first.codebooksOut = folder_.path("books");
  compiled(first);
  std::map<std::string, Tensor> known;
  {
    auto opened = TensorFile::open(folder_.path("books/text_encoder.safetensors"));
    ASSERT_TRUE(opened.ok());
    for (const std::string &name : (*opened)->names())
      known[name] = *(*opened)->get(name);
  }
  const std::string book = known.begin()->first; // ... .codebook
  const std::string name = book.substr(0, book.rfind('.'));
  const Shape shape = known[name + ".indices"].shape();
  CompileOptions given = options("given", "weight_bits: 8");
  const auto errorWith = [&](std::map<std::string, Tensor> changed) {
    given.codebooks = {folder_.path("text_encoder.safetensors")};
    std::vector<std::pair<std::string, Tensor>> tensors;
    for (const char *suffix : {".codebook", ".scale", ".indices"})
      if (!changed.contains(name + suffix))
        changed[name + suffix] = known[name + suffix];
    for (const auto &[key, tensor] : changed)
      if (tensor.bytes())
        tensors.emplace_back(key, tensor);
    EXPECT_TRUE(writeSafetensors(given.codebooks[0], tensors).ok());
    const auto result = compile(given, {});
    EXPECT_FALSE(std::filesystem::exists(given.output));
    return textOf(result.status());
  };
  const int64_t outputs = shape[0];
  const auto scales = [&](float value) {
    Tensor tensor(ElementType::F32, {outputs});
    std::ranges::fill(tensor.mutableValues<float>(), 0.01f);
    tensor.mutableValues<float>()[1] = value;
    return tensor;
  };
  EXPECT_THAT(errorWith({{"nothing.weight.codebook", known[book]}}),
              HasSubstr("has no layer with a codebook for 'nothing.weight.codebook'"));
  EXPECT_THAT(errorWith({{name + ".scale", Tensor()}}), HasSubstr(name + ".scale"));
  EXPECT_THAT(errorWith({{book, Tensor(ElementType::I8, {outputs, 3})}}),
              HasSubstr("rows of 2, 4, ... 128 entries"));
  EXPECT_THAT(errorWith({{book, Tensor(ElementType::F32, {outputs, 4})}}), HasSubstr("needs i8"));
  EXPECT_THAT(errorWith({{book, Tensor(ElementType::I8, {outputs + 1, 4})}}), HasSubstr("needs"));
  Tensor lowest(ElementType::I8, {outputs, 4});
  lowest.mutableValues<int8_t>()[0] = -128;
  EXPECT_THAT(errorWith({{book, lowest}}), HasSubstr("entry of -128"));
  for (float bad : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN(),
                    std::numeric_limits<float>::infinity(), 1e-40f})
    EXPECT_THAT(errorWith({{name + ".scale", scales(bad)}}),
                HasSubstr("with a scale that is no positive number"));
  EXPECT_THAT(errorWith({{name + ".scale", Tensor(ElementType::I32, {outputs})}}),
              HasSubstr("real numbers"));
  EXPECT_THAT(errorWith({{name + ".scale", Tensor(ElementType::F32, {outputs, 1})}}),
              HasSubstr("real numbers"));
  Tensor large(ElementType::U8, shape);
  large.mutableValues<uint8_t>()[5] = 4;
  EXPECT_THAT(errorWith({{name + ".indices", large}}), HasSubstr("with index 4 of 4 entries"));
  EXPECT_THAT(errorWith({{name + ".indices", Tensor(ElementType::U8, {outputs, 1})}}),
              HasSubstr("needs u8"));
  // A codebook without zero for a layer that is pruned.
  Tensor ones(ElementType::I8, {outputs, 4});
  std::ranges::fill(ones.mutableValues<int8_t>(), int8_t(1));
  given = options("given", "weight_bits: 8, prune: magnitude");
  EXPECT_THAT(errorWith({{book, ones}}), HasSubstr("has a zero at weight element"));
  given.startFrom = Stage::Quantize;
  given.stageFolder = folder_.path("stages");
  EXPECT_THAT(errorWith({}), HasSubstr("--codebooks is about how to quantize"));
  given.codebooksOut = folder_.path("books");
  EXPECT_THAT(errorWith({}), HasSubstr("--export-codebooks writes what is chosen"));
  given = options("given", "weight_bits: 8");
  given.codebooks = {folder_.path("unet.safetensors")};
  EXPECT_THAT(textOf(compile(given, {}).status()),
              HasSubstr("--codebooks " + given.codebooks[0] + " is of no module"));
}

TEST_F(PalettesTest, OneBitWithoutPaletteIsAnError) {
  CompileOptions uniform = options("uniform", "weight_bits: 1");
  std::ofstream(uniform.recipe) << "version: 1\nname: one\nglobal: {weight_bits: 1}\n";
  EXPECT_THAT(textOf(compile(uniform, {}).status()),
              HasSubstr("uniform.yaml:3:9: 'weight_bits' is 1, which needs "
                        "'weight_coding: palette'"));
}

} // namespace
