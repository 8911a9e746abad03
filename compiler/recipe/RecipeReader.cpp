//===- RecipeReader.cpp - recipes from YAML ---------------------------------===//

#include "compiler/files/WholeFile.h"
#include "compiler/recipe/NamePattern.h"
#include "compiler/recipe/Recipe.h"
#include "compiler/target/EmbeddedText.h"
#include "compiler/target/StrictYaml.h"

#include <algorithm>

namespace sdopt {

std::span<const EmbeddedText> builtInRecipeTexts();

namespace {

constexpr const char *kOpTypes[] = {
    "conv2d",    "linear",         "group_norm", "layer_norm", "attention", "silu",
    "gelu",      "quick_gelu",     "geglu",      "sigmoid",    "add",       "concat",
    "upsample",  "time_embedding", "embedding",  "pool_token", "transpose", "reshape",
    "gelu_tanh", "modulate",       "rms_norm",   "slice",
};

constexpr double kLeastCodedBits = 0.25, kMostCodedBits = 7;

class RecipeReader {
public:
  explicit RecipeReader(const std::string &origin) : errors_(origin) { recipe_.origin = origin; }

  absl::StatusOr<Recipe> read(const std::string &text) {
    if (std::optional<YAML::Node> root = parseYaml(text, errors_))
      readRoot(*root);
    if (!errors_.empty())
      return errors_.status();
    return std::move(recipe_);
  }

private:
  void readRoot(const YAML::Node &root) {
    YamlMap map(root, "a recipe", errors_);
    if (auto node = map.take("version")) {
      auto version = yamlInteger(*node, "'version'", errors_);
      if (version && *version != 1)
        errors_.add(node->Mark(), "'version' is " + std::to_string(*version) + ", must be 1");
    }
    if (auto node = map.take("name"))
      recipe_.name = yamlName(*node, "'name'", errors_).value_or("");
    if (auto node = map.takeOptional("budget")) {
      recipe_.budget = node->IsScalar() ? parseBudget(node->Scalar()) : std::nullopt;
      if (!recipe_.budget)
        errors_.add(node->Mark(), "'budget' must be bits or bytes per weight, or dB: 4.5bit, 40dB");
    }
    recipe_.hoist = readChoice(map, "hoist", "true", "false").value_or(recipe_.hoist);
    recipe_.splitConcats =
        readChoice(map, "split_concats", "true", "false").value_or(recipe_.splitConcats);
    recipe_.winograd = readChoice(map, "winograd", "true", "false").value_or(recipe_.winograd);
    if (auto weights =
            readName(map, "prune_timesteps", {TimestepWeights::Uniform, TimestepWeights::Early}))
      recipe_.pruneTimesteps = *weights;
    recipe_.timestepBuckets = readNumber(map, "timestep_buckets", "1 to 8", [](int64_t n) {
                                return n >= 1 && n <= 8;
                              }).value_or(recipe_.timestepBuckets);
    if (auto node = map.takeOptional("global")) {
      YamlMap settings(*node, "'global'", errors_);
      recipe_.global = readRule("", "'global'", settings);
    }
    if (auto node = map.takeOptional("types"))
      readTypes(*node);
    if (auto node = map.takeOptional("modules"))
      recipe_.modules = readKeyed(*node, "modules");
    if (auto node = map.takeOptional("names"))
      readNames(*node);
    map.finish();
  }

  /// The rules of a mapping from op type or module to settings.
  std::vector<RecipeRule> readKeyed(const YAML::Node &node, const std::string &section) {
    std::vector<RecipeRule> rules;
    YamlMap map(node, "'" + section + "'", errors_);
    for (const YamlMap::Item &item : map.takeRest()) {
      std::string what = "'" + section + "." + item.key + "'";
      YamlMap settings(item.value, what, errors_);
      if (!settings.valid())
        continue;
      rules.push_back(readRule(item.key, what, settings));
      place(rules.back(), item.mark);
    }
    return rules;
  }

  void readTypes(const YAML::Node &node) {
    recipe_.types = readKeyed(node, "types");
    for (const RecipeRule &rule : recipe_.types) {
      if (std::find(std::begin(kOpTypes), std::end(kOpTypes), rule.match) != std::end(kOpTypes))
        continue;
      std::string known;
      for (const char *type : kOpTypes)
        known += (known.empty() ? "" : ", ") + std::string(type);
      YAML::Mark mark;
      mark.line = rule.line - 1;
      mark.column = rule.column - 1;
      errors_.add(mark, "unknown op type '" + rule.match + "'; known are " + known);
    }
  }

