//===- Quantize.cpp - codes for activations and weights ----------------------===//

#include "compiler/calibration/Activations.h"
#include "compiler/calibration/Ranges.h"
#include "compiler/quantization/QuantizedParameters.h"
#include "dialects/sd/BucketFunctions.h"
#include "dialects/sd/FormatNames.h"
#include "passes/quantize/CodeRoots.h"
#include "passes/quantize/ImposedCodes.h"
#include "passes/quantize/LayerSettings.h"
#include "passes/quantize/LayerStatistics.h"
#include "passes/quantize/Passes.h"
#include "passes/quantize/RoundedCodes.h"
#include "passes/quantize/StoredTensors.h"
#include "passes/quantize/WeightVariants.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/Remarks.h"
#include "llvm/ADT/MapVector.h"

#include <array>
#include <bit>
#include <cmath>
#include <optional>

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_QUANTIZE
#include "passes/quantize/Passes.h.inc"

namespace {

std::optional<double> normEpsilon(Operation *op) {
  if (auto norm = dyn_cast<sd::GroupNormOp>(op))
    return norm.getEpsilon().convertToDouble();
  if (auto norm = dyn_cast<sd::LayerNormOp>(op))
    return norm.getEpsilon().convertToDouble();
  if (auto norm = dyn_cast<sd::RmsNormOp>(op))
    return norm.getEpsilon().convertToDouble();
  return std::nullopt;
}

class Quantizer {
public:
  Quantizer(func::FuncOp function, Recipe &recipe, const Statistics &statistics)
      : function_(function), recipe_(recipe), statistics_(statistics) {}

  LogicalResult run() {
    if (failed(checkOperations()) || failed(findDrifting()))
      return failure();
    if (failed(collectRequests()) || failed(chooseCodes()))
      return failure();
    quantizeArguments();
    for (Operation &op : llvm::make_early_inc_range(function_.getBody().front()))
      if (!op.hasTrait<OpTrait::IsTerminator>() && !isConstantExpression(&op) &&
          !created_.contains(&op) && failed(quantizeOperation(&op)))
        return failure();
    dequantizeResults();
    function_->removeAttr(kCalibratedAttribute);
    for (Operation &op : function_.getBody().front()) {
      if (op.hasAttr(kDividedAttribute))
        op.setAttr(kSmoothedAttribute, UnitAttr::get(op.getContext()));
      for (StringRef attribute :
           {kDividedAttribute, kStatisticsOfAttribute, kRoundedAttribute, kWeightBitsAttribute})
        op.removeAttr(attribute);
    }
    return success();
  }

private:
  struct Request {
    bool eight = false, sixteen = false;
    bool timestep = false; ///< read by a time embedding, in fixed point
    ActivationRange range; ///< at 8 bits
    float leastScale = 0;  ///< of the norms that read it
  };
  struct Codes {
    Type primary; ///< element type
    Type narrow;  ///< 8-bit element type for the layers that ask for it, or null
  };

  /// Only normalized operations have an integer form.
  LogicalResult checkOperations() {
    for (Operation &op : function_.getBody().front()) {
      bool known =
          isa<sd::Conv2dOp, sd::LinearOp, sd::GroupNormOp, sd::LayerNormOp, sd::AttentionOp,
              sd::SiluOp, sd::GeluOp, sd::QuickGeluOp, sd::SigmoidOp, sd::GegluOp, sd::AddOp,
              sd::ConcatOp, sd::UpsampleOp, sd::TimeEmbeddingOp, sd::EmbeddingOp, sd::PoolTokenOp,
              sd::TransposeOp, sd::ReshapeOp, sd::SliceOp, sd::ModulateOp, sd::RmsNormOp,
              sd::GeluTanhOp, func::ReturnOp>(op);
      if (!known && !isConstantExpression(&op))
        return op.emitOpError("has no integer form; run the normalization passes first");
      if (auto conv = dyn_cast<sd::Conv2dOp>(op);
          conv && (conv.getGroups() != 1 || conv.getLayout() != sd::Layout::nhwc))
        return conv.emitOpError("needs nhwc layout and one group to be quantized");
    }
    return success();
  }

