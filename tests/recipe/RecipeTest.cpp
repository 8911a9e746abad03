//===- RecipeTest.cpp - recipes, their precedence and their mistakes --------===//

#include "compiler/recipe/Recipe.h"
#include "compiler/files/WholeFile.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include <random>
#include <unistd.h>

using namespace sdopt;
using testing::HasSubstr;

namespace {

constexpr const char *kRecipe = R"(version: 1
name: mixed
global: {activation_bits: 16, weight_range: minmax}
types:
  conv2d: {activation_bits: 8}
  linear: {activation_range: mse}
modules:
  vae_decoder: {activation_bits: 16}
names:
  - match: "*conv1*"
    activation_bits: 8
    activation_range: mse
  - match: 're:.*resnets\.1\..*'
    activation_bits: 16
)";

Recipe recipeOf(const std::string &text) {
  auto recipe = parseRecipe(text, "mixed.yaml");
  EXPECT_TRUE(recipe.ok()) << recipe.status();
  return recipe.ok() ? *recipe : Recipe();
}

std::string errorOf(const std::string &text) {
  auto recipe = parseRecipe(text, "r.yaml");
  EXPECT_FALSE(recipe.ok()) << text;
  EXPECT_EQ(recipe.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(recipe.status().message());
}

std::string withHead(const std::string &body) { return "version: 1\nname: r\n" + body; }

} // namespace

TEST(RecipePrecedence, GlobalTypesModulesNames) {
  Recipe recipe = recipeOf(kRecipe);
  EXPECT_EQ(recipe.resolve("unet", "add", {"a"}).activationBits, 16);
  EXPECT_EQ(recipe.resolve("unet", "conv2d", {"a"}).activationBits, 8);
  EXPECT_EQ(recipe.resolve("vae_decoder", "conv2d", {"a"}).activationBits, 16);
  EXPECT_EQ(recipe.resolve("vae_decoder", "conv2d", {"x", "b.conv1.w"}).activationBits, 8);
  // The last rule that fits wins, setting by setting.
  LayerRecipe both = recipe.resolve("unet", "conv2d", {"resnets.1.conv1.w"});
  EXPECT_EQ(both.activationBits, 16);
  EXPECT_EQ(both.activationRange.estimator, ActivationEstimator::MSE);
  EXPECT_EQ(both.weightRange, RangeEstimator::MinMax);
  EXPECT_EQ(both.weightBits, 8);
  EXPECT_EQ(recipe.resolve("unet", "linear", {"a"}).activationRange.estimator,
            ActivationEstimator::MSE);
  EXPECT_EQ(recipe.resolve("unet", "add", {"a"}).activationRange.estimator,
            ActivationEstimator::MinMax);
}

TEST(RecipePrecedence, IsExplained) {
  Recipe recipe = recipeOf(kRecipe);
  EXPECT_THAT(
      recipe.explain("unet", "conv2d", {"conv1"}),
      testing::ElementsAre(
          "weight_bits = 8 by default", "weight_range = minmax from mixed.yaml:3:9 (global)",
          "group_size = 64 by default", "weight_symmetric = true by default",
          "taps = one by default", "weight_granularity = channel by default",
          "rounding = nearest by default", "storage = auto by default",
          "weight_coding = uniform by default", "palette_outputs = 0 by default",
          "coded_bits = 0 by default", "activation_bits = 8 from mixed.yaml:10:5 (names: *conv1*)",
          "activation_range = mse from mixed.yaml:10:5 (names: *conv1*)",
          "bias_correction = true by default", "smooth = off by default", "prune = none by default",
          "sparsity = 0.5 by default", "prune_scope = usual by default",
          "prune_norms = pruned by default", "prune_update = usual by default",
          "winograd_min_sqnr = off by default"));
  EXPECT_THAT(recipe.explain("vae_decoder", "conv2d", {"a"})[11],
              "activation_bits = 16 from mixed.yaml:8:3 (modules: vae_decoder)");
  EXPECT_THAT(recipe.explain("unet", "conv2d", {"a"})[11],
              "activation_bits = 8 from mixed.yaml:5:3 (types: conv2d)");
}

