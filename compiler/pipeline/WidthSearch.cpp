//===- WidthSearch.cpp - a form for each layer under a budget ----------------===//

#include "compiler/pipeline/WidthSearch.h"

#include "compiler/calibration/Statistics.h"
#include "compiler/recipe/Allocation.h"
#include "compiler/report/Numbers.h"
#include "compiler/target/StrictYaml.h"
#include "compiler/weights/TensorFile.h"
#include "dialects/sd/Resources.h"
#include "passes/prune/PrunedLayers.h"
#include "passes/prune/PrunedWeights.h"
#include "passes/quantize/Codebooks.h"
#include "passes/quantize/ImposedCodes.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/WeightVariants.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Remarks.h"

#include <array>
#include <cmath>
#include <limits>
#include <map>

using namespace mlir;

namespace sdopt {

namespace {

constexpr std::array<int, 7> kWidths = {1, 2, 3, 4, 5, 6, 8};
constexpr int kLeastUniformWidth = 3; ///< narrower weights are tried in palettes only
constexpr int kAttempts = 5;          ///< at a budget or a floor
/// Shares of a budget: left for the padding of weight blocks at first; near enough to it; left once
/// trials tell what blocks take, since the costs of forms come in steps.
constexpr double kPadding = 0.004, kNear = 0.005, kStep = 0.001;

/// Entropies of indices that are tried, bits, and how many more bits an index has than that: enough
/// for what is rare.
constexpr std::array<double, 9> kCodedBits = {1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6};
constexpr int kRareBits = 2, kWidestIndex = 7;

/// One way to store a layer's weights.
struct LayerForm {
  LayerRecipe settings;
  bool pruned = false;
};

/// Copies constant expressions of one function into another.
Value copied(OpBuilder &builder, Value value, IRMapping &values) {
  if (Value known = values.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  for (Value operand : op->getOperands())
    copied(builder, operand, values);
  builder.clone(*op, values);
  return values.lookup(value);
}

/// Gives a layer the constants that `pruned`, the same layer elsewhere, reads.
void copyConstants(Operation *pruned, Operation *layer) {
  OpBuilder builder(layer);
  IRMapping values;
  SmallVector<Value> operands = {layer->getOperand(0)};
  for (Value operand : pruned->getOperands().drop_front())
    operands.push_back(copied(builder, operand, values));
  layer->setOperands(operands);
}

class WidthSearch {
public:
  WidthSearch(const std::string &module, Recipe &recipe) : module_(module), recipe_(recipe) {}

  /// Layers of `function`; `dense` is the same without pruning.
  LogicalResult collect(func::FuncOp function, func::FuncOp dense, const Statistics &statistics) {
    llvm::StringMap<Operation *> denseLayers;
    for (Operation &op : dense.getBody().front())
      if (hasWeights(&op))
        denseLayers[sd::valueName(op.getResult(0))] = &op;
    const auto pruning = function->getAttrOfType<StringAttr>(kPrunedAttribute);
    for (Operation &op : function.getBody().front()) {
      if (!hasWeights(&op))
        continue;
      std::vector<LayerForm> forms = formsOf(function, &op);
      FailureOr<std::string> importance = std::string();
      if (forms.front().settings.palette)
        importance = storedImportance(&op, /*corrected=*/false, statistics);
      if (failed(importance))
        return failure();
      LayerVariants layer{.layer = denseLayers.at(sd::valueName(op.getResult(0))), .variants = {}};
      for (const LayerForm &form : forms)
        layer.variants.push_back(
            {(form.pruned ? "pruned " + pruning.str() + ", " : "") + describe(form.settings),
             [form, pruned = &op, key = *importance](Operation *copy) {
               if (form.pruned)
                 copyConstants(pruned, copy);
               return narrowWeights(copy, form.settings, key);
             },
             [settings = form.settings](Operation *copy) { return weightCost(copy, settings); }});
      variants_.push_back(std::move(layer));
      layers_.push_back(&op);
      forms_.push_back(std::move(forms));
      weights_ += weightCount(&op);
    }
    return success();
  }

  const std::vector<LayerVariants> &variants() const { return variants_; }

  void take(const Sensitivity &sensitivity) {
    peakToMean_ = sensitivity.peakToMean;
    for (size_t i = 0; i < layers_.size(); ++i) {
      choices_.emplace_back();
      for (size_t j = 0; j < forms_[i].size(); ++j)
        choices_[i].push_back({sensitivity.bits[i][j], sensitivity.losses[i][j]});
    }
  }

  /// Layers are marked with the forms of least loss that take at most `budget` bits a weight as
  /// they are stored. What was measured layer by layer is not quite that: blocks are padded, and
  /// rounding that lets errors make up for each other spreads codes, which an entropy coder pays
  /// for. So the limit follows what trials took.
  absl::Status withinBits(double budget, const WidthTrials &trials) {
    double limit = budget * static_cast<double>(weights_) * (1 - kPadding);
    double fits = 0, exceeds = std::numeric_limits<double>::infinity(), stored = 0;
    Allocation fitting;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      auto best = leastLoss(choices_, static_cast<int64_t>(limit));
      if (!best || best->chosen == allocation_.chosen)
        break;
      allocation_ = *std::move(best);
      mark();
      absl::StatusOr<double> trial = trials.storedBits();
      if (!trial.ok())
        return trial.status();
      stored = *trial;
      (stored <= budget ? fits : exceeds) = limit;
      if (stored <= budget) {
        fitting = allocation_;
        bits_ = stored;
      }
      if (stored <= budget && stored >= budget * (1 - kNear))
        return absl::OkStatus();
      limit *= budget / stored * (1 - kStep);
      if (!(fits < limit && limit < exceeds))
        limit = (fits + exceeds) / 2;
    }
    if (fits == 0)
      return withNarrowest(budget, trials);
    if (fitting.chosen == allocation_.chosen)
      return absl::OkStatus();
    allocation_ = std::move(fitting);
    mark();
    return trials.storedBits().status(); // the last trial is the one that is taken
  }

  /// The last resort.
  absl::Status withNarrowest(double budget, const WidthTrials &trials) {
    allocation_ = *leastLoss(choices_, leastBits());
    mark();
    absl::StatusOr<double> stored = trials.storedBits();
    if (!stored.ok())
      return stored.status();
    bits_ = *stored;
    if (bits_ <= budget)
      return absl::OkStatus();
    constexpr double kDigits = 100;
    return absl::InvalidArgumentError(
        "module '" + module_ + "': the budget of " + fixed(budget, 2) +
        " bits per weight is too small: in their narrowest forms, rounded and stored, weights "
        "take " +
        fixed(bits_, 3) + "; give --budget " + fixed(std::ceil(kDigits * bits_) / kDigits, 2) +
        "bit or more (in a recipe 'budget'), or a recipe with 'rounding: nearest'");
  }

  absl::Status withinLoss(double floor, const WidthTrials &trials) {
    double reached = 0, loss = lossAt(floor);
    for (int attempt = 0; attempt < kAttempts && reached < floor; ++attempt) {
      auto best = leastCost(choices_, loss);
      if (!best) // even the widest weights lose more
        break;
      allocation_ = *std::move(best);
      bits_ = static_cast<double>(allocation_.cost) /
              static_cast<double>(std::max<int64_t>(weights_, 1));
      mark();
      absl::StatusOr<double> psnr = trials.psnr();
      if (!psnr.ok())
        return psnr.status();
      reached = *psnr;
      loss *= std::pow(10.0, std::min(reached - floor - 0.1, -0.1) / 10);
    }
    if (reached >= floor)
      return absl::OkStatus();
    return absl::InvalidArgumentError(
        "module '" + module_ + "': no widths of the weights reach " + name(*recipe_.budget) +
        " on the calibration samples" +
        (reached > 0 ? "; " + fixed(reached, 1) + " dB is what was reached" : "") +
        "; use a recipe with more activation bits, or a lower floor");
  }

  void remark() const {
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Choice &choice = choices_[i][allocation_.chosen[i]];
      mlir::remark::passed(layers_[i]->getLoc(),
                           mlir::remark::RemarkOpts::name("allocate").category("quantize"))
          << (nameOf(chosen(i).settings) + (chosen(i).pruned ? ", pruned" : "") + ", " +
              std::to_string((choice.cost + 7) / 8) + " bytes: alone it leaves the output " +
              decibels(choice.loss));
    }
  }