  /// In a function of one bucket: what depends on the timestep and is no result.
  LogicalResult findDrifting() {
    if (!function_->hasAttr(sd::kFirstTimestepAttribute))
      return success();
    const auto &intervals = statistics_.timesteps();
    const auto own = llvm::find_if(intervals, [&](const TimestepBuckets::Interval &interval) {
      return interval.first == sd::firstTimestep(function_);
    });
    const int64_t timestep = timestepInput(function_);
    if (own == intervals.end() || intervals.size() < 2 || timestep < 0)
      return function_.emitOpError("is for the timesteps from ")
             << sd::firstTimestep(function_)
             << " on, of which the statistics have no bucket; run sdopt-split-timesteps";
    bucket_ = own - intervals.begin();
    drifting_.insert(function_.getArgument(timestep));
    for (Operation &op : function_.getBody().front())
      if (llvm::any_of(op.getOperands(), [&](Value x) { return drifting_.contains(x); }))
        drifting_.insert(op.result_begin(), op.result_end());
    for (Value result : function_.getBody().front().getTerminator()->getOperands())
      drifting_.erase(codeRoot(result));
    return success();
  }

  /// The range that is chosen over all timesteps, as far as the elements of the bucket reach.
  FailureOr<CodeRange> inBucket(Value value, CodeRange range, int bits) const {
    FailureOr<std::pair<float, float>> extremes = extremesOf(value, statistics_, bucket_);
    if (failed(extremes))
      return failure();
    const double limit = std::ldexp(1.0, bits - 1);
    const double low = range.scale * (-limit - range.zeroPoint),
                 high = range.scale * (limit - 1 - range.zeroPoint);
    ValueStatistics within;
    within.min = static_cast<float>(std::max<double>(low, extremes->first));
    within.max = static_cast<float>(std::min<double>(high, extremes->second));
    return chooseRange(within, ActivationRange(), bits);
  }

  /// Are 8-bit codes of queries and keys fine enough for the exponent of their products?
  FailureOr<bool> fitsExponent(sd::AttentionOp op, const LayerRecipe &layer) {
    double scales[2];
    for (auto [value, scale] : llvm::zip(ValueRange{op.getQuery(), op.getKey()}, scales)) {
      FailureOr<ValueStatistics> statistics = statisticsOf(codeRoot(value), statistics_);
      if (failed(statistics))
        return failure();
      scale = chooseRange(*statistics, layer.activationRange, 8).scale;
    }
    const double factor =
        attentionExponentFactor(scales[0], scales[1], op.getScale().convertToDouble());
    if (factor < kMostExponentFactor)
      return true;
    mlir::remark::missed(op.getLoc(),
                         mlir::remark::RemarkOpts::name("attention-scale").category("quantize"))
        << ("queries and keys reach so far that a step of the product of their 8-bit codes were " +
            std::to_string(factor / 4096) +
            " powers of two of the softmax, which needs less than 1/64: they have 16 bits");
    return false;
  }

  LogicalResult collectRequests() {
    for (Operation &op : function_.getBody().front()) {
      if (isConstantExpression(&op) || keepsCode(&op))
        continue;
      bool boundary = op.hasTrait<OpTrait::IsTerminator>();
      LayerRecipe layer;
      if (!boundary) {
        layer = layerSettings(recipe_, function_, &op);
        if (auto attention = dyn_cast<sd::AttentionOp>(op);
            attention && layer.activationBits == 8) {
          FailureOr<bool> fits = fitsExponent(attention, layer);
          if (failed(fits))
            return failure();
          layer.activationBits = *fits ? 8 : 16;
        }
        settings_[&op] = layer;
      }
      if (isa<sd::Conv2dOp, sd::LinearOp>(op) && layer.storage != "auto")
        op.setAttr(kStorageRuleAttribute, StringAttr::get(op.getContext(), layer.storage));
      if (isa<sd::Conv2dOp>(op) && layer.winogradMinSqnr > 0)
        op.setAttr(kMinSqnrAttribute,
                   Builder(op.getContext()).getF64FloatAttr(layer.winogradMinSqnr));
      for (Value operand : op.getOperands()) {
        if (!isFloatTensor(operand) || isConstant(operand))
          continue;
        Request &request = requests_[codeRoot(operand)];
        if (isa<sd::TimeEmbeddingOp>(op)) {
          request.timestep = true;
          if (!isa<BlockArgument>(codeRoot(operand)))
            return op.emitOpError("reads a timestep that is computed, in real numbers; it must be "
                                  "an input of the function");
          continue;
        }
        if (std::optional<double> epsilon = normEpsilon(&op);
            epsilon && operand == op.getOperand(0))
          request.leastScale = std::max(request.leastScale, leastNormScale(*epsilon));
        (!boundary && layer.activationBits == 8 ? request.eight : request.sixteen) = true;
        if (!boundary && layer.activationBits == 8)
          request.range = layer.activationRange;
      }
    }
    return success();
  }