TEST(RecipeMatching, UnmatchedRulesAreListed) {
  Recipe recipe = recipeOf(kRecipe);
  recipe.explain("unet", "linear", {"conv1"}); // explaining is not matching
  recipe.resolve("unet", "conv2d", {"conv1"});
  absl::Status status = recipe.checkAllMatched();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(status.message()),
            "mixed.yaml:6:3: rule 'linear' of 'types' matches no layer\n"
            "mixed.yaml:8:3: rule 'vae_decoder' of 'modules' matches no layer\n"
            "mixed.yaml:13:5: rule 're:.*resnets\\.1\\..*' of 'names' matches no layer");
  recipe.resolve("vae_decoder", "add", {"resnets.2.x"});
  Recipe copy = recipe;
  recipe.resolve("unet", "linear", {"a.resnets.1.x"});
  EXPECT_TRUE(recipe.checkAllMatched().ok()) << recipe.checkAllMatched();
  EXPECT_FALSE(copy.checkAllMatched().ok());
}

TEST(RecipeMatching, RulesOfAModuleThatIsPassedOverMayMatchNothing) {
  Recipe recipe = recipeOf(kRecipe);
  recipe.resolve("unet", "conv2d", {"conv1"});
  recipe.passOver("vae_decoder", {"b.resnets.2.x"});
  EXPECT_EQ(std::string(recipe.checkAllMatched().message()),
            "mixed.yaml:13:5: rule 're:.*resnets\\.1\\..*' of 'names' matches no layer");
  recipe.passOver("text_encoder", {"a.resnets.1.x"});
  EXPECT_TRUE(recipe.checkAllMatched().ok()) << recipe.checkAllMatched();
}

TEST(Recipe, EstimatorsOfActivations) {
  auto rangeOf = [](const std::string &text) {
    Recipe recipe = recipeOf(withHead("global: {activation_range: " + text + "}\n"));
    Recipe again = recipeOf(recipe.canonicalText());
    EXPECT_EQ(again.global.activationRange, recipe.global.activationRange) << text;
    return recipe.resolve("unet", "conv2d", {"a"}).activationRange;
  };
  EXPECT_EQ(rangeOf("minmax"), ActivationRange());
  EXPECT_EQ(rangeOf("mse"), ActivationRange{ActivationEstimator::MSE});
  EXPECT_EQ(rangeOf("moving_average"), ActivationRange{ActivationEstimator::MovingAverage});
  EXPECT_EQ(rangeOf("entropy"), ActivationRange{ActivationEstimator::Entropy});
  EXPECT_EQ(rangeOf("percentile"), (ActivationRange{ActivationEstimator::Percentile, 99.99}));
  EXPECT_EQ(rangeOf("{percentile: 99.9}"),
            (ActivationRange{ActivationEstimator::Percentile, 99.9}));
  EXPECT_EQ(rangeOf("{percentile: 100}").percentile, 100);
}

TEST(Recipe, LeastSqnrOfWinograd) {
  const std::string text = withHead("global: {winograd_min_sqnr: 42.5dB}\n"
                                    "types: {conv2d: {winograd_min_sqnr: 40dB}}\n"
                                    "names:\n  - {match: a, winograd_min_sqnr: off}\n");
  for (Recipe recipe : {recipeOf(text), recipeOf(recipeOf(text).canonicalText())}) {
    EXPECT_EQ(recipe.resolve("unet", "linear", {"b"}).winogradMinSqnr, 42.5);
    EXPECT_EQ(recipe.resolve("unet", "conv2d", {"b"}).winogradMinSqnr, 40);
    EXPECT_EQ(recipe.resolve("unet", "conv2d", {"a"}).winogradMinSqnr, 0);
    EXPECT_THAT(recipe.explain("unet", "conv2d", {"b"}),
                testing::Contains(testing::StartsWith("winograd_min_sqnr = 40dB from ")));
  }
  const Recipe none = recipeOf(withHead(""));
  EXPECT_THAT(none.canonicalText(), testing::Not(HasSubstr("winograd_min_sqnr")));
  for (const char *wrong : {"40", "0dB", "-1dB", "201dB", "4bit", "true", "[40dB]", "nandB",
                            "infdB", "'40 dB'", "1e400dB", "~"})
    EXPECT_THAT(errorOf(withHead("global: {winograd_min_sqnr: " + std::string(wrong) + "}\n")),
                HasSubstr("r.yaml:3:29: 'winograd_min_sqnr' must be off or dB, above 0 and at most "
                          "200: 40dB"));
}

