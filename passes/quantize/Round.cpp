//===- Round.cpp - codes whose errors make up for each other -----------------===//

#include "compiler/calibration/Moments.h"
#include "compiler/quantization/Gptq.h"
#include "compiler/quantization/SharedWeights.h"
#include "compiler/reference/Evaluator.h"
#include "passes/quantize/Codebooks.h"
#include "passes/quantize/ImposedCodes.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/RoundedCodes.h"
#include "passes/quantize/StoredTensors.h"

#include "dialects/sd/Resources.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/MapVector.h"

#include <cmath>
#include <map>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_ROUND
#include "passes/quantize/Passes.h.inc"

namespace {

/// Columns whose moments are known together. What others have in common is left out.
constexpr int64_t kLargestBlock = 4096;

/// A layer that is to be rounded.
struct RoundedLayer {
  Operation *op = nullptr;
  LayerRecipe recipe = {};
  int64_t blocks = 0;                           ///< that are still missing
  std::unique_ptr<LayerRounding> rounding = {}; ///< from the first block on
};

/// What layers read, and the way they read it.
struct MomentsKey {
  const void *input = nullptr;
  Attribute window; ///< all that tells convolutions apart; null for linear layers
  int64_t firstChannel = 0, channels = 0;

  friend auto operator<=>(const MomentsKey &a, const MomentsKey &b) {
    auto tied = [](const MomentsKey &k) {
      return std::make_tuple(k.input, k.window.getAsOpaquePointer(), k.firstChannel, k.channels);
    };
    return tied(a) <=> tied(b);
  }
};

/// Moments and the layers that need them.
struct SharedMoments {
  MomentsRequest request;
  std::vector<size_t> layers = {};
};

class Rounder {
public:
  Rounder(func::FuncOp function, const Resources &resources)
      : function_(function), resources_(resources) {}

  LogicalResult run() {
    if (failed(collectLayers()))
      return failure();
    if (layers_.empty())
      return success();
    if (!resources_.samples)
      return function_.emitOpError("has layers with 'rounding: gptq', which needs recorded inputs: "
                                   "give --samples, or a recipe with 'rounding: nearest'");
    absl::StatusOr<std::vector<SampleFile>> files = resources_.samples->open();
    if (!files.ok())
      return function_.emitError() << std::string(files.status().message());
    files_ = *std::move(files);
    std::vector<MomentsRequest> requests;
    for (const SharedMoments &moments : moments_)
      requests.push_back(moments.request);
    std::vector<std::pair<size_t, size_t>> passes =
        cutIntoPasses(requests, resources_.samples->momentBytes);
    for (size_t pass = 0; pass < passes.size(); ++pass)
      if (failed(roundWith(passes[pass].first, passes[pass].second, pass, passes.size())))
        return failure();
    return success();
  }

  bool changed() const { return !layers_.empty(); }

private:
  static Value weightsOf(Operation *op) { return op->getOperand(1); }

  LogicalResult collectLayers() {
    std::map<MomentsKey, size_t> known;
    for (Operation &op : function_.getBody().front()) {
      if (!isa<sd::Conv2dOp, sd::LinearOp>(op) || isConstantExpression(&op))
        continue;
      LayerRecipe recipe = layerSettings(*resources_.recipe, function_, &op);
      FailureOr<std::optional<ImposedScales>> imposed = imposedScales(weightsOf(&op));
      if (failed(imposed))
        return failure();
      if (recipe.rounding != Rounding::GPTQ || (*imposed && (*imposed)->exact) ||
          (!*imposed && recipe.weightBits == 16) || hasImposedCodebook(&op))
        continue;
      if (*imposed)
        recipe.weightBits = 8;
      if (!weightsOf(&op).hasOneUse()) {
        remark::missed(op.getLoc(), remark::RemarkOpts::name("round").category("round"))
            << "weights keep their nearest codes: other layers read them too";
        continue;
      }
      addRequests(&op, recipe, known);
    }
    return success();
  }