  /// Timesteps in fixed point with 16 fraction bits: exact for a float of 256 or more, and up to
  /// 32,767.
  Type timestepType() {
    constexpr int kFractionBits = 16;
    MLIRContext *context = function_.getContext();
    return quant::UniformQuantizedType::get(
        quant::QuantizationFlags::Signed, IntegerType::get(context, 32), Float32Type::get(context),
        std::ldexp(1.0, -kFractionBits), 0, INT32_MIN, INT32_MAX);
  }

  bool isConstant(Value value) {
    Operation *op = value.getDefiningOp();
    return op && isConstantExpression(op);
  }

  FailureOr<Type> elementType(Value value, int bits, const ActivationRange &estimator,
                              float leastScale) {
    FailureOr<ValueStatistics> statistics = statisticsOf(value, statistics_);
    if (failed(statistics))
      return failure();
    CodeRange range = chooseRange(*statistics, estimator, bits);
    if (drifting_.contains(value)) {
      FailureOr<CodeRange> narrower = inBucket(value, range, bits);
      if (failed(narrower))
        return failure();
      range = *narrower;
    }
    if (range.scale < leastScale) {
      mlir::remark::missed(value.getLoc(),
                           mlir::remark::RemarkOpts::name("norm-scale").category("quantize"))
          << ("values are small beside the epsilon of the norm that reads them: their " +
              std::to_string(bits) + "-bit codes are " + std::to_string(leastScale / range.scale) +
              " times coarser than they could be");
      range.scale = leastScale; // the zero point still covers the range
    }
    return elementType(range, bits);
  }

  Type elementType(CodeRange range, int bits) {
    MLIRContext *context = function_.getContext();
    int64_t limit = int64_t(1) << (bits - 1);
    return quant::UniformQuantizedType::get(
        quant::QuantizationFlags::Signed, IntegerType::get(context, bits),
        Float32Type::get(context), range.scale, range.zeroPoint, -limit, limit - 1);
  }

  /// A constant that an operation reads as an activation: 16-bit codes of its own range.
  FailureOr<Value> codedConstant(Value constant) {
    FailureOr<Tensor> value =
        evaluateConstant(constant, sd::resources(function_.getContext()).evaluation);
    if (failed(value))
      return failure();
    ValueStatistics range;
    for (float x : value->values<float>()) {
      if (!std::isfinite(x))
        return emitError(constant.getLoc(), "constant '")
               << sd::valueName(constant) << "' has elements that are not finite";
      range.min = std::min(range.min, x);
      range.max = std::max(range.max, x);
    }
    OpBuilder builder(constant.getContext());
    builder.setInsertionPointAfterValue(constant);
    auto op = sd::QuantizeOp::create(
        builder, sd::renamedLoc(constant.getLoc(), ".codes"),
        withElement(constant.getType(), elementType(chooseRange(range, ActivationRange(), 16), 16)),
        constant);
    created_.insert(op);
    return op.getResult();
  }

  Type elementType(ActivationCode code, float leastScale) {
    return elementType({std::max<double>(code.scale, leastScale), code.zeroPoint}, code.bits);
  }

  /// True if the value's code is decided already. With 16 bits it may have another one for the
  /// layers that ask for 8.
  FailureOr<bool> imposeCodes(Value value, const Request &request, Codes &codes) {
    FailureOr<std::optional<ActivationCode>> primary = imposedCode(value);
    if (failed(primary))
      return failure();
    if (!*primary)
      return false;
    codes.primary = elementType(**primary, request.leastScale);
    if ((*primary)->bits == 8) {
      codes.narrow = codes.primary;
      return true;
    }
    FailureOr<std::optional<ActivationCode>> narrow = imposedCode(value, kNarrowSuffix);
    if (failed(narrow))
      return failure();
    if (*narrow && (*narrow)->bits == 8)
      codes.narrow = elementType(**narrow, request.leastScale);
    return true;
  }