TEST(Recipe, PruningIsReadAndWritten) {
  const char *text = "prune_timesteps: early\n"
                     "global: {prune: wanda, sparsity: 0.6, prune_scope: threshold,"
                     " prune_norms: dense}\n"
                     "types: {linear: {prune: sparsegpt, sparsity: 2:4, prune_scope: row,"
                     " prune_norms: pruned}}\n"
                     "names:\n  - {match: a, prune: none}\n"
                     "  - {match: b, prune: magnitude, sparsity: '4:8', prune_scope: global,"
                     " prune_update: least_squares}\n";
  for (Recipe recipe :
       {recipeOf(withHead(text)), recipeOf(recipeOf(withHead(text)).canonicalText())}) {
    EXPECT_EQ(recipe.pruneTimesteps, TimestepWeights::Early);
    LayerRecipe conv = recipe.resolve("unet", "conv2d", {"c"});
    EXPECT_EQ(conv.pruning, Pruning::Wanda);
    EXPECT_EQ(conv.sparsity, Sparsity{.fraction = 0.6});
    EXPECT_EQ(conv.pruneScope, PruneScope::Threshold);
    EXPECT_EQ(conv.pruneNorms, PruneNorms::Dense);
    EXPECT_EQ(conv.pruneUpdate, PruneUpdate::Usual);
    LayerRecipe linear = recipe.resolve("unet", "linear", {"c"});
    EXPECT_EQ(linear.pruning, Pruning::SparseGPT);
    EXPECT_TRUE(linear.sparsity.hasPattern());
    EXPECT_EQ(linear.sparsity.kept, 2);
    EXPECT_EQ(linear.sparsity.group, 4);
    EXPECT_EQ(linear.pruneScope, PruneScope::Row);
    EXPECT_EQ(linear.pruneNorms, PruneNorms::Pruned);
    EXPECT_EQ(recipe.resolve("unet", "linear", {"a"}).pruning, Pruning::None);
    LayerRecipe named = recipe.resolve("unet", "linear", {"b"});
    EXPECT_EQ(named.pruning, Pruning::Magnitude);
    EXPECT_EQ(name(named.sparsity), "4:8");
    EXPECT_EQ(named.pruneScope, PruneScope::Global);
    EXPECT_EQ(named.pruneUpdate, PruneUpdate::LeastSquares);
    EXPECT_TRUE(recipe.setsPruningByName({"b"}));
    EXPECT_FALSE(recipe.setsPruningByName({"c"}));
  }
}

TEST(Recipe, MistakesOfPruning) {
  EXPECT_THAT(errorOf(withHead("hoist: true\nprune_timesteps: early\nglobal: {}\n")),
              HasSubstr("'global' sets nothing"));
  for (const char *bad : {"0", "1", "1.5", "-0.5", "0:4", "4:4", "5:4", "2:17", "'2:'", ":4",
                          "2:4:8", "half", "nan", "''", "[2, 4]"})
    EXPECT_THAT(errorOf(withHead("global: {sparsity: " + std::string(bad) + "}\n")),
                HasSubstr("'sparsity' must be the share of zeros, above 0 and below 1, or N:M"))
        << bad;
  EXPECT_THAT(errorOf(withHead("global: {prune: sometimes}\n")),
              HasSubstr("r.yaml:3:17: 'prune' must be none, magnitude, wanda or sparsegpt, found "
                        "'sometimes'"));
  EXPECT_THAT(errorOf(withHead("global: {prune_scope: column}\n")),
              HasSubstr("'prune_scope' must be usual, row, layer, global or threshold"));
  EXPECT_THAT(errorOf(withHead("global: {prune_norms: some}\n")),
              HasSubstr("'prune_norms' must be pruned or dense, found 'some'"));
  EXPECT_THAT(errorOf(withHead("global: {prune_update: [none]}\n")),
              HasSubstr("'prune_update' must be usual, none, bias, sweep or least_squares"));
  EXPECT_THAT(errorOf(withHead("prune_timesteps: late\n")),
              HasSubstr("'prune_timesteps' must be uniform or early, found 'late'"));
}