  void readNames(const YAML::Node &node) {
    if (!node.IsSequence())
      return errors_.add(node.Mark(), "'names' must be a list of rules");
    for (const YAML::Node &item : node) {
      YamlMap settings(item, "a rule of 'names'", errors_);
      if (!settings.valid())
        continue;
      std::string pattern;
      if (auto match = settings.take("match")) {
        pattern = yamlText(*match, "'match'", errors_).value_or("");
        absl::Status status = checkNamePattern(pattern);
        if (!status.ok() && !pattern.empty())
          errors_.add(match->Mark(), std::string(status.message()));
      }
      recipe_.names.push_back(readRule(pattern, "a rule of 'names'", settings));
    }
  }

  static void place(RecipeRule &rule, const YAML::Mark &mark) {
    rule.line = mark.line + 1;
    rule.column = mark.column + 1;
  }

  RecipeRule readRule(const std::string &match, const std::string &what, YamlMap &settings) {
    RecipeRule rule;
    given_ = 0;
    rule.match = match;
    place(rule, settings.mark());
    if (!settings.valid())
      return rule;
    rule.weightBits = readWeightBits(settings);
    rule.weightRange = readRange(settings, "weight_range");
    rule.groupSize = readGroupSize(settings);
    rule.weightSymmetric = readChoice(settings, "weight_symmetric", "true", "false");
    rule.sharedTaps = readChoice(settings, "taps", "all", "one");
    rule.oneScale = readChoice(settings, "weight_granularity", "tensor", "channel");
    if (auto gptq = readChoice(settings, "rounding", name(Rounding::GPTQ), name(Rounding::Nearest)))
      rule.rounding = *gptq ? Rounding::GPTQ : Rounding::Nearest;
    rule.palette = readChoice(settings, "weight_coding", "palette", "uniform");
    rule.paletteOutputs =
        readNumber(settings, "palette_outputs", "0 to 65535",
                   [](int64_t outputs) { return outputs >= 0 && outputs <= 65535; });
    rule.codedBits = readCodedBits(settings);
    rule.storage = readStorage(settings);
    rule.activationBits = readBits(settings, "activation_bits", {8, 16});
    rule.activationRange = readActivationRange(settings, "activation_range");
    rule.biasCorrection = readChoice(settings, "bias_correction", "true", "false");
    rule.smooth = readSmoothing(settings, "smooth");
    rule.pruning = readName(
        settings, "prune", {Pruning::None, Pruning::Magnitude, Pruning::Wanda, Pruning::SparseGPT});
    rule.sparsity = readSparsity(settings);
    rule.pruneScope = readName(settings, "prune_scope",
                               {PruneScope::Usual, PruneScope::Row, PruneScope::Layer,
                                PruneScope::Global, PruneScope::Threshold});
    rule.pruneNorms = readName(settings, "prune_norms", {PruneNorms::Pruned, PruneNorms::Dense});
    rule.pruneUpdate = readName(settings, "prune_update",
                                {PruneUpdate::Usual, PruneUpdate::None, PruneUpdate::Bias,
                                 PruneUpdate::Sweep, PruneUpdate::LeastSquares});
    rule.winogradMinSqnr = readMinSqnr(settings);
    settings.finish();
    if (given_ == 0)
      errors_.add(settings.mark(), what + " sets nothing");
    return rule;
  }

  std::optional<std::string> readStorage(YamlMap &settings) {
    auto node = takeSetting(settings, "storage");
    if (!node)
      return std::nullopt;
    const std::vector<std::string> names = storageNames();
    auto text = yamlText(*node, "'storage'", errors_);
    if (text && std::find(names.begin(), names.end(), *text) != names.end())
      return text;
    std::string list;
    for (const std::string &each : names)
      list += (list.empty() ? "" : ", ") + each;
    if (text)
      errors_.add(node->Mark(), "'storage' must be one of " + list);
    return std::nullopt;
  }

  std::optional<YAML::Node> takeSetting(YamlMap &settings, const char *key) {
    auto node = settings.takeOptional(key);
    given_ += node.has_value();
    return node;
  }

  std::optional<int> readBits(YamlMap &settings, const char *key,
                              std::initializer_list<int> allowed) {
    auto node = takeSetting(settings, key);
    if (!node)
      return std::nullopt;
    auto value = yamlInteger(*node, "'" + std::string(key) + "'", errors_);
    if (!value)
      return std::nullopt;
    std::string choices;
    for (int bits : allowed) {
      if (*value == bits)
        return bits;
      choices += (choices.empty() ? "" : " or ") + std::to_string(bits);
    }
    errors_.add(node->Mark(),
                "'" + std::string(key) + "' is " + std::to_string(*value) + ", must be " + choices);
    return std::nullopt;
  }

