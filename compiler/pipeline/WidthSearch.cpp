//===- WidthSearch.cpp - a width for each layer under a budget ---------------===//

#include "compiler/pipeline/WidthSearch.h"

#include "compiler/calibration/Statistics.h"
#include "compiler/recipe/Allocation.h"
#include "compiler/report/Numbers.h"
#include "dialects/sd/Resources.h"
#include "passes/quantize/ImposedCodes.h"
#include "passes/quantize/LayerInputs.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/WeightVariants.h"

#include "mlir/IR/Remarks.h"

#include <array>
#include <cmath>

using namespace mlir;

namespace sdopt {

namespace {

constexpr std::array<int, 7> kWidths = {1, 2, 3, 4, 5, 6, 8};
constexpr int kLeastUniformWidth = 3; ///< narrower weights are tried in palettes only
constexpr int kAttempts = 5;          ///< at a floor for the PSNR
/// Share of a budget that is left for the padding of weight blocks in the package.
constexpr double kPadding = 0.004;

class WidthSearch {
public:
  explicit WidthSearch(Recipe &recipe) : recipe_(recipe) {}

  LogicalResult collect(func::FuncOp function, const Statistics &statistics) {
    for (Operation &op : function.getBody().front()) {
      if (!hasWeights(&op))
        continue;
      std::vector<LayerRecipe> settings = settingsOf(function, &op);
      FailureOr<std::string> importance = std::string();
      if (settings.front().palette)
        importance = storedImportance(&op, /*corrected=*/false, statistics);
      if (failed(importance))
        return failure();
      LayerVariants layer{.layer = &op, .variants = {}};
      for (const LayerRecipe &setting : settings)
        layer.variants.push_back({describe(setting), [setting, key = *importance](Operation *copy) {
                                    return narrowWeights(copy, setting, key);
                                  }});
      layers_.push_back(std::move(layer));
      settings_.push_back(std::move(settings));
      weights_ += weightCount(&op);
    }
    return success();
  }

  const std::vector<LayerVariants> &layers() const { return layers_; }

  void take(const Sensitivity &sensitivity) {
    peakToMean_ = sensitivity.peakToMean;
    for (size_t i = 0; i < layers_.size(); ++i) {
      choices_.emplace_back();
      for (size_t j = 0; j < settings_[i].size(); ++j)
        choices_[i].push_back(
            {weightCost(layers_[i].layer, settings_[i][j]), sensitivity.losses[i][j]});
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
      int bits = settings_[i][allocation_.chosen[i]].weightBits;
      Operation *layer = layers_[i].layer;
      layer->setAttr(kWeightBitsAttribute,
                     IntegerAttr::get(IntegerType::get(layer->getContext(), 64), bits));
    }
  }

  void remark() const {
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Choice &choice = choices_[i][allocation_.chosen[i]];
      mlir::remark::passed(layers_[i].layer->getLoc(),
                           mlir::remark::RemarkOpts::name("allocate").category("quantize"))
          << (std::to_string(settings_[i][allocation_.chosen[i]].weightBits) +
              " bit: alone it leaves the output " + decibels(choice.loss));
    }
  }

  std::string summary() const {
    std::string text = fixed(bits(), 2) + " bits per weight:";
    for (int width : kWidths) {
      int64_t layers = 0;
      for (size_t i = 0; i < layers_.size(); ++i)
        layers += settings_[i][allocation_.chosen[i]].weightBits == width;
      if (layers > 0)
        text += " " + std::to_string(layers) + " at " + std::to_string(width) + " bit,";
    }
    text.back() = ';';
    return text + " the layers' errors add up to " + decibels(allocation_.loss) +
           (allocation_.exact ? "" : " (search cut short)");
  }

private:
  /// At all widths that are tried.
  std::vector<LayerRecipe> settingsOf(func::FuncOp function, Operation *op) {
    LayerRecipe base = layerSettings(recipe_, function, op);
    const bool imposed = hasImposedScales(op->getOperand(1));
    if (imposed)
      base.weightBits = 8;
    if (imposed || recipe_.setsWidthByName(layerNames(op)))
      return {base};
    std::vector<LayerRecipe> settings;
    for (int bits : kWidths) {
      if (bits < kLeastUniformWidth && !base.palette)
        continue;
      settings.push_back(base);
      settings.back().weightBits = bits;
    }
    return settings;
  }

  static std::string describe(const LayerRecipe &settings) {
    if (settings.hasPalettes())
      return name(formOf(settings)) + (settings.oneScale ? ", one scale" : "");
    return name(formOf(settings)) + (settings.weightSymmetric ? "" : ", zero points") +
           (settings.sharedTaps ? ", all taps" : "") + (settings.oneScale ? ", one scale" : "") +
           ", " + name(settings.weightRange);
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
  std::vector<LayerVariants> layers_;
  std::vector<std::vector<LayerRecipe>> settings_; ///< parallel to the variants
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
  if (failed(search.collect(function, *sd::resources(function.getContext()).statistics)))
    return absl::InvalidArgumentError("");
  absl::StatusOr<Sensitivity> sensitivity =
      measureSensitivity(function, search.layers(), context, samples, options);
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