  std::string summary() const {
    std::string text = fixed(bits_, 2) + " bits per weight:";
    std::map<double, int64_t> layers; // by width
    int64_t pruned = 0;
    for (size_t i = 0; i < layers_.size(); ++i) {
      ++layers[widthOf(chosen(i).settings)];
      pruned += chosen(i).pruned;
    }
    for (auto [width, count] : layers)
      text += " " + std::to_string(count) + " at " + numberText(width) + " bit,";
    if (pruned > 0)
      text += " " + std::to_string(pruned) + " pruned,";
    text.back() = ';';
    return text + " the layers' errors add up to " + decibels(allocation_.loss) +
           (allocation_.exact ? "" : " (search cut short)");
  }

private:
  double lossAt(double psnr) const { return peakToMean_ / std::pow(10.0, psnr / 10); }

  void mark() const {
    for (size_t i = 0; i < layers_.size(); ++i) {
      const LayerForm &form = chosen(i);
      Operation *layer = layers_[i];
      Builder builder(layer->getContext());
      layer->setAttr(kWeightBitsAttribute, builder.getI64IntegerAttr(form.settings.weightBits));
      if (form.settings.codedBits > 0)
        layer->setAttr(kCodedBitsAttribute, builder.getF64FloatAttr(form.settings.codedBits));
      if (isPruned(layer->getOperand(1)) && !form.pruned)
        layer->setAttr(kKeptAttribute, builder.getUnitAttr());
      else
        layer->removeAttr(kKeptAttribute);
    }
  }

  const LayerForm &chosen(size_t layer) const { return forms_[layer][allocation_.chosen[layer]]; }

