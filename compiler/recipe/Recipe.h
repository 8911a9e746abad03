//===- Recipe.h - what to do to which layer ---------------------*- C++ -*-===//
//
// YAML, read strictly. Settings in four levels: global < types < modules < names; each setting of a
// layer comes from the highest level that gives it, the last matching rule of a level first.
//
//   version: 1
//   name: w8a8
//   budget: 4.5bit                          # or a floor, 40dB: widths are searched layer by layer
//   hoist: true                             # what depends on prompt or timestep alone runs once
//   split_concats: true                     # parts of concatenations have scales of their own
//   winograd: true                          # 3x3 convolutions by fewer products where faster
//   prune_timesteps: uniform                # early: calls of noisy steps count more
//   timestep_buckets: 1                     # 2 ... 8: so many intervals of timesteps with scales
//   of
//                                           # their own
//   global: {weight_bits: 8, weight_range: mse, activation_bits: 16, activation_range: minmax,
//            bias_correction: true, smooth: search}   # smooth: off, search, 0 ... 1, or awq
//   types:                                  # sd operations
//     conv2d: {activation_bits: 8}
//   modules:                                # modules of the pipeline
//     vae_decoder: {activation_bits: 16}
//   names:
//     - match: "*/conv_in/*"                # glob over node, value and weight names
//       activation_bits: 16
//     - match: 're:.*resnets\.[01].*'       # regular expression over the whole name
//       activation_range: mse               # moving_average, entropy, percentile (99.99 %),
//                                           # or {percentile: 99.9}
//       weight_bits: 4                      # 2 ... 8; 1 in palettes; 16: two int8 terms
//       group_size: 64                      # 0 (one scale per channel) or 16 ... 256
//       weight_symmetric: false             # true: no zero points
//       taps: one                           # all: a group's scale holds for the whole kernel
//       weight_granularity: channel         # tensor: one scale for all channels
//       rounding: gptq                      # nearest: each weight by itself
//       storage: plain                      # auto, entropy, bitmap, structured, runs
//       weight_coding: palette              # uniform: codes are equally far apart
//       palette_outputs: 32                 # output channels with one palette; 0: all
//       coded_bits: 3.1                     # that an entropy-coded index takes at most; 0: any
//       prune: wanda                        # none, magnitude, sparsegpt
//       sparsity: 2:4                       # at most 2 of 4 are kept; or the share of zeros, 0.5
//       prune_scope: usual                  # row, layer, global, threshold: what is compared
//       prune_norms: pruned                 # dense: of what the float model reads
//       prune_update: least_squares         # usual, none, bias, sweep: of what stays
//       winograd_min_sqnr: 40dB             # off, or F(4x4, 3x3) where faster, losing no more
//
// group_size, weight_symmetric and taps are about uniform weights of fewer than 8 bits,
// palette_outputs is about palettes; weights of 8 bits are int8 and need none. What the
// usual scope and update of pruning are: docs/tutorial.md.
//
// An unknown key or type, a value out of range and a rule that matches no layer are errors with
// file, line and column.
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

/// How a weight's range is chosen: the extremes, or the clipping that minimizes the mean squared
/// error.
enum class RangeEstimator : uint8_t { MinMax, MSE };
/// "minmax", "mse".
const char *name(RangeEstimator estimator);

/// How the range of an 8-bit activation is chosen from its calibration statistics; see
/// compiler/calibration/Ranges.h.
enum class ActivationEstimator : uint8_t { MinMax, MSE, MovingAverage, Percentile, Entropy };
struct ActivationRange {
  ActivationEstimator estimator = ActivationEstimator::MinMax;
  double percentile = 99.99; ///< of the elements inside, 50 < p <= 100; for Percentile

  friend bool operator==(const ActivationRange &, const ActivationRange &) = default;
};
/// As in a recipe: "minmax", "mse", "moving_average", "entropy", "{percentile: 99.9}".
std::string name(const ActivationRange &range);

/// How weights become codes: each the nearest one, or such that the errors of a layer's output make
/// up for each other (compiler/quantization/Gptq.h).
enum class Rounding : uint8_t { Nearest, GPTQ };
/// "nearest", "gptq".
const char *name(Rounding rounding);

/// Which weights become 0: none, the smallest, those that matter least to the output by the power
/// of what they read, or by the second moments of all that the layer reads.
enum class Pruning : uint8_t { None, Magnitude, Wanda, SparseGPT };
/// "none", "magnitude", "wanda", "sparsegpt".
const char *name(Pruning pruning);