  /// Splits the layer's input channels into blocks at the ends of groups.
  void addRequests(Operation *op, const LayerRecipe &recipe, std::map<MomentsKey, size_t> &known) {
    ArrayRef<int64_t> shape = cast<RankedTensorType>(weightsOf(op).getType()).getShape();
    const int64_t inputs = shape[1], taps = shape.size() == 4 ? shape[2] * shape[3] : 1;
    const WeightForm form = formOf(recipe);
    const int64_t unit = form.groupSize > 0 ? form.groupSize : 1;
    const int64_t channels = std::max<int64_t>(1, kLargestBlock / taps / unit) * unit;
    RoundedLayer &layer = layers_.emplace_back();
    layer.op = op;
    layer.recipe = recipe;
    const Attribute window = windowAttribute(op);
    for (int64_t first = 0; first < inputs; first += channels, ++layer.blocks) {
      const int64_t count = std::min(channels, inputs - first);
      auto [place, isNew] = known.try_emplace(
          {op->getOperand(0).getAsOpaquePointer(), window, first, count}, moments_.size());
      if (isNew)
        moments_.push_back({.request = {op, first, count}});
      moments_[place->second].layers.push_back(layers_.size() - 1);
    }
  }

  LogicalResult roundWith(size_t first, size_t last, size_t pass, size_t passes) {
    std::vector<MomentsRequest> requests;
    for (size_t i = first; i < last; ++i)
      requests.push_back(moments_[i].request);
    auto progress = [&](double done, int64_t total) {
      if (resources_.samples->progress)
        resources_.samples->progress(static_cast<double>(pass) * static_cast<double>(total) + done,
                                     static_cast<int64_t>(passes) * total);
    };
    absl::StatusOr<std::vector<InputMoments>> moments =
        collectMoments(function_, resources_.evaluation, files_, requests, progress);
    if (!moments.ok())
      return function_.emitError() << std::string(moments.status().message());
    for (size_t i = first; i < last; ++i) {
      InputMoments own = std::move((*moments)[i - first]);
      for (size_t layer : moments_[i].layers)
        if (failed(round(layers_[layer], own)))
          return failure();
    }
    return success();
  }

  LogicalResult round(RoundedLayer &layer, const InputMoments &moments) {
    if (!layer.rounding && failed(begin(layer)))
      return failure();
    layer.rounding->round(moments);
    return --layer.blocks > 0 ? success() : finish(layer);
  }

  LogicalResult begin(RoundedLayer &layer) {
    FailureOr<Tensor> weights = evaluateConstant(weightsOf(layer.op), resources_.evaluation);
    if (failed(weights))
      return failure();
    if (int64_t at = firstNonFiniteWeight(*weights); at >= 0)
      return layer.op->emitOpError() << "weight element " << at << " is not finite";
    const LayerRecipe &recipe = layer.recipe;
    const WeightForm form = formOf(recipe);
    QuantizedWeights nearest;
    if (form.coding == WeightCoding::Palette) {
      FailureOr<QuantizedWeights> shared = share(layer, *weights, form);
      if (failed(shared))
        return failure();
      nearest = *std::move(shared);
    } else if (form.coding == WeightCoding::Grouped) {
      nearest = quantizeNarrowWeights(*weights, form, recipe.oneScale, recipe.weightRange, nullptr,
                                      nullptr);
    } else {
      FailureOr<std::optional<ImposedScales>> imposed = imposedScales(weightsOf(layer.op));
      if (failed(imposed))
        return failure();
      std::optional<Tensor> known;
      if (*imposed)
        known = Tensor::of<float>({weights->dim(0)}, (*imposed)->scales);
      else if (recipe.oneScale)
        known = commonWeightScale(*weights, 0, recipe.weightRange);
      nearest = quantizeWeights(*weights, 0, recipe.weightRange, known ? &*known : nullptr);
    }
    FailureOr<Tensor> dense = denseWeights(layer.op);
    if (failed(dense))
      return failure();
    layer.rounding = std::make_unique<LayerRounding>(
        dense->bytes() ? *dense : *weights, form, recipe.weightRange, recipe.biasCorrection,
        std::move(nearest), isPruned(weightsOf(layer.op)) ? *weights : Tensor());
    return success();
  }

