//===- PruningTest.cpp - zeros among weights, through the pipeline ------------===//

#include "compiler/weights/Safetensors.h"
#include "compiler/weights/TensorFile.h"
#include "tests/pipeline/Compiling.h"
#include "tests/weights/TemporaryFolder.h"

#include "gmock/gmock.h"

#include <filesystem>
#include <fstream>
#include <limits>

using namespace sdopt;
using namespace sdopt::test;
using testing::HasSubstr;

namespace {

class PruningTest : public testing::Test {
protected:
  CompileOptions options(const std::string &place, const std::string &settings,
                         std::vector<std::string> modules = {"text_encoder"}) {
    CompileOptions options = optionsFor(folder_.path(place), modules);
    options.recipe = folder_.path("recipe.yaml");
    std::ofstream(options.recipe) << "version: 1\nname: pruned\n" << settings << "\n";
    options.verify = VerifyMode::Fast;
    return options;
  }

  std::string errorOf(const CompileOptions &options) {
    return textOf(compile(options, {}).status());
  }

  std::map<std::string, Tensor> tensorsOf(const std::string &file) {
    auto tensors = TensorFile::open(file);
    EXPECT_TRUE(tensors.ok()) << tensors.status();
    std::map<std::string, Tensor> result;
    if (tensors.ok())
      for (const std::string &name : (*tensors)->names())
        result[name] = *(*tensors)->get(name);
    return result;
  }

