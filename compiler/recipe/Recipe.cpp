//===- Recipe.cpp - settings of a layer from rules --------------------------===//

#include "compiler/recipe/Recipe.h"

#include "compiler/recipe/NamePattern.h"
#include "compiler/target/StrictYaml.h"

#include <algorithm>
#include <charconv>

namespace sdopt {

namespace {

/// A rule that matched, with the level it is of.
struct Match {
  const char *level;
  const RecipeRule *rule;
};

/// Appends the rules of one level that match, in file order.
template <typename Fits>
void collect(const char *level, const std::vector<RecipeRule> &rules, Fits fits,
             std::vector<Match> &matches, std::vector<bool> *matched) {
  if (matched)
    matched->resize(rules.size());
  for (size_t i = 0; i < rules.size(); ++i) {
    if (!fits(rules[i].match))
      continue;
    matches.push_back({level, &rules[i]});
    if (matched)
      (*matched)[i] = true;
  }
}

/// The last match that gives the setting; null: the default holds.
template <typename T>
const Match *decider(const std::vector<Match> &matches, std::optional<T> RecipeRule::*setting) {
  for (auto match = matches.rbegin(); match != matches.rend(); ++match)
    if ((match->rule->*setting).has_value())
      return &*match;
  return nullptr;
}

template <typename T>
T decided(const std::vector<Match> &matches, std::optional<T> RecipeRule::*setting, T fallback) {
  const Match *match = decider(matches, setting);
  return match ? *(match->rule->*setting) : fallback;
}

LayerRecipe decide(const std::vector<Match> &matches) {
  LayerRecipe fallback;
  return {
      .weightBits = decided(matches, &RecipeRule::weightBits, fallback.weightBits),
      .activationBits = decided(matches, &RecipeRule::activationBits, fallback.activationBits),
      .weightRange = decided(matches, &RecipeRule::weightRange, fallback.weightRange),
      .activationRange = decided(matches, &RecipeRule::activationRange, fallback.activationRange),
      .biasCorrection = decided(matches, &RecipeRule::biasCorrection, fallback.biasCorrection),
      .smooth = decided(matches, &RecipeRule::smooth, fallback.smooth),
      .groupSize = decided(matches, &RecipeRule::groupSize, fallback.groupSize),
      .weightSymmetric = decided(matches, &RecipeRule::weightSymmetric, fallback.weightSymmetric),
      .sharedTaps = decided(matches, &RecipeRule::sharedTaps, fallback.sharedTaps),
      .oneScale = decided(matches, &RecipeRule::oneScale, fallback.oneScale),
      .rounding = decided(matches, &RecipeRule::rounding, fallback.rounding),
      .storage = decided(matches, &RecipeRule::storage, fallback.storage),
      .palette = decided(matches, &RecipeRule::palette, fallback.palette),
      .paletteOutputs = decided(matches, &RecipeRule::paletteOutputs, fallback.paletteOutputs),
      .codedBits = decided(matches, &RecipeRule::codedBits, fallback.codedBits),
      .pruning = decided(matches, &RecipeRule::pruning, fallback.pruning),
      .sparsity = decided(matches, &RecipeRule::sparsity, fallback.sparsity),
      .pruneScope = decided(matches, &RecipeRule::pruneScope, fallback.pruneScope),
      .pruneNorms = decided(matches, &RecipeRule::pruneNorms, fallback.pruneNorms),
      .pruneUpdate = decided(matches, &RecipeRule::pruneUpdate, fallback.pruneUpdate),
      .winogradMinSqnr = decided(matches, &RecipeRule::winogradMinSqnr, fallback.winogradMinSqnr)};
}

std::string placeOf(const std::string &origin, const RecipeRule &rule) {
  if (rule.line == 0)
    return origin;
  return origin + ":" + std::to_string(rule.line) + ":" + std::to_string(rule.column);
}

std::string describe(const Match &match) {
  return match.rule->match.empty() ? match.level : match.level + (": " + match.rule->match);
}

template <typename T>
std::string reason(const char *key, const std::string &value, const std::vector<Match> &matches,
                   std::optional<T> RecipeRule::*setting, const std::string &origin) {
  std::string text = std::string(key) + " = " + value;
  const Match *match = decider(matches, setting);
  if (!match)
    return text + " by default";
  return text + " from " + placeOf(origin, *match->rule) + " (" + describe(*match) + ")";
}

/// All rules that match a layer, weakest first.
std::vector<Match> matchesOf(const Recipe &recipe, const std::string &module,
                             const std::string &opType, const std::vector<std::string> &layerNames,
                             std::vector<bool> *types, std::vector<bool> *modules,
                             std::vector<bool> *names) {
  std::vector<Match> matches = {{"global", &recipe.global}};
  auto isType = [&](const std::string &match) { return match == opType; };
  auto isModule = [&](const std::string &match) { return match == module; };
  auto isName = [&](const std::string &match) { return fitsAny(match, layerNames); };
  collect("types", recipe.types, isType, matches, types);
  collect("modules", recipe.modules, isModule, matches, modules);
  collect("names", recipe.names, isName, matches, names);
  return matches;
}

const char *flagText(bool flag) { return flag ? "true" : "false"; }
const char *tapsText(bool shared) { return shared ? "all" : "one"; }
const char *codingText(bool palette) { return palette ? "palette" : "uniform"; }
const char *granularityText(bool oneScale) { return oneScale ? "tensor" : "channel"; }

std::string settingsText(const RecipeRule &rule) {
  std::string text;
  auto add = [&](const char *key, const std::string &value) {
    text += (text.empty() ? "" : ", ") + std::string(key) + ": " + value;
  };
  if (rule.weightBits)
    add("weight_bits", std::to_string(*rule.weightBits));
  if (rule.weightRange)
    add("weight_range", name(*rule.weightRange));
  if (rule.groupSize)
    add("group_size", std::to_string(*rule.groupSize));
  if (rule.weightSymmetric)
    add("weight_symmetric", flagText(*rule.weightSymmetric));
  if (rule.sharedTaps)
    add("taps", tapsText(*rule.sharedTaps));
  if (rule.oneScale)
    add("weight_granularity", granularityText(*rule.oneScale));
  if (rule.rounding)
    add("rounding", name(*rule.rounding));
  if (rule.storage)
    add("storage", *rule.storage);
  if (rule.palette)
    add("weight_coding", codingText(*rule.palette));
  if (rule.paletteOutputs)
    add("palette_outputs", std::to_string(*rule.paletteOutputs));
  if (rule.codedBits)
    add("coded_bits", numberText(*rule.codedBits));
  if (rule.activationBits)
    add("activation_bits", std::to_string(*rule.activationBits));
  if (rule.activationRange)
    add("activation_range", name(*rule.activationRange));
  if (rule.biasCorrection)
    add("bias_correction", flagText(*rule.biasCorrection));
  if (rule.smooth)
    add("smooth", name(*rule.smooth));
  if (rule.pruning)
    add("prune", name(*rule.pruning));
  if (rule.sparsity)
    add("sparsity", name(*rule.sparsity));
  if (rule.pruneScope)
    add("prune_scope", name(*rule.pruneScope));
  if (rule.pruneNorms)
    add("prune_norms", name(*rule.pruneNorms));
  if (rule.pruneUpdate)
    add("prune_update", name(*rule.pruneUpdate));
  if (rule.winogradMinSqnr)
    add("winograd_min_sqnr", minSqnrName(*rule.winogradMinSqnr));
  return text;
}

std::string keyedText(const char *section, std::vector<RecipeRule> rules) {
  if (rules.empty())
    return "";
  std::stable_sort(rules.begin(), rules.end(),
                   [](const RecipeRule &a, const RecipeRule &b) { return a.match < b.match; });
  std::string text = std::string(section) + ":\n";
  for (const RecipeRule &rule : rules)
    text += "  " + quoteYaml(rule.match) + ": {" + settingsText(rule) + "}\n";
  return text;
}

void listUnmatched(const char *level, const std::vector<RecipeRule> &rules,
                   const std::vector<bool> &matched, const std::string &origin, std::string &text) {
  for (size_t i = 0; i < rules.size(); ++i)
    if (i >= matched.size() || !matched[i])
      text += (text.empty() ? "" : "\n") + placeOf(origin, rules[i]) + ": rule '" + rules[i].match +
              "' of '" + level + "' matches no layer";
}

} // namespace

const char *name(RangeEstimator estimator) {
  return estimator == RangeEstimator::MinMax ? "minmax" : "mse";
}

std::string name(const ActivationRange &range) {
  switch (range.estimator) {
  case ActivationEstimator::MinMax:
    return "minmax";
  case ActivationEstimator::MSE:
    return "mse";
  case ActivationEstimator::MovingAverage:
    return "moving_average";
  case ActivationEstimator::Entropy:
    return "entropy";
  case ActivationEstimator::Percentile:
    return "{percentile: " + numberText(range.percentile) + "}";
  }
  return "";
}

std::vector<std::string> storageNames() {
  return {"auto", "plain", "entropy", "bitmap", "structured", "runs"};
}

const char *name(Rounding rounding) { return rounding == Rounding::GPTQ ? "gptq" : "nearest"; }

const char *name(Pruning pruning) {
  constexpr const char *kNames[] = {"none", "magnitude", "wanda", "sparsegpt"};
  return kNames[static_cast<size_t>(pruning)];
}

const char *name(PruneScope scope) {
  constexpr const char *kNames[] = {"usual", "row", "layer", "global", "threshold"};
  return kNames[static_cast<size_t>(scope)];
}

const char *name(PruneNorms norms) { return norms == PruneNorms::Dense ? "dense" : "pruned"; }

const char *name(PruneUpdate update) {
  constexpr const char *kNames[] = {"usual", "none", "bias", "sweep", "least_squares"};
  return kNames[static_cast<size_t>(update)];
}

const char *name(TimestepWeights weights) {
  return weights == TimestepWeights::Early ? "early" : "uniform";
}

std::optional<Sparsity> parseSparsity(const std::string &text) {
  const char *begin = text.data(), *end = begin + text.size();
  Sparsity sparsity;
  if (const size_t colon = text.find(':'); colon != std::string::npos) {
    const char *middle = begin + colon;
    auto kept = std::from_chars(begin, middle, sparsity.kept);
    auto group = std::from_chars(middle + 1, end, sparsity.group);
    const bool numbers =
        kept.ec == std::errc() && kept.ptr == middle && group.ec == std::errc() && group.ptr == end;
    return numbers && sparsity.kept >= 1 && sparsity.kept < sparsity.group &&
                   sparsity.group <= kLargestPattern
               ? std::optional(sparsity)
               : std::nullopt;
  }
  auto [stop, error] = std::from_chars(begin, end, sparsity.fraction);
  const bool fits = sparsity.fraction > 0 && sparsity.fraction < 1;
  return error == std::errc() && stop == end && fits ? std::optional(sparsity) : std::nullopt;
}

std::string name(const Sparsity &sparsity) {
  if (sparsity.hasPattern())
    return std::to_string(sparsity.kept) + ":" + std::to_string(sparsity.group);
  return numberText(sparsity.fraction);
}

std::string name(const Smoothing &smoothing) {
  if (!smoothing.on)
    return "off";
  if (smoothing.awq)
    return "awq";
  return smoothing.exponent ? numberText(*smoothing.exponent) : "search";
}

std::optional<double> parseMinSqnr(const std::string &text) {
  if (text == "off")
    return 0;
  const std::optional<Budget> decibels = parseBudget(text);
  return decibels && decibels->kind == Budget::Psnr ? std::optional(decibels->value) : std::nullopt;
}

std::string minSqnrName(double decibels) {
  return decibels > 0 ? numberText(decibels) + "dB" : "off";
}

std::optional<Budget> parseBudget(const std::string &text) {
  const std::pair<const char *, Budget> units[] = {{"bit", {Budget::BitsPerWeight, 1}},
                                                   {"byte", {Budget::BitsPerWeight, 8}},
                                                   {"dB", {Budget::Psnr, 1}}};
  for (auto [unit, budget] : units) {
    if (!text.ends_with(unit))
      continue;
    double number = 0;
    const char *end = text.data() + text.size() - std::string_view(unit).size();
    auto [stop, error] = std::from_chars(text.data(), end, number);
    budget.value *= number;
    double most = budget.kind == Budget::Psnr ? 200 : 16;
    if (error == std::errc() && stop == end && budget.value > 0 && budget.value <= most)
      return budget;
  }
  return std::nullopt;
}

std::string name(const Budget &budget) {
  return numberText(budget.value) + (budget.kind == Budget::Psnr ? "dB" : "bit");
}

LayerRecipe Recipe::resolve(const std::string &module, const std::string &opType,
                            const std::vector<std::string> &layerNames) {
  std::vector<Match> matches =
      matchesOf(*this, module, opType, layerNames, &typeMatched_, &moduleMatched_, &nameMatched_);
  LayerRecipe layer = decide(matches);
  if (layer.weightBits == 1 && !layer.palette) {
    std::string conflict = placeOf(origin, *decider(matches, &RecipeRule::weightBits)->rule) +
                           ": 'weight_bits' is 1, which needs 'weight_coding: palette'";
    if (std::ranges::find(conflicts_, conflict) == conflicts_.end())
      conflicts_.push_back(std::move(conflict));
  }
  return layer;
}

bool Recipe::setsWidthByName(const std::vector<std::string> &layerNames) const {
  return std::ranges::any_of(names, [&](const RecipeRule &rule) {
    return rule.weightBits && fitsAny(rule.match, layerNames);
  });
}

bool Recipe::setsPruningByName(const std::vector<std::string> &layerNames) const {
  return std::ranges::any_of(names, [&](const RecipeRule &rule) {
    return rule.pruning && fitsAny(rule.match, layerNames);
  });
}

void Recipe::passOver(const std::string &module, const std::vector<std::string> &layerNames) {
  resolve(module, "", layerNames);
  typeMatched_.assign(types.size(), true);
}

std::vector<std::string> Recipe::explain(const std::string &module, const std::string &opType,
                                         const std::vector<std::string> &layerNames) const {
  std::vector<Match> matches =
      matchesOf(*this, module, opType, layerNames, nullptr, nullptr, nullptr);
  LayerRecipe layer = decide(matches);
  return {
      reason("weight_bits", std::to_string(layer.weightBits), matches, &RecipeRule::weightBits,
             origin),
      reason("weight_range", sdopt::name(layer.weightRange), matches, &RecipeRule::weightRange,
             origin),
      reason("group_size", std::to_string(layer.groupSize), matches, &RecipeRule::groupSize,
             origin),
      reason("weight_symmetric", flagText(layer.weightSymmetric), matches,
             &RecipeRule::weightSymmetric, origin),
      reason("taps", tapsText(layer.sharedTaps), matches, &RecipeRule::sharedTaps, origin),
      reason("weight_granularity", granularityText(layer.oneScale), matches, &RecipeRule::oneScale,
             origin),
      reason("rounding", sdopt::name(layer.rounding), matches, &RecipeRule::rounding, origin),
      reason("storage", layer.storage, matches, &RecipeRule::storage, origin),
      reason("weight_coding", codingText(layer.palette), matches, &RecipeRule::palette, origin),
      reason("palette_outputs", std::to_string(layer.paletteOutputs), matches,
             &RecipeRule::paletteOutputs, origin),
      reason("coded_bits", numberText(layer.codedBits), matches, &RecipeRule::codedBits, origin),
      reason("activation_bits", std::to_string(layer.activationBits), matches,
             &RecipeRule::activationBits, origin),
      reason("activation_range", sdopt::name(layer.activationRange), matches,
             &RecipeRule::activationRange, origin),
      reason("bias_correction", flagText(layer.biasCorrection), matches,
             &RecipeRule::biasCorrection, origin),
      reason("smooth", sdopt::name(layer.smooth), matches, &RecipeRule::smooth, origin),
      reason("prune", sdopt::name(layer.pruning), matches, &RecipeRule::pruning, origin),
      reason("sparsity", sdopt::name(layer.sparsity), matches, &RecipeRule::sparsity, origin),
      reason("prune_scope", sdopt::name(layer.pruneScope), matches, &RecipeRule::pruneScope,
             origin),
      reason("prune_norms", sdopt::name(layer.pruneNorms), matches, &RecipeRule::pruneNorms,
             origin),
      reason("prune_update", sdopt::name(layer.pruneUpdate), matches, &RecipeRule::pruneUpdate,
             origin),
      reason("winograd_min_sqnr", minSqnrName(layer.winogradMinSqnr), matches,
             &RecipeRule::winogradMinSqnr, origin)};
}

absl::Status Recipe::checkAllMatched() const {
  std::string text;
  for (const std::string &conflict : conflicts_)
    text += (text.empty() ? "" : "\n") + conflict;
  if (!builtIn_) {
    listUnmatched("types", types, typeMatched_, origin, text);
    listUnmatched("modules", modules, moduleMatched_, origin, text);
    listUnmatched("names", names, nameMatched_, origin, text);
  }
  return text.empty() ? absl::OkStatus() : absl::InvalidArgumentError(text);
}

std::string Recipe::canonicalText() const {
  LayerRecipe base = decide({{"global", &global}});
  RecipeRule complete{.match = "",
                      .weightBits = base.weightBits,
                      .activationBits = base.activationBits,
                      .groupSize = base.groupSize,
                      .paletteOutputs = base.paletteOutputs,
                      .codedBits = base.codedBits,
                      .weightRange = base.weightRange,
                      .activationRange = base.activationRange,
                      .biasCorrection = base.biasCorrection,
                      .weightSymmetric = base.weightSymmetric,
                      .sharedTaps = base.sharedTaps,
                      .oneScale = base.oneScale,
                      .palette = base.palette,
                      .smooth = base.smooth,
                      .rounding = base.rounding,
                      .pruning = base.pruning,
                      .sparsity = base.sparsity,
                      .pruneScope = base.pruneScope,
                      .pruneNorms = base.pruneNorms,
                      .pruneUpdate = base.pruneUpdate,
                      .storage = base.storage};
  if (base.winogradMinSqnr > 0)
    complete.winogradMinSqnr = base.winogradMinSqnr;
  std::string text =
      "version: 1\nname: " + quoteYaml(name) + (budget ? "\nbudget: " + sdopt::name(*budget) : "") +
      "\nsplit_concats: " + (splitConcats ? "true" : "false") +
      "\nhoist: " + (hoist ? "true" : "false") + "\nwinograd: " + (winograd ? "true" : "false") +
      "\nprune_timesteps: " + sdopt::name(pruneTimesteps) +
      (timestepBuckets > 1 ? "\ntimestep_buckets: " + std::to_string(timestepBuckets) : "") +
      "\nglobal: {" + settingsText(complete) + "}\n" + keyedText("types", types) +
      keyedText("modules", modules);
  if (!names.empty())
    text += "names:\n";
  for (const RecipeRule &rule : names)
    text += "  - {match: " + quoteYaml(rule.match) + ", " + settingsText(rule) + "}\n";
  return text;
}

} // namespace sdopt