  LogicalResult chooseCodes() {
    for (auto &[value, request] : requests_) {
      Codes &codes = codes_[value];
      if (request.timestep) {
        if (request.eight || request.sixteen)
          return emitError(value.getLoc(), "value '")
                 << sd::valueName(value) << "' is read as a timestep and as an activation too";
        codes.primary = timestepType();
        continue;
      }
      FailureOr<bool> imposed = imposeCodes(value, request, codes);
      if (failed(imposed))
        return failure();
      if (*imposed)
        continue;
      if (request.eight) {
        FailureOr<Type> narrow = elementType(value, 8, request.range, request.leastScale);
        if (failed(narrow))
          return failure();
        codes.narrow = *narrow;
      }
      if (!request.sixteen) {
        codes.primary = codes.narrow;
        continue;
      }
      FailureOr<Type> wide = elementType(value, 16, ActivationRange(), request.leastScale);
      if (failed(wide))
        return failure();
      codes.primary = *wide;
    }
    return success();
  }

  static Type withElement(Type type, Type element) {
    return RankedTensorType::get(cast<RankedTensorType>(type).getShape(), element);
  }

  void quantizeArguments() {
    OpBuilder builder(function_.getBody());
    for (BlockArgument argument : function_.getArguments()) {
      auto codes = codes_.find(argument);
      if (codes == codes_.end())
        continue;
      Location loc = sd::makeValueLoc(builder.getContext(), sd::valueName(argument), {});
      auto op = sd::QuantizeOp::create(
          builder, loc, withElement(argument.getType(), codes->second.primary), argument);
      created_.insert(op);
      argument.replaceAllUsesExcept(op.getResult(), op);
      codes_[op.getResult()] = codes_[argument];
    }
  }

  /// The operand in the code that a layer asking for `bits` reads.
  Value coded(Value operand, int bits, Operation *user) {
    Codes codes = codes_.lookup(codeRoot(operand));
    if (bits == 16 || codes.primary == codes.narrow || !codes.narrow)
      return operand;
    Value &narrow = narrowed_[operand];
    if (!narrow) {
      OpBuilder builder(user);
      auto op = sd::RequantizeOp::create(builder, sd::renamedLoc(nameLoc(operand), kNarrowSuffix),
                                         withElement(operand.getType(), codes.narrow), operand);
      created_.insert(op);
      codes_[op.getResult()] = {codes.narrow, codes.narrow};
      narrow = op.getResult();
    }
    return narrow;
  }

  Location nameLoc(Value value) {
    return sd::makeValueLoc(value.getContext(), sd::valueName(value), {});
  }

  LogicalResult quantizeOperation(Operation *op) {
    if (auto add = dyn_cast<sd::AddOp>(op))
      for (OpOperand &operand : add->getOpOperands())
        if (isConstant(operand.get())) {
          FailureOr<Value> codes = codedConstant(operand.get());
          if (failed(codes))
            return failure();
          operand.set(*codes);
        }
    if (!keepsCode(op)) {
      LayerRecipe layer = settings_.lookup(op);
      FailureOr<LayerInput> input = layerInput(op, layer);
      if (failed(input))
        return failure();
      for (OpOperand &operand : op->getOpOperands())
        if (codes_.count(codeRoot(operand.get())))
          operand.set(coded(operand.get(), layer.activationBits, op));
      const bool terms = layer.weightBits == 16 && isa<sd::Conv2dOp, sd::LinearOp>(op) &&
                         !hasImposedScales(op->getOperand(1));
      if (failed(terms ? addTerms(op, layer) : quantizeWeights(op, layer, *input)))
        return failure();
      remark(op, layer);
    }
    for (Value result : op->getResults()) {
      if (!isFloatTensor(result)) // or has its codes
        continue;
      auto codes = codes_.find(codeRoot(result));
      if (keepsCode(op))
        result.setType(
            withElement(result.getType(),
                        cast<RankedTensorType>(op->getOperand(0).getType()).getElementType()));
      else if (codes != codes_.end())
        result.setType(withElement(result.getType(), codes->second.primary));
    }
    return success();
  }

  /// What is known of the channels that a layer reads; null what is not needed.
  struct LayerInput {
    Value means, importance;
  };

  FailureOr<LayerInput> layerInput(Operation *op, const LayerRecipe &layer) {
    FailureOr<Value> means = inputMeans(op, layer), importance = Value();
    if (isa<sd::Conv2dOp, sd::LinearOp>(op) && layer.hasPalettes() &&
        !op->hasAttr(kRoundedAttribute) && !hasImposedScales(op->getOperand(1)))
      importance = importanceOf(op, layer);
    if (failed(means) || failed(importance))
      return failure();
    return LayerInput{*means, *importance};
  }