  static double widthOf(const LayerRecipe &settings) {
    return settings.hasPalettes() && settings.codedBits > 0 ? settings.codedBits
                                                            : settings.weightBits;
  }
  static std::string nameOf(const LayerRecipe &settings) {
    return numberText(widthOf(settings)) + " bit";
  }

  /// All that are tried.
  std::vector<LayerForm> formsOf(func::FuncOp function, Operation *op) {
    const std::vector<std::string> names = layerNames(op);
    const bool pruned = isPruned(op->getOperand(1));
    std::vector<LayerForm> forms;
    for (const LayerRecipe &settings : settingsOf(function, op, names)) {
      forms.push_back({settings, pruned});
      if (pruned && !hasImposedMask(op) && !hasImposedCodebook(op) &&
          !recipe_.setsPruningByName(names))
        forms.push_back({settings, false});
    }
    return forms;
  }

  static bool hasImposedMask(Operation *op) {
    const TensorFile *masks = sd::resources(op->getContext()).masks;
    return masks && masks->contains(exchangeName(op));
  }

  /// At all widths that are tried.
  std::vector<LayerRecipe> settingsOf(func::FuncOp function, Operation *op,
                                      const std::vector<std::string> &names) {
    LayerRecipe base = layerSettings(recipe_, function, op);
    const bool imposed = hasImposedScales(op->getOperand(1));
    if (imposed)
      base.weightBits = 8;
    if (imposed || hasImposedCodebook(op) || recipe_.setsWidthByName(names))
      return {base};
    std::vector<LayerRecipe> settings;
    const auto add = [&](int bits, double codedBits) {
      settings.push_back(base);
      settings.back().weightBits = bits;
      settings.back().codedBits = codedBits;
    };
    if (base.palette && base.codedBits > 0) {
      for (double bits : kCodedBits)
        add(std::min(static_cast<int>(std::ceil(bits)) + kRareBits, kWidestIndex), bits);
      add(8, base.codedBits);
      return settings;
    }
    for (int bits : kWidths)
      if (bits >= kLeastUniformWidth || base.palette)
        add(bits, base.codedBits);
    return settings;
  }

  static std::string describe(const LayerRecipe &settings) {
    const std::string end = (settings.oneScale ? ", one scale" : std::string()) +
                            (settings.storage != "auto" ? ", " + settings.storage : "") +
                            (settings.activationBits == 8 ? ", 8-bit inputs" : "");
    if (settings.hasPalettes())
      return name(formOf(settings)) +
             (settings.codedBits > 0 ? ", coded in " + numberText(settings.codedBits) : "") + end;
    return name(formOf(settings)) + (settings.weightSymmetric ? "" : ", zero points") +
           (settings.sharedTaps ? ", all taps" : "") + end + ", " + name(settings.weightRange);
  }

  /// The PSNR that an error leaves.
  std::string decibels(double loss) const {
    return loss > 0 ? fixed(10 * std::log10(peakToMean_ / loss), 1) + " dB" : "exact";
  }

  int64_t leastBits() const {
    int64_t least = 0;
    for (const std::vector<Choice> &list : choices_)
      least += std::ranges::min(list, {}, &Choice::cost).cost;
    return least;
  }

  std::string module_;
  Recipe &recipe_;
  std::vector<Operation *> layers_;
  std::vector<LayerVariants> variants_;       ///< of the same layers without pruning
  std::vector<std::vector<LayerForm>> forms_; ///< parallel to the variants
  std::vector<std::vector<Choice>> choices_;
  int64_t weights_ = 0;
  double peakToMean_ = 0;
  Allocation allocation_;
  double bits_ = 0; ///< that a weight takes: with a budget as stored, else as measured alone
};

} // namespace

absl::StatusOr<std::string> searchWidths(func::FuncOp function, Recipe &recipe,
                                         const EvaluationContext &context,
                                         const std::vector<SampleFile> &samples,
                                         const SensitivityOptions &options,
                                         const WidthTrials &trials) {
  WidthSearch search(function.getName().str(), recipe);
  OwningOpRef<ModuleOp> copy = function->getParentOfType<ModuleOp>().clone();
  auto dense = copy->lookupSymbol<func::FuncOp>(function.getName());
  undoPruning(dense);
  dense->removeAttr(kPrunedAttribute);
  if (failed(search.collect(function, dense, *sd::resources(function.getContext()).statistics)))
    return absl::InvalidArgumentError("");
  absl::StatusOr<Sensitivity> sensitivity =
      measureSensitivity(dense, search.variants(), context, samples, options);
  if (!sensitivity.ok())
    return sensitivity.status();
  search.take(*sensitivity);
  // The statistics are of the function without the attributes that follow.
  if (!function->hasAttr(kCalibratedAttribute))
    function->setAttr(kCalibratedAttribute,
                      StringAttr::get(function.getContext(), functionDigest(function)));
  const Budget &budget = *recipe.budget;
  absl::Status status = budget.kind == Budget::BitsPerWeight
                            ? search.withinBits(budget.value, trials)
                            : search.withinLoss(budget.value, trials);
  if (!status.ok())
    return status;
  search.remark();
  return search.summary();
}

} // namespace sdopt
