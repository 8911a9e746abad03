//===- Recipe.h - what to do to which layer ---------------------*- C++ -*-===//
//
// YAML, read strictly. Settings in three levels: global < types < names; the last matching rule of a level wins.
//
//   version: 1
//   name: w8a8
//   global: {weight_bits: 8, weight_range: mse, activation_bits: 8, activation_range: minmax}
//   types:
//     group_norm: {activation_bits: 16}
//   names:
//     - match: "*/conv_in/*"          # glob over ONNX node names and value names; "re:..." for a regular expression
//       activation_bits: 16
//
// An unknown key, a value out of range and a rule that matches no layer are errors with file, line and column.
//
//===----------------------------------------------------------------------===//

#ifndef SDOPT_COMPILER_RECIPE_RECIPE_H
#define SDOPT_COMPILER_RECIPE_RECIPE_H

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sdopt {

/// How a range is chosen: the extremes, or the clipping that minimizes the mean squared error.
enum class RangeEstimator : uint8_t { MinMax, MSE };
const char *name(RangeEstimator estimator);

/// Settings of one layer, all decided.
struct LayerRecipe {
  int weightBits = 8;      ///< 8
  int activationBits = 16; ///< of the values this layer *reads*: 8 or 16
  RangeEstimator weightRange = RangeEstimator::MSE;
  RangeEstimator activationRange = RangeEstimator::MinMax;
};

/// One rule of the file.
struct RecipeRule {
  std::string match; ///< empty for global, an op type for types, a pattern for names
  std::optional<int> weightBits, activationBits;
  std::optional<RangeEstimator> weightRange, activationRange;
  int line = 0, column = 0;
};

class Recipe {
public:
  std::string name;
  std::string origin; ///< for messages
  RecipeRule global;
  std::vector<RecipeRule> types;
  std::vector<RecipeRule> names;

  /// Settings for a layer of sd op type `opType` ("conv2d") known under `layerNames` (value name, ONNX node names,
  /// module path). Remembers which rules matched.
  LayerRecipe resolve(const std::string &opType, const std::vector<std::string> &layerNames);
  /// Which rule set what: one line per setting, e.g. "activation_bits = 16 from w8a8.yaml:7:5 (names: */conv_in/*)".
  std::vector<std::string> explain(const std::string &opType, const std::vector<std::string> &layerNames) const;
  /// INVALID_ARGUMENT listing every rule of types and names that matched nothing since construction.
  /// Built-in recipes are exempt: their rules describe many models.
  absl::Status checkAllMatched() const;

  /// The same text for equal recipes; stored in packages, parseable.
  std::string canonicalText() const;

private:
  std::vector<bool> typeMatched_, nameMatched_;
  bool builtIn_ = false;
  friend absl::StatusOr<Recipe> loadRecipe(const std::string &);
  friend absl::StatusOr<Recipe> parseRecipe(const std::string &, const std::string &);
};

/// A built-in name ("w8a16", "w8a8") or the path of a YAML file.
absl::StatusOr<Recipe> loadRecipe(const std::string &nameOrPath);
absl::StatusOr<Recipe> parseRecipe(const std::string &text, const std::string &origin);
std::vector<std::string> builtInRecipes();

} // namespace sdopt

#endif // SDOPT_COMPILER_RECIPE_RECIPE_H