  /// The mean of each input channel of a layer that is to be corrected, else null.
  FailureOr<Value> inputMeans(Operation *op, const LayerRecipe &layer) {
    if (!layer.biasCorrection || !isa<sd::Conv2dOp, sd::LinearOp>(op) ||
        op->hasAttr(kRoundedAttribute) || isConstant(op->getOperand(0)))
      return Value();
    Value input = op->getOperand(0);
    Value &means = means_[input];
    if (means)
      return means;
    FailureOr<std::vector<float>> values = channelMeans(op, statistics_);
    if (failed(values))
      return failure();
    OpBuilder builder(function_.getBody());
    FailureOr<Value> stored = storedVector(builder, sd::valueName(input) + ".mean", *values);
    if (succeeded(stored)) {
      created_.insert(stored->getDefiningOp());
      means = *stored;
    }
    return stored;
  }

  /// Settings of weights as numbers.
  static std::pair<int64_t, int64_t> weightSettings(const LayerRecipe &layer) {
    int64_t key = layer.weightBits;
    const int size = layer.hasPalettes() ? layer.paletteOutputs : layer.groupSize;
    key = key * 65536 + (layer.weightBits < 8 ? size : 0);
    for (bool flag : {layer.hasPalettes(), layer.weightBits < 8 && !layer.weightSymmetric,
                      layer.weightBits < 8 && layer.sharedTaps, layer.oneScale,
                      layer.weightRange == RangeEstimator::MSE})
      key = key * 2 + flag;
    return {key, std::bit_cast<int64_t>(layer.hasPalettes() ? layer.codedBits : 0.0)};
  }

  /// Codes and scales of a float weight along dimension 0, with a correction if there are means.
  sd::QuantizeWeightOp codesOf(Value weight, const LayerRecipe &layer, Value means = {}) {
    sd::QuantizeWeightOp &op = weights_[{{weight, means}, weightSettings(layer)}];
    if (op)
      return op;
    OpBuilder builder(weight.getContext());
    builder.setInsertionPointAfterValue(weight);
    auto type = cast<RankedTensorType>(weight.getType());
    auto i8 = builder.getI8Type();
    Type perChannel = RankedTensorType::get({type.getDimSize(0)}, builder.getF32Type());
    bool narrow = layer.weightBits < 8, zeros = narrow && !layer.weightSymmetric;
    int64_t size = narrow ? layer.groupSize : 0;
    bool shared = narrow && layer.sharedTaps;
    Type groups = RankedTensorType::get(groupShape(type.getShape(), layer), i8);
    op = sd::QuantizeWeightOp::create(
        builder, sd::renamedLoc(weight.getLoc(), ".codes"), type.clone(i8), perChannel,
        size > 0 || zeros ? groups : Type(), zeros ? groups : Type(), means ? perChannel : Type(),
        weight, means, /*axis=*/0, layer.weightBits, static_cast<sd::Range>(layer.weightRange),
        size, /*symmetric=*/!zeros, shared, layer.oneScale);
    created_.insert(op);
    return op;
  }

  /// What a matrix layer needs of its weights; null what there is not.
  struct LayerCodes {
    Value codes, scales, groupScales = {}, zeroPoints = {}, palettes = {}, correction = {};
  };

  /// Imposed codes, or none.
  FailureOr<std::optional<WeightCodes>> imposedCodes(Value weights, Value means = {}) {
    auto [entry, added] = imposedWeights_.try_emplace({weights, means});
    if (added) {
      FailureOr<std::optional<WeightCodes>> imposed = imposedWeights(weights, means);
      if (failed(imposed))
        return failure();
      if (*imposed)
        for (Value value : {(*imposed)->codes, (*imposed)->scales, (*imposed)->correction})
          if (value)
            created_.insert(value.getDefiningOp());
      entry->second = *imposed;
    }
    return entry->second;
  }