TEST(Recipe, SettingsOfTheWholeRecipe) {
  EXPECT_TRUE(recipeOf(withHead("")).splitConcats);
  Recipe off = recipeOf(withHead("split_concats: false\n"));
  EXPECT_FALSE(off.splitConcats);
  EXPECT_FALSE(recipeOf(off.canonicalText()).splitConcats);
  EXPECT_THAT(errorOf(withHead("split_concats: maybe\n")),
              HasSubstr("'split_concats' must be true or false"));
  EXPECT_EQ(recipeOf(withHead("")).timestepBuckets, 1);
  const Recipe eight = recipeOf(withHead("timestep_buckets: 8\n"));
  EXPECT_EQ(eight.timestepBuckets, 8);
  EXPECT_EQ(recipeOf(eight.canonicalText()).timestepBuckets, 8);
  for (const char *bad : {"0", "9", "100000000000"})
    EXPECT_THAT(errorOf(withHead("timestep_buckets: " + std::string(bad) + "\n")),
                HasSubstr("'timestep_buckets' is " + std::string(bad) + ", must be 1 to 8"));
}

TEST(RecipeCanonical, RoundTripsAndIgnoresTheWayItIsWritten) {
  std::string text = recipeOf(kRecipe).canonicalText();
  EXPECT_EQ(recipeOf(text).canonicalText(), text);
  Recipe again = recipeOf(text), first = recipeOf(kRecipe);
  for (const char *module : {"unet", "vae_decoder"})
    for (const char *type : {"conv2d", "linear", "add"})
      for (const char *layer : {"conv1", "b.resnets.1.conv1", "c"}) {
        LayerRecipe a = first.resolve(module, type, {layer}),
                    b = again.resolve(module, type, {layer});
        EXPECT_EQ(a.activationBits, b.activationBits);
        EXPECT_EQ(a.weightRange, b.weightRange);
        EXPECT_EQ(a.activationRange, b.activationRange);
      }
  std::string plain =
      withHead("types:\n  linear: {activation_bits: 8}\n  add: {activation_bits: 8}\n");
  std::string other = withHead("types: {add: {activation_bits: 8}, linear: {activation_bits: 8}}\n"
                               "global:\n  weight_bits: 8 # the default\n");
  EXPECT_EQ(recipeOf(plain).canonicalText(), recipeOf(other).canonicalText());
  std::string odd = recipeOf(withHead("names: [{match: 'a\"b\\c\u00e9*', activation_bits: 8}]\n"))
                        .canonicalText();
  EXPECT_EQ(recipeOf(odd).names[0].match, "a\"b\\c\u00e9*");
}

TEST(RecipeNarrowWeights, AreReadAndWritten) {
  std::string text =
      withHead("global: {weight_bits: 4, group_size: 32, weight_symmetric: false, "
               "taps: all, weight_granularity: tensor, rounding: gptq}\n"
               "types:\n  linear: {group_size: 0, weight_symmetric: true, taps: one, "
               "weight_granularity: channel, rounding: nearest}\n");
  for (Recipe recipe : {recipeOf(text), recipeOf(recipeOf(text).canonicalText())}) {
    LayerRecipe conv = recipe.resolve("unet", "conv2d", {"a"});
    EXPECT_EQ(conv.weightBits, 4);
    EXPECT_EQ(conv.rounding, Rounding::GPTQ);
    EXPECT_EQ(recipe.resolve("unet", "linear", {"a"}).rounding, Rounding::Nearest);
    EXPECT_EQ(conv.groupSize, 32);
    EXPECT_FALSE(conv.weightSymmetric);
    EXPECT_TRUE(conv.sharedTaps);
    EXPECT_TRUE(conv.oneScale);
    LayerRecipe linear = recipe.resolve("unet", "linear", {"a"});
    EXPECT_EQ(linear.groupSize, 0);
    EXPECT_TRUE(linear.weightSymmetric);
    EXPECT_FALSE(linear.sharedTaps);
    EXPECT_FALSE(linear.oneScale);
  }
}