  /// The weights before those that stay made up for those that went, or nothing: then the pruned
  /// weights are what codes should give.
  FailureOr<Tensor> denseWeights(Operation *layer) {
    IRMapping values;
    SmallVector<Operation *> copies;
    OpBuilder builder(layer);
    bool updated = false;
    std::function<Value(Value)> copy = [&](Value value) -> Value {
      Operation *op = value.getDefiningOp();
      if (auto pruned = dyn_cast<sd::PruneWeightOp>(op)) {
        updated |= static_cast<bool>(pruned.getValues());
        return pruned.getWeight();
      }
      if (!isPruned(value))
        return value;
      for (Value operand : op->getOperands())
        values.map(operand, copy(operand));
      copies.push_back(builder.clone(*op, values));
      return copies.back()->getResult(cast<OpResult>(value).getResultNumber());
    };
    if (!isPruned(weightsOf(layer)))
      return Tensor();
    Value dense = copy(weightsOf(layer));
    FailureOr<Tensor> weights =
        updated ? evaluateConstant(dense, resources_.evaluation) : FailureOr<Tensor>(Tensor());
    for (Operation *op : llvm::reverse(copies))
      op->erase();
    return weights;
  }

  FailureOr<QuantizedWeights> share(const RoundedLayer &layer, const Tensor &weights,
                                    const WeightForm &form) {
    FailureOr<std::vector<float>> powers =
        channelPowers(layer.op->getOperand(0), layer.recipe.biasCorrection, *resources_.statistics);
    if (failed(powers))
      return failure();
    const Tensor importance = Tensor::of<float>({static_cast<int64_t>(powers->size())}, *powers);
    return shareWeights(weights, form,
                        {.importance = powers->empty() ? nullptr : &importance,
                         .withZero = isPruned(weightsOf(layer.op)),
                         .oneScale = layer.recipe.oneScale,
                         .codedBits = layer.recipe.codedBits});
  }

  LogicalResult finish(RoundedLayer &layer) {
    QuantizedWeights codes = layer.rounding->take();
    const OutputPower power = layer.rounding->power();
    layer.rounding.reset();
    Builder builder(function_.getContext());
    SmallVector<NamedAttribute> keys;
    auto keep = [&](const char *what, const Tensor &tensor) -> LogicalResult {
      if (!tensor.bytes())
        return success();
      FailureOr<std::string> key = storedTensor(
          layer.op->getLoc(), sd::valueName(layer.op->getResult(0)) + "." + what, tensor);
      if (failed(key))
        return failure();
      keys.push_back(builder.getNamedAttr(what, builder.getStringAttr(*key)));
      return success();
    };
    const Shape groups =
        groupShape(cast<RankedTensorType>(weightsOf(layer.op).getType()).getShape(), layer.recipe);
    if (codes.groupScales.bytes())
      codes.groupScales = codes.groupScales.reshaped(groups);
    if (codes.zeroPoints.bytes())
      codes.zeroPoints = codes.zeroPoints.reshaped(groups);
    if (failed(keep(kCodes, codes.codes)) || failed(keep(kScales, codes.scales)) ||
        failed(keep(kGroupScales, codes.groupScales)) ||
        failed(keep(kZeroPoints, codes.zeroPoints)) || failed(keep(kPalettes, codes.palettes)) ||
        failed(keep(kCorrection, codes.correction)))
      return failure();
    layer.op->setAttr(kRoundedAttribute, builder.getDictionaryAttr(keys));
    tell(layer, power);
    if (resources_.samples->rounded)
      resources_.samples->rounded(sd::valueName(layer.op->getResult(0)), power);
    return success();
  }

  void tell(const RoundedLayer &layer, const OutputPower &power) {
    char text[96];
    std::snprintf(text, sizeof(text), "output SQNR %.1f dB with nearest codes, %.1f dB rounded",
                  power.sqnrBefore(), power.sqnrAfter());
    remark::passed(layer.op->getLoc(), remark::RemarkOpts::name("round").category("round"))
        << std::string(text);
  }

  func::FuncOp function_;
  const Resources &resources_;
  std::vector<RoundedLayer> layers_;
  std::vector<SharedMoments> moments_;
  std::vector<SampleFile> files_;
};

struct RoundPass : impl::RoundBase<RoundPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    const Resources &resources = sd::resources(&getContext());
    if (failed(checkStatistics(function)))
      return signalPassFailure();
    Rounder rounder(function, resources);
    if (failed(rounder.run()))
      return signalPassFailure();
    if (rounder.changed())
      function->setAttr(kCalibratedAttribute,
                        StringAttr::get(&getContext(), resources.statistics->functionDigest()));
  }
};

} // namespace
} // namespace sdopt