  /// Indices, scales and palettes of a float weight, with a correction if there are means.
  sd::ShareWeightOp sharedCodes(Value weight, Value importance, const LayerRecipe &layer,
                                Value means) {
    sd::ShareWeightOp &op = shared_[{{{weight, means}, importance}, weightSettings(layer)}];
    if (op)
      return op;
    OpBuilder builder(weight.getContext());
    builder.setInsertionPointAfterValue(weight);
    auto type = cast<RankedTensorType>(weight.getType());
    const WeightForm form = formOf(layer);
    Type i8 = builder.getI8Type();
    Type perChannel = RankedTensorType::get({type.getDimSize(0)}, builder.getF32Type());
    Type palettes =
        RankedTensorType::get({form.palettes(type.getDimSize(0)), form.paletteEntries()}, i8);
    op = sd::ShareWeightOp::create(
        builder, sd::renamedLoc(weight.getLoc(), ".shared"), type.clone(i8), perChannel, palettes,
        means ? perChannel : Type(), weight, importance, means, layer.weightBits,
        layer.paletteOutputs, isPruned(weight), layer.oneScale, llvm::APFloat(layer.codedBits));
    created_.insert(op);
    return op;
  }

  /// What each input channel of a layer weighs; null if that is not known.
  FailureOr<Value> importanceOf(Operation *op, const LayerRecipe &layer) {
    Value &importance = importance_[layer.biasCorrection][op->getOperand(0)];
    if (importance)
      return importance;
    FailureOr<std::string> key = storedImportance(op, layer.biasCorrection, statistics_);
    if (failed(key) || key->empty())
      return failed(key) ? FailureOr<Value>() : Value();
    OpBuilder builder(function_.getBody());
    FailureOr<Value> stored = weightOf(builder, function_.getLoc(), *key);
    if (succeeded(stored)) {
      created_.insert(stored->getDefiningOp());
      importance = *stored;
    }
    return stored;
  }

  /// Those that sdopt-round chose, those of imposed scales, or those of sd.share_weight or
  /// sd.quantize_weight. Imposed ones have 8 bits, whatever the layer's settings say.
  FailureOr<LayerCodes> layerCodes(Operation *op, Value weights, LayerRecipe &layer,
                                   const LayerInput &input) {
    if (hasImposedScales(weights))
      layer.weightBits = 8;
    auto rounded = op->getAttrOfType<DictionaryAttr>(kRoundedAttribute);
    if (!rounded && layer.hasPalettes()) {
      sd::ShareWeightOp codes = sharedCodes(weights, input.importance, layer, input.means);
      return LayerCodes{codes.getCodes(), codes.getScales(),   Value(),
                        Value(),          codes.getPalettes(), codes.getCorrection()};
    }
    if (!rounded) {
      FailureOr<std::optional<WeightCodes>> imposed = imposedCodes(weights, input.means);
      if (failed(imposed))
        return failure();
      if (*imposed)
        return LayerCodes{.codes = (*imposed)->codes,
                          .scales = (*imposed)->scales,
                          .correction = (*imposed)->correction};
      sd::QuantizeWeightOp codes = codesOf(weights, layer, input.means);
      return LayerCodes{codes.getCodes(),      codes.getScales(), codes.getGroupScales(),
                        codes.getZeroPoints(), Value(),           codes.getCorrection()};
    }
    LayerCodes codes;
    OpBuilder builder(op);
    for (auto [what, value] : {std::pair(kCodes, &codes.codes),
                               {kScales, &codes.scales},
                               {kGroupScales, &codes.groupScales},
                               {kZeroPoints, &codes.zeroPoints},
                               {kPalettes, &codes.palettes},
                               {kCorrection, &codes.correction}}) {
      auto key = rounded.getAs<StringAttr>(what);
      if (!key)
        continue;
      FailureOr<Value> stored =
          weightOf(builder, sd::renamedLoc(weights.getLoc(), std::string(".") + what), key.str());
      if (failed(stored))
        return failure();
      created_.insert(stored->getDefiningOp());
      *value = *stored;
    }
    if (codes.codes)
      markCodes(codes.codes, weights);
    if (!codes.codes || !codes.scales ||
        codes.codes.getType() != withElement(weights.getType(), builder.getI8Type()))
      return op->emitOpError() << "has codes in '" << kRoundedAttribute
                               << "' that are not those of its weights; run sdopt-round again";
    return codes;
  }

  /// The int8 weights that a matrix layer reads.
  Value decoded(Operation *reader, const LayerCodes &codes, const LayerRecipe &layer) {
    if (layer.weightBits == 8)
      return codes.codes;
    Value &value = decoded_[codes.codes];
    if (!value) {
      const WeightForm form = formOf(layer);
      OpBuilder builder(reader);
      if (Operation *source = codes.codes.getDefiningOp(); !isa<sd::WeightOp>(source))
        builder.setInsertionPointAfter(source);
      auto op = sd::DecodeWeightOp::create(
          builder, sd::renamedLoc(codes.codes.getLoc(), ".decoded"), codes.codes.getType(),
          codes.codes, codes.groupScales, codes.zeroPoints, codes.palettes, /*axis=*/1, form.bits,
          form.groupSize, form.sharedTaps, form.paletteOutputs);
      created_.insert(op);
      value = op.getResult();
    }
    return value;
  }