TEST(RecipeBudget, IsBitsBytesOrDecibels) {
  EXPECT_EQ(name(*parseBudget("4.5bit")), "4.5bit");
  EXPECT_EQ(name(*parseBudget("0.5byte")), "4bit");
  EXPECT_EQ(name(*parseBudget("40dB")), "40dB");
  for (const char *text : {"", "4.5", "bit", "-1bit", "0bit", "17bit", "4,5bit", "4.5 bit",
                           "nanbit", "infdB", "201dB", "4.5bits"})
    EXPECT_FALSE(parseBudget(text).has_value()) << text;
  auto recipe = parseRecipe("version: 1\nname: m\nbudget: 4.5bit\n", "m.yaml");
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  EXPECT_EQ(name(*recipe->budget), "4.5bit");
  auto again = parseRecipe(recipe->canonicalText(), "again.yaml");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->canonicalText(), recipe->canonicalText());
  EXPECT_FALSE(parseRecipe("version: 1\nname: m\nbudget: 5\n", "m.yaml").ok());
}

TEST(RecipeBuiltIn, AreThere) {
  EXPECT_EQ(builtInRecipes(),
            (std::vector<std::string>{"deep-compression", "mixed", "palette-mixed", "palette4",
                                      "pruned-2of4", "w4a16", "w4a8", "w8a16", "w8a8"}));
  for (const std::string &name : builtInRecipes()) {
    auto recipe = loadRecipe(name);
    ASSERT_TRUE(recipe.ok()) << recipe.status();
    EXPECT_EQ(recipe->name, name);
    EXPECT_TRUE(recipe->checkAllMatched().ok());
    EXPECT_EQ(recipeOf(recipe->canonicalText()).canonicalText(), recipe->canonicalText());
  }
}

TEST(RecipeBuiltIn, W8A16KeepsSixteenBits) {
  Recipe recipe = *loadRecipe("w8a16");
  for (const std::string &type : recipeOpTypes()) {
    LayerRecipe layer = recipe.resolve("unet", type, {"x"});
    EXPECT_EQ(layer.weightBits, 8);
    EXPECT_EQ(layer.activationBits, 16);
    EXPECT_EQ(layer.weightRange, RangeEstimator::MSE);
  }
}

TEST(RecipeBuiltIn, W8A8KeepsSensitiveLayersAtSixteenBits) {
  Recipe recipe = *loadRecipe("w8a8");
  auto bits = [&](const std::string &module, const std::string &type, const std::string &name) {
    return recipe.resolve(module, type, {name}).activationBits;
  };
  // Node names of one exporter, weight names of the other.
  EXPECT_EQ(bits("unet", "conv2d", "/unet/down_blocks.0/resnets.0/conv1/Conv"), 8);
  EXPECT_EQ(bits("unet", "conv2d", "unet.down_blocks.0.resnets.0.conv1.weight"), 8);
  EXPECT_EQ(bits("unet", "linear", "node_linear_4"), 8);
  EXPECT_EQ(bits("unet", "conv2d", "/unet/conv_in/Conv"), 16);
  EXPECT_EQ(bits("unet", "conv2d", "unet.conv_out.weight"), 16);
  EXPECT_EQ(bits("unet", "conv2d", "unet.up_blocks.0.resnets.0.conv_shortcut.weight"), 16);
  EXPECT_EQ(bits("unet", "linear", "/unet/down_blocks.0/resnets.0/time_emb_proj/Gemm"), 16);
  EXPECT_EQ(bits("unet", "linear", "unet.time_embedding.linear_1.weight"), 16);
  EXPECT_EQ(bits("unet", "group_norm", "x"), 16);
  EXPECT_EQ(bits("unet", "attention", "/unet/attentions.0/transformer_blocks.0/attn1/Softmax"), 8);
  EXPECT_EQ(bits("unet", "attention", "/unet/attentions.0/transformer_blocks.0/attn2/Softmax"), 16);
  EXPECT_EQ(bits("transformer", "attention", "/transformer_blocks.0/attn/Softmax"), 16);
  EXPECT_EQ(bits("vae_decoder", "attention", "x"), 16);
  EXPECT_EQ(bits("vae_decoder", "conv2d", "x"), 16);
  EXPECT_EQ(bits("text_encoder", "linear", "x"), 16);
}