/// How many weights become 0.
struct Sparsity {
  double fraction = 0.5;   ///< of the weights, 0 < f < 1; if there is no pattern
  int kept = 0, group = 0; ///< of each `group` weights in a row at most `kept` stay; 0: no pattern

  bool hasPattern() const { return group > 0; }
  friend bool operator==(const Sparsity &, const Sparsity &) = default;
};
/// The longest group of a pattern.
constexpr int kLargestPattern = 16;
/// "0.5" or "2:4"; nothing else is a sparsity.
std::optional<Sparsity> parseSparsity(const std::string &text);
std::string name(const Sparsity &sparsity);

/// Weights that are compared with each other: those of one output channel, of one layer, of all
/// layers of a module with this scope; or those that the method usually compares. Threshold:
/// Wanda's search of a share of each output channel's scores.
enum class PruneScope : uint8_t { Usual, Row, Layer, Global, Threshold };
/// "usual", "row", "layer", "global", "threshold".
const char *name(PruneScope scope);

/// Whose activations Wanda's norms are of: of the model in which all blocks before are pruned, or
/// of the one in which none is.
enum class PruneNorms : uint8_t { Pruned, Dense };
/// "pruned", "dense".
const char *name(PruneNorms norms);

/// What happens to what stays: what the method usually does, nothing, biases keep the mean of each
/// output, and weights besides: each makes up for those before it, or all together.
enum class PruneUpdate : uint8_t { Usual, None, Bias, Sweep, LeastSquares };
/// "usual", "none", "bias", "sweep", "least_squares".
const char *name(PruneUpdate update);

/// How much the recorded calls of each timestep count when weights are pruned: the same, or more
/// the noisier they are.
enum class TimestepWeights : uint8_t { Uniform, Early };
/// "uniform", "early".
const char *name(TimestepWeights weights);

/// Moves scales from a layer's input channels into its weights: not at all, with a given exponent
/// (SmoothQuant's alpha), with the exponent of least estimated error, or as the codes of the
/// weights alone want it (AWQ; compiler/quantization/ScaleSearch.h).
struct Smoothing {
  bool on = false;
  std::optional<double> exponent = {}; ///< 0 ... 1; searched if it is not given
  bool awq = false;                    ///< then there is no exponent

  friend bool operator==(const Smoothing &, const Smoothing &) = default;
};
/// "off", "search", "awq", or the exponent.
std::string name(const Smoothing &smoothing);

/// What a search of widths is to meet: the least error with so many bits per weight of convolutions
/// and linear layers, scales counted, or the fewest bits with such a PSNR of the module's results,
/// dB.
struct Budget {
  enum Kind : uint8_t { BitsPerWeight, Psnr } kind = BitsPerWeight;
  double value = 0;
};
/// "4.5bit", "0.5byte" (per weight), "40dB"; nothing else is a budget.
std::optional<Budget> parseBudget(const std::string &text);
std::string name(const Budget &budget);

/// Settings of one layer, all decided.
struct LayerRecipe {
  /// 2 ... 8; of palettes 1 ... 8; 16: two layers of int8 weights whose results are added.
  int weightBits = 8;
  int activationBits = 16; ///< of the values this layer *reads*: 8 or 16
  RangeEstimator weightRange = RangeEstimator::MSE;
  ActivationRange activationRange; ///< of values read at 8 bits
  bool biasCorrection = true;      ///< gives the output the mean that the float weights give it
  Smoothing smooth;                ///< for layers that read 8 bits; awq: for all
  // Of weights of fewer than 8 bits (compiler/kernels/WeightStream.h), the first three without
  // palettes.
  int groupSize = 64;          ///< input channels with one scale, 16 ... 256; 0: all
  bool weightSymmetric = true; ///< no zero points
  bool sharedTaps = false;     ///< one scale of a group for all taps
  bool oneScale = false;       ///< of all output channels
  Rounding rounding = Rounding::Nearest;
  std::string storage = "auto"; ///< of the codes in the package; storageNames()
  bool palette = false;         ///< codes are indices of values that the weights share
  int paletteOutputs = 0;       ///< output channels with one palette; 0: all
  double codedBits = 0;         ///< that an index in a palette carries at most; 0: any
  Pruning pruning = Pruning::None;
  Sparsity sparsity;
  PruneScope pruneScope = PruneScope::Usual;
  PruneNorms pruneNorms = PruneNorms::Pruned;
  PruneUpdate pruneUpdate = PruneUpdate::Usual;
  /// dB of a 3x3 convolution's sums by F(4x4, 3x3), at least; 0: never so.
  double winogradMinSqnr = 0;