  LogicalResult quantizeWeights(Operation *op, const LayerRecipe &layer, const LayerInput &input) {
    auto matrix = [&](auto layerOp) -> LogicalResult {
      LayerRecipe form = layer;
      FailureOr<LayerCodes> codes = layerCodes(op, layerOp.getWeights(), form, input);
      if (failed(codes))
        return failure();
      layerOp.getWeightsMutable().assign(decoded(op, *codes, form));
      layerOp.getWeightScalesMutable().assign(codes->scales);
      if (codes->correction)
        layerOp.getBiasMutable().assign(correctedBias(op, layerOp.getBias(), codes->correction));
      return success();
    };
    if (auto conv = dyn_cast<sd::Conv2dOp>(op))
      return matrix(conv);
    if (auto linear = dyn_cast<sd::LinearOp>(op))
      return matrix(linear);
    if (auto embedding = dyn_cast<sd::EmbeddingOp>(op)) {
      LayerRecipe rows = layer; // gathered as they are, a row at a time
      rows.weightBits = 8;
      rows.oneScale = false;
      auto table = [&](Value weights) -> FailureOr<WeightCodes> {
        FailureOr<std::optional<WeightCodes>> imposed = imposedCodes(weights);
        if (failed(imposed) || *imposed)
          return failed(imposed) ? FailureOr<WeightCodes>() : **imposed;
        sd::QuantizeWeightOp codes = codesOf(weights, rows);
        return WeightCodes{codes.getCodes(), codes.getScales(), Value()};
      };
      FailureOr<WeightCodes> tokens = table(embedding.getTokens());
      FailureOr<WeightCodes> positions = table(embedding.getPositions());
      if (failed(tokens) || failed(positions))
        return failure();
      embedding.getTokensMutable().assign(tokens->codes);
      embedding.getPositionsMutable().assign(positions->codes);
      embedding.getTokenScalesMutable().assign(tokens->scales);
      embedding.getPositionScalesMutable().assign(positions->scales);
    }
    return success();
  }

  /// What int8 codes leave of float weights.
  Value remainder(Operation *op, Value weights, sd::QuantizeWeightOp codes) {
    OpBuilder builder(op);
    auto type = cast<RankedTensorType>(weights.getType());
    SmallVector<int64_t> column(type.getRank(), 1);
    column[0] = type.getDimSize(0);
    auto named = [&](StringRef suffix) { return sd::renamedLoc(weights.getLoc(), suffix); };
    Value whole = sd::CastOp::create(builder, named(".coarse"), type, codes.getCodes());
    Value scales = sd::ReshapeOp::create(builder, named(".coarse.scales"),
                                         RankedTensorType::get(column, builder.getF32Type()),
                                         codes.getScales());
    Value coarse = sd::BinaryOp::create(builder, named(".coarse.values"), type, sd::BinaryKind::mul,
                                        whole, scales);
    Value rest = sd::BinaryOp::create(builder, named(kFineSuffix), type, sd::BinaryKind::sub,
                                      weights, coarse);
    for (Value value : {whole, scales, coarse, rest})
      created_.insert(value.getDefiningOp());
    return rest;
  }