TEST(RecipeSettings, BiasCorrectionAndSmoothing) {
  Recipe recipe = recipeOf(withHead(
      "global: {bias_correction: false, smooth: 0.75}\n"
      "types:\n  linear: {smooth: search}\n  conv2d: {smooth: off}\n  silu: {smooth: awq}\n"));
  EXPECT_FALSE(recipe.resolve("unet", "linear", {"a"}).biasCorrection);
  EXPECT_EQ(recipe.resolve("unet", "linear", {"a"}).smooth, Smoothing{.on = true});
  EXPECT_EQ(recipe.resolve("unet", "conv2d", {"a"}).smooth, Smoothing{});
  EXPECT_EQ(recipe.resolve("unet", "silu", {"a"}).smooth, (Smoothing{.on = true, .awq = true}));
  EXPECT_EQ(recipe.resolve("unet", "add", {"a"}).smooth, (Smoothing{.on = true, .exponent = 0.75}));
  EXPECT_EQ(recipeOf(recipe.canonicalText()).canonicalText(), recipe.canonicalText());
  for (const char *value : {"on", "1.5", "-0.5", "'0.5'", "nan", "[0.5]"})
    EXPECT_THAT(errorOf(withHead("global: {smooth: " + std::string(value) + "}\n")),
                HasSubstr("'smooth' must be off, search, awq or an exponent from 0 to 1"))
        << value;
  EXPECT_THAT(errorOf(withHead("global: {bias_correction: 1}\n")),
              HasSubstr("'bias_correction' must be true or false"));
}

TEST(RecipePalettes, AreReadAndWritten) {
  std::string text =
      withHead("global: {weight_bits: 3, weight_coding: palette, palette_outputs: 16}\n"
               "names:\n  - {match: a, weight_bits: 8}\n"
               "  - {match: b, weight_coding: uniform, palette_outputs: 0}\n");
  for (Recipe recipe : {recipeOf(text), recipeOf(recipeOf(text).canonicalText())}) {
    LayerRecipe other = recipe.resolve("unet", "conv2d", {"c"});
    EXPECT_TRUE(other.hasPalettes());
    EXPECT_EQ(other.paletteOutputs, 16);
    EXPECT_FALSE(recipe.resolve("unet", "conv2d", {"a"}).hasPalettes());
    LayerRecipe uniform = recipe.resolve("unet", "linear", {"b"});
    EXPECT_FALSE(uniform.hasPalettes());
    EXPECT_EQ(uniform.paletteOutputs, 0);
  }
  EXPECT_FALSE(recipeOf(withHead("")).resolve("unet", "conv2d", {"a"}).palette);
}

TEST(RecipePalettes, CodedBits) {
  const std::string text = withHead("global: {weight_coding: palette, coded_bits: 2.5}\n"
                                    "names:\n  - {match: a, coded_bits: 0}\n");
  for (Recipe recipe : {recipeOf(text), recipeOf(recipeOf(text).canonicalText())}) {
    EXPECT_EQ(recipe.resolve("unet", "conv2d", {"c"}).codedBits, 2.5);
    EXPECT_EQ(recipe.resolve("unet", "conv2d", {"a"}).codedBits, 0);
  }
  for (const char *bits : {"0.2", "7.5", "-1"})
    EXPECT_THAT(errorOf(withHead("global: {coded_bits: " + std::string(bits) + "}\n")),
                HasSubstr("'coded_bits' is " + std::string(bits) + ", must be 0 or 0.25 to 7"));
}

