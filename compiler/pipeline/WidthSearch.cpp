//===- WidthSearch.cpp - a form for each layer under a budget ----------------===//

#include "compiler/pipeline/WidthSearch.h"

#include "compiler/calibration/Statistics.h"
#include "compiler/recipe/Allocation.h"
#include "compiler/report/Numbers.h"
#include "compiler/target/StrictYaml.h"
#include "compiler/weights/WeightStore.h"
#include "dialects/sd/Resources.h"
#include "passes/prune/PrunedLayers.h"
#include "passes/prune/PrunedWeights.h"
#include "passes/quantize/ImposedCodes.h"
#include "passes/quantize/LayerInputs.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/WeightVariants.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Remarks.h"

#include <array>
#include <cmath>
#include <map>

using namespace mlir;

namespace sdopt {

namespace {

constexpr std::array<int, 7> kWidths = {1, 2, 3, 4, 5, 6, 8};
constexpr int kLeastUniformWidth = 3; ///< narrower weights are tried in palettes only
constexpr int kAttempts = 5;          ///< at a floor for the PSNR
/// Share of a budget that is left for the padding of weight blocks in the package.
constexpr double kPadding = 0.004;

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
  explicit WidthSearch(Recipe &recipe) : recipe_(recipe) {}

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

  absl::Status withinBits(double bits) {
    double limit = bits * static_cast<double>(weights_) * (1 - kPadding);
    auto best = leastLoss(choices_, static_cast<int64_t>(limit));
    if (!best)
      return absl::InvalidArgumentError("the budget of " + fixed(bits, 2) +
                                        " bits per weight is below " + fixed(leastBits(), 2) +
                                        ", what the narrowest widths take");
    allocation_ = *std::move(best);
    return absl::OkStatus();
  }

  /// False if even the widest weights lose more.
  bool withinLoss(double loss) {
    auto best = leastCost(choices_, loss);
    if (!best)
      return false;
    allocation_ = *std::move(best);
    return true;
  }

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
    std::string text = fixed(bits(), 2) + " bits per weight:";
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
      if (pruned && !hasImposedMask(op) && !recipe_.setsPruningByName(names))
        forms.push_back({settings, false});
    }
    return forms;
  }

  static bool hasImposedMask(Operation *op) {
    const TensorFile *masks = sd::resources(op->getContext()).masks;
    return masks && llvm::is_contained(masks->names(), maskName(op));
  }

  /// At all widths that are tried.
  std::vector<LayerRecipe> settingsOf(func::FuncOp function, Operation *op,
                                      const std::vector<std::string> &names) {
    LayerRecipe base = layerSettings(recipe_, function, op);
    const bool imposed = hasImposedScales(op->getOperand(1));
    if (imposed)
      base.weightBits = 8;
    if (imposed || recipe_.setsWidthByName(names))
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

  double bits() const {
    return static_cast<double>(allocation_.cost) /
           static_cast<double>(std::max<int64_t>(weights_, 1));
  }
  double leastBits() const {
    int64_t least = 0;
    for (const std::vector<Choice> &list : choices_)
      least += std::ranges::min(list, {}, &Choice::cost).cost;
    return static_cast<double>(least) / static_cast<double>(std::max<int64_t>(weights_, 1));
  }

  Recipe &recipe_;
  std::vector<Operation *> layers_;
  std::vector<LayerVariants> variants_;       ///< of the same layers without pruning
  std::vector<std::vector<LayerForm>> forms_; ///< parallel to the variants
  std::vector<std::vector<Choice>> choices_;
  int64_t weights_ = 0;
  double peakToMean_ = 0;
  Allocation allocation_;
};

} // namespace

absl::StatusOr<std::string>
searchWidths(func::FuncOp function, Recipe &recipe, const EvaluationContext &context,
             const std::vector<SampleFile> &samples, const SensitivityOptions &options,
             const std::function<absl::StatusOr<double>()> &quantizedPsnr) {
  WidthSearch search(recipe);
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
  if (budget.kind == Budget::BitsPerWeight) {
    if (absl::Status status = search.withinBits(budget.value); !status.ok())
      return status;
    search.mark();
  } else {
    double reached = 0, loss = search.lossAt(budget.value);
    for (int attempt = 0; attempt < kAttempts && reached < budget.value; ++attempt) {
      if (!search.withinLoss(loss))
        break;
      search.mark();
      absl::StatusOr<double> psnr = quantizedPsnr();
      if (!psnr.ok())
        return psnr.status();
      reached = *psnr;
      loss *= std::pow(10.0, std::min(reached - budget.value - 0.1, -0.1) / 10);
    }
    if (reached < budget.value)
      return absl::InvalidArgumentError(
          "no widths of the weights reach " + name(budget) + " on the calibration samples" +
          (reached > 0 ? "; " + fixed(reached, 1) + " dB is what was reached" : "") +
          "; use a recipe with more activation bits, or a lower floor");
  }
  search.remark();
  return search.summary();
}

} // namespace sdopt