  /// Weights of 16 bits are the sum of two int8 terms, each with its scales: the layer keeps the
  /// coarse one, a second layer has the other, and their 16-bit results are added.
  LogicalResult addTerms(Operation *op, LayerRecipe layer) {
    Value result = op->getResult(0);
    auto codes = codes_.find(codeRoot(result));
    if (codes == codes_.end())
      return success(); // nothing reads it
    const Codes own = codes->second;
    Type wide = own.primary;
    if (cast<quant::QuantizedType>(wide).getStorageTypeIntegralWidth() != 16) {
      FailureOr<Type> type = elementType(result, 16, ActivationRange(), 0);
      if (failed(type))
        return failure();
      wide = *type;
    }
    layer.weightBits = 8;
    layer.weightRange = RangeEstimator::MinMax;
    OpBuilder builder(op);
    builder.setInsertionPointAfter(op);
    Operation *fine = builder.clone(*op);
    fine->setLoc(sd::renamedLoc(op->getLoc(), kFineSuffix));
    Value weights = op->getOperand(1);
    if (failed(quantizeWeights(op, layer, {})))
      return failure();
    fine->setOperand(1, remainder(op, weights, codesOf(weights, layer)));
    if (auto conv = dyn_cast<sd::Conv2dOp>(fine))
      conv.getBiasMutable().clear();
    else
      cast<sd::LinearOp>(fine).getBiasMutable().clear();
    if (failed(quantizeWeights(fine, layer, {})))
      return failure();
    Type type = withElement(result.getType(), wide);
    auto sum = sd::AddOp::create(builder, op->getLoc(), withElement(result.getType(), own.primary),
                                 result, fine->getResult(0));
    result.replaceAllUsesExcept(sum.getResult(), sum);
    op->setLoc(sd::renamedLoc(op->getLoc(), kCoarseSuffix));
    result.setType(type);
    fine->getResult(0).setType(type);
    created_.insert(fine);
    created_.insert(sum);
    codes_[sum.getResult()] = own;
    return success();
  }

  Value correctedBias(Operation *op, Value bias, Value correction) {
    if (!bias)
      return correction;
    OpBuilder builder(op);
    Value sum = sd::BinaryOp::create(builder, sd::renamedLoc(bias.getLoc(), ".corrected"),
                                     bias.getType(), sd::BinaryKind::add, bias, correction);
    created_.insert(sum.getDefiningOp());
    return sum;
  }

  void remark(Operation *op, const LayerRecipe &layer) {
    if (isa<sd::Conv2dOp, sd::LinearOp>(op) && !sd::isLaterBucket(function_))
      mlir::remark::passed(op->getLoc(),
                           mlir::remark::RemarkOpts::name("quantize").category("quantize"))
          << (std::string("weights ") + std::to_string(layer.weightBits) + " bit " +
              (layer.hasPalettes() ? "palette" : name(layer.weightRange)) + ", input " +
              std::to_string(layer.activationBits) + " bit" +
              (layer.biasCorrection ? ", bias corrected" : ""));
  }

  void dequantizeResults() {
    Operation *terminator = function_.getBody().front().getTerminator();
    OpBuilder builder(terminator);
    for (auto [index, operand] : llvm::enumerate(terminator->getOpOperands())) {
      if (!isQuantized(operand.get().getType()))
        continue;
      Type result = function_.getFunctionType().getResult(index);
      auto name = function_.getResultAttrOfType<StringAttr>(index, sd::SdDialect::kNameAttr);
      Location loc = sd::makeValueLoc(
          builder.getContext(), (name ? name.str() : sd::valueName(operand.get())) + ".real", {});
      operand.set(sd::DequantizeOp::create(builder, loc, result, operand.get()));
    }
  }

  func::FuncOp function_;
  Recipe &recipe_;
  const Statistics &statistics_;
  llvm::DenseSet<Value> drifting_; ///< whose codes are those of bucket_
  size_t bucket_ = 0;
  llvm::DenseMap<Operation *, LayerRecipe> settings_;
  llvm::MapVector<Value, Request> requests_;
  llvm::DenseMap<Value, Codes> codes_;
  llvm::DenseMap<Value, Value> narrowed_;
  using WeightSettings = std::pair<int64_t, int64_t>;
  llvm::DenseMap<std::pair<std::pair<Value, Value>, WeightSettings>, sd::QuantizeWeightOp> weights_;
  llvm::DenseMap<std::pair<std::pair<std::pair<Value, Value>, Value>, WeightSettings>,
                 sd::ShareWeightOp>
      shared_;
  std::array<llvm::DenseMap<Value, Value>, 2> importance_; ///< of corrected layers: the second
  llvm::DenseMap<Value, Value> decoded_;
  llvm::DenseMap<Value, Value> means_;
  llvm::DenseMap<std::pair<Value, Value>, std::optional<WeightCodes>> imposedWeights_;
  llvm::DenseSet<Operation *> created_;
};

struct QuantizePass : impl::QuantizeBase<QuantizePass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (failed(checkStatistics(function)))
      return signalPassFailure();
    const Resources &resources = sd::resources(&getContext());
    if (failed(Quantizer(function, *resources.recipe, *resources.statistics).run()))
      signalPassFailure();
  }
};

} // namespace
} // namespace sdopt