TEST(RecipePalettes, OneBitNeedsThem) {
  Recipe recipe = recipeOf(withHead("global: {weight_coding: palette, weight_bits: 1}\n"
                                    "names:\n  - {match: a, weight_coding: uniform}\n"));
  recipe.resolve("unet", "conv2d", {"b"});
  recipe.resolve("unet", "conv2d", {"a"});
  recipe.resolve("unet", "conv2d", {"a"});
  EXPECT_EQ(std::string(recipe.checkAllMatched().message()),
            "mixed.yaml:3:9: 'weight_bits' is 1, which needs 'weight_coding: palette'");
}

TEST(RecipeErrors, CarryLineAndColumn) {
  EXPECT_THAT(
      errorOf(withHead("global: {weight_bit: 8}\n")),
      HasSubstr("r.yaml:3:10: unknown key 'weight_bit' in 'global'; known are weight_bits, "
                "weight_range, group_size, weight_symmetric, taps, weight_granularity, "
                "rounding, weight_coding, palette_outputs, coded_bits, storage, activation_bits, "
                "activation_range, bias_correction, "
                "smooth"));
  EXPECT_THAT(errorOf(withHead("globals: {weight_bits: 8}\n")),
              HasSubstr("r.yaml:3:1: unknown key 'globals' in a recipe"));
  EXPECT_THAT(errorOf(withHead("global: {weight_bits: 9}\n")),
              HasSubstr("r.yaml:3:23: 'weight_bits' is 9, must be 1 to 8, or 16"));
  EXPECT_THAT(errorOf(withHead("global: {weight_bits: 0}\n")),
              HasSubstr("r.yaml:3:23: 'weight_bits' is 0, must be 1 to 8, or 16"));
  EXPECT_THAT(errorOf(withHead("global: {weight_coding: codebook}\n")),
              HasSubstr("'weight_coding' must be palette or uniform"));
  for (const char *outputs : {"65536", "100000"})
    EXPECT_THAT(errorOf(withHead("global: {palette_outputs: " + std::string(outputs) + "}\n")),
                HasSubstr("'palette_outputs' is " + std::string(outputs) + ", must be 0 to 65535"));
  for (const char *size : {"15", "257", "64000", "1"})
    EXPECT_THAT(errorOf(withHead("global: {group_size: " + std::string(size) + "}\n")),
                HasSubstr("r.yaml:3:22: 'group_size' is " + std::string(size) +
                          ", must be 0 or 16 to 256"));
  EXPECT_THAT(errorOf(withHead("global: {weight_symmetric: yes}\n")),
              HasSubstr("'weight_symmetric' must be true or false"));
  EXPECT_THAT(errorOf(withHead("global: {taps: two}\n")), HasSubstr("'taps' must be all or one"));
  EXPECT_THAT(errorOf(withHead("global: {weight_granularity: group}\n")),
              HasSubstr("'weight_granularity' must be tensor or channel"));
  EXPECT_THAT(errorOf(withHead("global: {rounding: up}\n")),
              HasSubstr("'rounding' must be gptq or nearest"));
  EXPECT_THAT(errorOf(withHead("global: {activation_bits: 12}\n")),
              HasSubstr("r.yaml:3:27: 'activation_bits' is 12, must be 8 or 16"));
  EXPECT_THAT(errorOf(withHead("global: {activation_bits: '8'}\n")),
              HasSubstr("r.yaml:3:27: 'activation_bits' must be a whole number, found '8'"));
  EXPECT_THAT(errorOf(withHead("global: {weight_range: mae}\n")),
              HasSubstr("r.yaml:3:24: 'weight_range' must be minmax or mse, found 'mae'"));
  EXPECT_THAT(errorOf(withHead("global: {activation_range: kl}\n")),
              HasSubstr("r.yaml:3:28: 'activation_range' must be minmax, mse, moving_average, "
                        "entropy, percentile or {percentile: NUMBER}, found 'kl'"));
  EXPECT_THAT(errorOf(withHead("global: {activation_range: {percentile: 50}}\n")),
              HasSubstr("'activation_range' percentile is 50, must be above 50 and at most 100"));
  EXPECT_THAT(errorOf(withHead("global: {activation_range: {percentile: many}}\n")),
              HasSubstr("'activation_range' percentile"));
  EXPECT_THAT(errorOf(withHead("global: {activation_range: {percent: 99}}\n")),
              HasSubstr("'percent'"));
  EXPECT_THAT(errorOf(withHead("global: 8\n")),
              HasSubstr("r.yaml:3:9: 'global' must be a mapping of keys to values"));
  EXPECT_THAT(errorOf(withHead("types:\n  conv3d: {activation_bits: 8}\n")),
              HasSubstr("r.yaml:4:3: unknown op type 'conv3d'; known are conv2d, linear, "));
  EXPECT_THAT(
      errorOf(withHead("types:\n  add: {activation_bits: 8}\n  add: {activation_bits: 16}\n")),
      HasSubstr("r.yaml:5:3: key 'add' of 'types' is given twice"));
  EXPECT_THAT(errorOf(withHead("types:\n  add: {}\n")),
              HasSubstr("r.yaml:4:8: 'types.add' sets nothing"));
  EXPECT_THAT(errorOf(withHead("names: {match: a}\n")),
              HasSubstr("r.yaml:3:8: 'names' must be a list of rules"));
  EXPECT_THAT(errorOf(withHead("names:\n  - activation_bits: 8\n")),
              HasSubstr("r.yaml:4:5: a rule of 'names' lacks the key 'match'"));
  EXPECT_THAT(errorOf(withHead("names:\n  - {match: 're:(', activation_bits: 8}\n")),
              HasSubstr("r.yaml:4:13: '(' is no regular expression (ECMAScript syntax)"));
  EXPECT_THAT(errorOf(withHead("names:\n  - {match: '', activation_bits: 8}\n")),
              HasSubstr("r.yaml:4:13: 'match' must be a text"));
  EXPECT_THAT(errorOf("name: r\n"), HasSubstr("r.yaml:1:1: a recipe lacks the key 'version'"));
  EXPECT_THAT(errorOf("version: 3\nname: r\n"),
              HasSubstr("r.yaml:1:10: 'version' is 3, must be 1"));
  EXPECT_THAT(errorOf("version: 1\nname: a b\n"), HasSubstr("r.yaml:2:7: 'name' must be"));
  EXPECT_THAT(errorOf("version: 1\n  name: ["), HasSubstr("this is not YAML that can be read"));
  EXPECT_THAT(errorOf(""), HasSubstr("r.yaml:1:1: the file is empty"));
}