  TemporaryFolder folder_;
};

std::string contentsOf(const Tensor &tensor) {
  return {reinterpret_cast<const char *>(tensor.bytes()), static_cast<size_t>(tensor.byteSize())};
}

double zeroShare(const Tensor &mask) {
  double zeros = 0;
  for (uint8_t kept : mask.values<uint8_t>())
    zeros += !kept;
  return zeros / static_cast<double>(mask.size());
}

TEST_F(PruningTest, EverySettingIsExact) {
  const char *settings[] = {
      "global: {prune: magnitude, sparsity: 0.6}",
      "global: {prune: magnitude, prune_scope: global, activation_bits: 8, smooth: search}",
      "global: {prune: wanda, sparsity: 2:4, weight_bits: 4, weight_symmetric: false}",
      "prune_timesteps: early\nglobal: {prune: wanda, prune_scope: threshold, weight_bits: 3, "
      "group_size: 0}",
      "global: {prune: sparsegpt, sparsity: 0.5, weight_bits: 4, rounding: gptq}",
      "global: {prune: sparsegpt, sparsity: 4:8, prune_update: least_squares, weight_bits: 8,"
      " activation_bits: 8, smooth: search, rounding: gptq}",
      "global: {prune: wanda, prune_scope: layer, prune_norms: dense}",
      "global: {prune: wanda, sparsity: 1:4, prune_norms: dense, prune_update: least_squares, "
      "bias_correction: false,"
      " weight_bits: 5, weight_symmetric: false, rounding: gptq}",
  };
  int number = 0;
  for (const char *setting : settings) {
    const std::string place = "p" + std::to_string(number++);
    CompileOptions one = options(place, setting);
    one.threads = 1;
    const Report report = compiled(one).report;
    EXPECT_THAT(report.DebugString(), HasSubstr(" weights are zero (")) << setting;
    CompileOptions two = options(place + "t", setting);
    two.threads = 3;
    compiled(two);
    expectSameOutputs(folder_.path(place), folder_.path(place + "t"));
  }
}

TEST_F(PruningTest, ConvolutionsAreExactToo) {
  const char *settings[] = {
      "global: {prune: wanda, sparsity: 2:4}",
      "global: {prune: sparsegpt, sparsity: 0.5, weight_bits: 4, rounding: gptq}",
  };
  for (const char *setting : settings)
    compiled(options("conv", setting, {"vae_encoder"}));
}

TEST_F(PruningTest, WhatMakesUpForZerosLosesLess) {
  for (const char *sparsity : {"0.5", "2:4"}) {
    auto psnrWith = [&](const std::string &pruning) {
      const std::string settings = "global: {sparsity: " + std::string(sparsity) +
                                   ", prune: " + pruning + "}\ntypes: {linear: {prune: none}}";
      return moduleOf(compiled(options("o", settings, {"vae_encoder"})).report, "vae_encoder")
          .psnr();
    };
    const double magnitude = psnrWith("magnitude"), wanda = psnrWith("wanda"),
                 sparsegpt = psnrWith("sparsegpt"),
                 solved = psnrWith("wanda, prune_update: least_squares"),
                 both = psnrWith("sparsegpt, prune_update: least_squares");
    EXPECT_GE(wanda, magnitude) << sparsity;
    EXPECT_GT(sparsegpt, wanda + 10) << sparsity;
    EXPECT_GT(solved, wanda + 10) << sparsity;
    EXPECT_GT(both, sparsegpt + 1) << sparsity;
  }
}

TEST_F(PruningTest, StartingInBetweenChangesNothing) {
  const std::string settings = "global: {prune: sparsegpt, weight_bits: 4, activation_bits: 8,"
                               " smooth: search, rounding: gptq}";
  compiled(options("through", settings));
  CompileOptions stages = options("restarted", settings);
  stages.stageFolder = folder_.path("stages");
  for (Stage stage : {Stage::Normalize, Stage::Calibrate, Stage::Quantize}) {
    CompileOptions stopped = stages;
    stopped.stopAfter = stage;
    stopped.output.clear();
    stopped.reportFolder.clear();
    compiled(stopped);
    CompileOptions restarted = stages;
    restarted.startFrom = stage;
    compiled(restarted);
    expectSameOutputs(folder_.path("through"), folder_.path("restarted"));
  }
  CompileOptions other = options("restarted", "global: {prune: sparsegpt, sparsity: 0.4}");
  other.stageFolder = stages.stageFolder;
  other.startFrom = Stage::Calibrate;
  EXPECT_THAT(errorOf(other), HasSubstr("use --start-from normalize or an earlier stage"));
  CompileOptions dense = options("restarted", "global: {weight_bits: 8}");
  dense.stageFolder = stages.stageFolder;
  dense.startFrom = Stage::Calibrate;
  EXPECT_THAT(errorOf(dense), HasSubstr("not none"));
}

TEST_F(PruningTest, MasksLeaveAndComeBack) {
  CompileOptions first = options("first", "global: {prune: wanda, sparsity: 2:4}");
  first.masksOut = folder_.path("masks");
  const Report report = compiled(first).report;
  const std::string file = folder_.path("masks/text_encoder.safetensors");
  std::map<std::string, Tensor> masks = tensorsOf(file);
  ASSERT_GE(masks.size(), 6u);
  for (const auto &[name, mask] : masks) {
    EXPECT_THAT(name, testing::EndsWith(".weight"));
    EXPECT_EQ(mask.type(), ElementType::Bool);
    EXPECT_EQ(zeroShare(mask), 0.5) << name;
  }
  // Given masks need no 'prune', and are what comes out again.
  CompileOptions second = options("second", "global: {weight_bits: 8}");
  second.masks = {file};
  second.masksOut = folder_.path("again");
  const Report same = compiled(second).report;
  EXPECT_EQ(bytesOf(folder_.path("again/text_encoder.safetensors")), bytesOf(file));
  EXPECT_EQ(moduleOf(same, "text_encoder").psnr(), moduleOf(report, "text_encoder").psnr());

  CompileOptions biased = options("biased", "global: {prune_update: bias}");
  biased.masks = {file};
  biased.masksOut = folder_.path("biased");
  const Report moved = compiled(biased).report;
  EXPECT_EQ(bytesOf(folder_.path("biased/text_encoder.safetensors")), bytesOf(file));
  EXPECT_NE(moduleOf(moved, "text_encoder").psnr(), moduleOf(report, "text_encoder").psnr());

  CompileOptions updated = options("second", "global: {prune_update: least_squares}");
  updated.masks = {file};
  EXPECT_GT(moduleOf(compiled(updated).report, "text_encoder").psnr(),
            moduleOf(report, "text_encoder").psnr() + 1);
}

TEST_F(PruningTest, DenseNormsDoNotDependOnWhatElseIsPruned) {
  for (const char *module : {"text_encoder", "vae_encoder"})
    for (const char *how : {"sparsity: 2:4", "sparsity: 0.5", "prune_scope: layer"}) {
      auto masksOf = [&](const std::string &settings) {
        CompileOptions given = options("o", settings, {module});
        given.output.clear();
        given.reportFolder.clear();
        given.stageFolder = folder_.path("stages");
        given.stopAfter = Stage::Calibrate;
        given.verify = VerifyMode::Off;
        given.masksOut = folder_.path("masks");
        compiled(given);
        return tensorsOf(folder_.path(std::string("masks/") + module + ".safetensors"));
      };
      const std::string all = std::string("global: {prune: wanda, ") + how;
      std::map<std::string, Tensor> dense = masksOf(all + ", prune_norms: dense}");
      std::map<std::string, Tensor> inOrder = masksOf(all + "}");
      ASSERT_EQ(dense.size(), inOrder.size());
      ASSERT_GE(dense.size(), 4u);
      int differ = 0, tried = 0;
      for (const auto &[name, mask] : dense) {
        differ += contentsOf(mask) != contentsOf(inOrder[name]);
        if (tried++ % (dense.size() / 2) != 0)
          continue;
        std::map<std::string, Tensor> alone =
            masksOf("names: [{match: '*" + name.substr(0, name.rfind('.')) + "*', prune: wanda, " +
                    how + "}]");
        ASSERT_EQ(alone.size(), 1u);
        EXPECT_EQ(contentsOf(alone.begin()->second), contentsOf(mask)) << name << ": " << how;
      }
      EXPECT_GT(differ, 0) << module << ": " << how;
    }
}

TEST_F(PruningTest, MistakesAreTold) {
  CompileOptions statistics = options("o", "global: {prune: magnitude}");
  statistics.statisticsOut = folder_.path("statistics");
  compiled(statistics);
  CompileOptions noSamples = options("o", "global: {prune: wanda}");
  noSamples.statistics = {folder_.path("statistics/text_encoder.pb")};
  noSamples.samples.clear();
  noSamples.verify = VerifyMode::Off;
  EXPECT_THAT(errorOf(noSamples),
              HasSubstr("has layers whose 'prune' needs recorded inputs: give --samples"));
  noSamples.recipe = "w8a16";
  EXPECT_THAT(errorOf(noSamples), HasSubstr("holds statistics of another module"));
  EXPECT_THAT(errorOf(options("o", "global: {sparsity: 1.5}")),
              HasSubstr("recipe.yaml:3:20: 'sparsity' must be the share of zeros"));
  EXPECT_THAT(errorOf(options("o", "names: [{match: nothing, prune: wanda}]")),
              HasSubstr("rule 'nothing' of 'names' matches no layer"));

  CompileOptions stopped = options("o", "names: [{match: nothing, prune: wanda}]");
  stopped.stageFolder = folder_.path("stages");
  stopped.stopAfter = Stage::Calibrate;
  stopped.output.clear();
  stopped.reportFolder.clear();
  EXPECT_THAT(errorOf(stopped), HasSubstr("rule 'nothing' of 'names' matches no layer"));

  CompileOptions masks = options("o", "global: {weight_bits: 8}");
  masks.masks = {folder_.path("unet.safetensors")};
  EXPECT_THAT(errorOf(masks), HasSubstr("is of no module that is compiled; it must be named "
                                        "text_encoder.safetensors"));
  masks.masks = {folder_.path("text_encoder.safetensors")};
  EXPECT_THAT(errorOf(masks), HasSubstr("text_encoder.safetensors"));
  ASSERT_TRUE(
      writeSafetensors(masks.masks[0], {{"a.weight", Tensor(ElementType::Bool, {2, 2})}}).ok());
  EXPECT_THAT(errorOf(masks), HasSubstr("has no layer for mask 'a.weight'"));
  CompileOptions exported = options("o", "global: {prune: magnitude}");
  exported.masksOut = folder_.path("masks");
  compiled(exported);
  std::map<std::string, Tensor> known = tensorsOf(folder_.path("masks/text_encoder.safetensors"));
  ASSERT_FALSE(known.empty());
  ASSERT_TRUE(
      writeSafetensors(masks.masks[0], {{known.begin()->first, Tensor(ElementType::Bool, {3, 2})}})
          .ok());
  EXPECT_THAT(errorOf(masks), HasSubstr("is 3x2"));
  for (float bad : {0.5f, 2.0f, -1.0f, std::numeric_limits<float>::quiet_NaN()}) {
    Tensor soft(ElementType::F32, known.begin()->second.shape());
    soft.mutableValues<float>()[7] = bad;
    ASSERT_TRUE(writeSafetensors(masks.masks[0], {{known.begin()->first, soft}}).ok());
    EXPECT_THAT(errorOf(masks), HasSubstr("whose element 7 is neither 0 nor 1"));
  }
  // A compilation that fails later leaves no masks and no codebooks.
  CompileOptions failing = options("o", "global: {prune: magnitude, weight_bits: 4, "
                                        "weight_coding: palette}");
  failing.samples = folder_.path("untested");
  failing.masksOut = folder_.path("failed");
  failing.codebooksOut = folder_.path("failed-books");
  writeFewSamples(failing.samples, "text_encoder", 2);
  std::filesystem::remove(failing.samples + "/text_encoder_test.safetensors");
  EXPECT_THAT(errorOf(failing), HasSubstr("text_encoder_test"));
  EXPECT_FALSE(std::filesystem::exists(failing.masksOut + "/text_encoder.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(failing.codebooksOut + "/text_encoder.safetensors"));

  CompileOptions late = options("o", "global: {prune: magnitude}");
  late.masksOut = folder_.path("masks");
  late.stageFolder = folder_.path("stages");
  late.startFrom = Stage::Quantize;
  EXPECT_THAT(errorOf(late), HasSubstr("--export-masks writes what pruning chooses"));
}

} // namespace