  std::optional<RangeEstimator> readRange(YamlMap &settings, const char *key) {
    auto node = takeSetting(settings, key);
    if (!node)
      return std::nullopt;
    for (RangeEstimator estimator : {RangeEstimator::MinMax, RangeEstimator::MSE})
      if (node->IsScalar() && node->Scalar() == name(estimator))
        return estimator;
    errors_.add(node->Mark(), "'" + std::string(key) + "' must be minmax or mse" +
                                  (node->IsScalar() ? ", found '" + node->Scalar() + "'" : ""));
    return std::nullopt;
  }

  std::optional<ActivationRange> readActivationRange(YamlMap &settings, const char *key) {
    auto node = takeSetting(settings, key);
    if (!node)
      return std::nullopt;
    const std::string what = "'" + std::string(key) + "'";
    if (node->IsMap()) {
      YamlMap parameters(*node, what, errors_);
      ActivationRange range{.estimator = ActivationEstimator::Percentile};
      auto percentile = parameters.take("percentile");
      parameters.finish();
      std::optional<double> value =
          percentile ? yamlNumber(*percentile, what + " percentile", 0, 0, errors_) : std::nullopt;
      if (!value)
        return std::nullopt;
      if (*value > 50 && *value <= 100) {
        range.percentile = *value;
        return range;
      }
      errors_.add(percentile->Mark(), what + " percentile is " + percentile->Scalar() +
                                          ", must be above 50 and at most 100");
      return std::nullopt;
    }
    std::string text = node->IsScalar() ? node->Scalar() : "";
    if (text == "percentile")
      return ActivationRange{.estimator = ActivationEstimator::Percentile};
    for (ActivationEstimator estimator :
         {ActivationEstimator::MinMax, ActivationEstimator::MSE, ActivationEstimator::MovingAverage,
          ActivationEstimator::Entropy})
      if (text == name(ActivationRange{.estimator = estimator}))
        return ActivationRange{.estimator = estimator};
    errors_.add(node->Mark(), what +
                                  " must be minmax, mse, moving_average, entropy, percentile or "
                                  "{percentile: NUMBER}" +
                                  (text.empty() ? "" : ", found '" + text + "'"));
    return std::nullopt;
  }

  std::optional<int> readNumber(YamlMap &settings, const char *key, const char *need,
                                bool (*fits)(int64_t)) {
    auto node = takeSetting(settings, key);
    if (!node)
      return std::nullopt;
    auto value = yamlInteger(*node, "'" + std::string(key) + "'", errors_);
    if (!value)
      return std::nullopt;
    if (fits(*value))
      return static_cast<int>(*value);
    errors_.add(node->Mark(),
                "'" + std::string(key) + "' is " + std::to_string(*value) + ", must be " + need);
    return std::nullopt;
  }

  std::optional<double> readCodedBits(YamlMap &settings) {
    auto node = takeSetting(settings, "coded_bits");
    if (!node)
      return std::nullopt;
    auto value = yamlNumber(*node, "'coded_bits'", 0, 0, errors_);
    if (!value || *value == 0 || (*value >= kLeastCodedBits && *value <= kMostCodedBits))
      return value;
    errors_.add(node->Mark(), "'coded_bits' is " + node->Scalar() + ", must be 0 or 0.25 to 7");
    return std::nullopt;
  }

  std::optional<int> readWeightBits(YamlMap &settings) {
    return readNumber(settings, "weight_bits", "1 to 8, or 16",
                      [](int64_t bits) { return (bits >= 1 && bits <= 8) || bits == 16; });
  }

  std::optional<int> readGroupSize(YamlMap &settings) {
    return readNumber(settings, "group_size", "0 or 16 to 256",
                      [](int64_t size) { return size == 0 || (size >= 16 && size <= 256); });
  }

  /// True for the text `yes`, false for `no`.
  std::optional<bool> readChoice(YamlMap &settings, const char *key, const char *yes,
                                 const char *no) {
    auto node = takeSetting(settings, key);
    if (!node)
      return std::nullopt;
    for (bool flag : {true, false})
      if (node->IsScalar() && node->Scalar() == (flag ? yes : no))
        return flag;
    errors_.add(node->Mark(), "'" + std::string(key) + "' must be " + yes + " or " + no);
    return std::nullopt;
  }