TEST(RecipeErrors, AllAreReported) {
  std::string message = errorOf(withHead("global: {weight_bits: 9, x: 1}\nmodules: []\n"));
  EXPECT_THAT(message, HasSubstr("r.yaml:3:23: "));
  EXPECT_THAT(message, HasSubstr("\nr.yaml:3:26: "));
  EXPECT_THAT(message, HasSubstr("\nr.yaml:4:10: "));
}

TEST(RecipeFiles, AreLoadedByPath) {
  std::string path = testing::TempDir() + "recipe_test_" + std::to_string(::getpid()) + ".yaml";
  ASSERT_TRUE(writeFileAtomically(path, kRecipe).ok());
  auto recipe = loadRecipe(path);
  ::unlink(path.c_str());
  ASSERT_TRUE(recipe.ok()) << recipe.status();
  EXPECT_FALSE(recipe->checkAllMatched().ok());
  auto missing = loadRecipe(path);
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.status().message()),
              HasSubstr("no such file or directory; no built-in recipe is named '"));
}

TEST(RecipeErrors, RandomDamageNeverCrashes) {
  std::mt19937 random(13);
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = kRecipe;
    for (unsigned n = 1 + random() % 4; n > 0; --n)
      damaged[random() % damaged.size()] =
          random() % 2 ? "{}[]:,-&*!|>'\"%@`#?\n\t 0"[random() % 23] : static_cast<char>(random());
    auto recipe = parseRecipe(damaged, "f");
    if (recipe.ok()) {
      EXPECT_EQ(recipeOf(recipe->canonicalText()).canonicalText(), recipe->canonicalText());
    }
  }
}