  /// Narrower than the int8 weights that layers compute with, in palettes or not.
  bool hasPalettes() const { return palette && weightBits < 8; }
};

/// One rule of the file.
struct RecipeRule {
  std::string match; ///< empty for global, an op type, a module name, or a pattern for names
  std::optional<int> weightBits, activationBits, groupSize, paletteOutputs;
  std::optional<double> codedBits, winogradMinSqnr;
  std::optional<RangeEstimator> weightRange;
  std::optional<ActivationRange> activationRange;
  std::optional<bool> biasCorrection, weightSymmetric, sharedTaps, oneScale, palette;
  std::optional<Smoothing> smooth;
  std::optional<Rounding> rounding;
  std::optional<Pruning> pruning;
  std::optional<Sparsity> sparsity;
  std::optional<PruneScope> pruneScope;
  std::optional<PruneNorms> pruneNorms;
  std::optional<PruneUpdate> pruneUpdate;
  std::optional<std::string> storage;
  int line = 0, column = 0; ///< counted from 1; 0 if the rule is not from a file
};

/// "40dB"; "off" for 0. Nothing else is a least SQNR.
std::optional<double> parseMinSqnr(const std::string &text);
std::string minSqnrName(double decibels);

class Recipe {
public:
  std::string name;
  std::string origin; ///< for messages
  /// Of each module; widths that rules of `names` set are not searched.
  std::optional<Budget> budget;
  bool winograd = true;     ///< 3x3 convolutions by F(2x2, 3x3) where that is faster
  bool splitConcats = true; ///< concatenations of parts with scales of their own
  bool hoist = true; ///< run what depends on the prompt or on the timestep alone only once for each
  TimestepWeights pruneTimesteps = TimestepWeights::Uniform;
  /// At most so many intervals of timesteps whose activations have scales of their own.
  int timestepBuckets = 1;
  RecipeRule global;
  std::vector<RecipeRule> types;
  std::vector<RecipeRule> modules;
  std::vector<RecipeRule> names;

  /// Settings for a layer of sd op type `opType` ("conv2d") of module `module` ("unet"), known
  /// under `layerNames` (value name, ONNX node names, module path, weight names). Remembers which
  /// rules matched.
  LayerRecipe resolve(const std::string &module, const std::string &opType,
                      const std::vector<std::string> &layerNames);
  /// Which rule set what: one line per setting, e.g. "activation_bits = 16 from w8a8.yaml:7:5
  /// (names: */conv_in/*)".
  std::vector<std::string> explain(const std::string &module, const std::string &opType,
                                   const std::vector<std::string> &layerNames) const;
  /// Does a rule of `names` set the width of this layer's weights?
  bool setsWidthByName(const std::vector<std::string> &layerNames) const;
  /// Does a rule of `names` say whether this layer is pruned?
  bool setsPruningByName(const std::vector<std::string> &layerNames) const;
  /// A module that is not compiled now, whose layers have these names: rules that fit it count as
  /// matched, and so do all rules of types.
  void passOver(const std::string &module, const std::vector<std::string> &layerNames);
  /// INVALID_ARGUMENT listing every rule of types, modules and names that matched nothing since
  /// construction, and rules that gave a layer 1 bit without a palette. Built-in recipes may have
  /// rules that match nothing: they describe many models.
  absl::Status checkAllMatched() const;

  /// The same text for equal recipes; stored in packages, parseable. Defaults are written out;
  /// types and modules are sorted, names keep their order.
  std::string canonicalText() const;

private:
  std::vector<bool> typeMatched_, moduleMatched_, nameMatched_;
  std::vector<std::string> conflicts_; ///< of settings that were resolved
  bool builtIn_ = false;
  friend absl::StatusOr<Recipe> loadRecipe(const std::string &);
};

/// A built-in name ("w8a16", "w4a8", ...) or the path of a YAML file.
absl::StatusOr<Recipe> loadRecipe(const std::string &nameOrPath);
/// The same from text; `origin` names it in errors. All mistakes are reported, one per line.
absl::StatusOr<Recipe> parseRecipe(const std::string &text, const std::string &origin);
/// Names of the built-in recipes, sorted.
std::vector<std::string> builtInRecipes();
/// The YAML text of a built-in recipe (compiled in from compiler/recipe/builtin/*.yaml).
absl::StatusOr<std::string> builtInRecipeText(const std::string &name);
/// How codes may be stored (compiler/schedule/WeightStorage.h).
std::vector<std::string> storageNames();
/// The op types that a rule may name.
std::vector<std::string> recipeOpTypes();

} // namespace sdopt

#endif // SDOPT_COMPILER_RECIPE_RECIPE_H