  /// One of `values` by its name.
  template <typename T>
  std::optional<T> readName(YamlMap &settings, const char *key, std::initializer_list<T> values) {
    auto node = takeSetting(settings, key);
    if (!node)
      return std::nullopt;
    std::string names;
    for (T value : values) {
      if (node->IsScalar() && node->Scalar() == name(value))
        return value;
      names += (names.empty() ? "" : ", ") + std::string(name(value));
    }
    names.replace(names.rfind(", "), 2, " or ");
    errors_.add(node->Mark(), "'" + std::string(key) + "' must be " + names +
                                  (node->IsScalar() ? ", found '" + node->Scalar() + "'" : ""));
    return std::nullopt;
  }

  std::optional<Sparsity> readSparsity(YamlMap &settings) {
    auto node = takeSetting(settings, "sparsity");
    if (!node)
      return std::nullopt;
    std::string text = node->IsScalar() ? node->Scalar() : "";
    std::optional<Sparsity> sparsity = parseSparsity(text);
    if (!sparsity)
      errors_.add(node->Mark(), "'sparsity' must be the share of zeros, above 0 and below 1, or "
                                "N:M, N of M weights that stay, 1 <= N < M <= " +
                                    std::to_string(kLargestPattern) +
                                    (text.empty() ? "" : "; found '" + text + "'"));
    return sparsity;
  }

  std::optional<double> readMinSqnr(YamlMap &settings) {
    auto node = takeSetting(settings, "winograd_min_sqnr");
    if (!node)
      return std::nullopt;
    std::optional<double> decibels = node->IsScalar() ? parseMinSqnr(node->Scalar()) : std::nullopt;
    if (!decibels)
      errors_.add(node->Mark(),
                  "'winograd_min_sqnr' must be off or dB, above 0 and at most 200: 40dB" +
                      (node->IsScalar() ? ", found '" + node->Scalar() + "'" : std::string()));
    return decibels;
  }

  std::optional<Smoothing> readSmoothing(YamlMap &settings, const char *key) {
    auto node = takeSetting(settings, key);
    if (!node)
      return std::nullopt;
    std::string text = node->IsScalar() ? node->Scalar() : "";
    if (text == "off" || text == "search")
      return Smoothing{.on = text == "search"};
    if (text == "awq")
      return Smoothing{.on = true, .awq = true};
    YamlErrors ignored("");
    std::optional<double> exponent = yamlNumber(*node, "", 0, 0, ignored);
    if (exponent && *exponent >= 0 && *exponent <= 1)
      return Smoothing{.on = true, .exponent = exponent};
    errors_.add(node->Mark(), "'" + std::string(key) +
                                  "' must be off, search, awq or an exponent from 0 to 1" +
                                  (text.empty() ? "" : ", found '" + text + "'"));
    return std::nullopt;
  }

  YamlErrors errors_;
  Recipe recipe_;
  size_t given_ = 0; ///< settings that the rule at hand gives, valid or not
};

} // namespace

std::vector<std::string> recipeOpTypes() { return {std::begin(kOpTypes), std::end(kOpTypes)}; }

absl::StatusOr<Recipe> parseRecipe(const std::string &text, const std::string &origin) {
  return RecipeReader(origin).read(text);
}

std::vector<std::string> builtInRecipes() {
  std::vector<std::string> names;
  for (const EmbeddedText &recipe : builtInRecipeTexts())
    names.emplace_back(recipe.name);
  return names;
}

absl::StatusOr<std::string> builtInRecipeText(const std::string &name) {
  for (const EmbeddedText &recipe : builtInRecipeTexts())
    if (recipe.name == name)
      return std::string(recipe.text);
  std::string known;
  for (const std::string &recipe : builtInRecipes())
    known += (known.empty() ? "" : ", ") + recipe;
  return absl::NotFoundError("no built-in recipe is named '" + name + "'; built in are " + known);
}

absl::StatusOr<Recipe> loadRecipe(const std::string &nameOrPath) {
  auto builtIn = builtInRecipeText(nameOrPath);
  if (builtIn.ok()) {
    auto recipe = parseRecipe(*builtIn, "built-in " + nameOrPath);
    if (recipe.ok())
      recipe->builtIn_ = true;
    return recipe;
  }
  auto text = readFile(nameOrPath);
  if (!text.ok())
    return absl::Status(text.status().code(), "recipe: " + std::string(text.status().message()) +
                                                  "; " + std::string(builtIn.status().message()));
  return parseRecipe(*text, nameOrPath);
}

} // namespace sdopt
