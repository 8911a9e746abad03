//===- LowerToNpu.cpp - one npu operation per engine operation ---------------===//

#include "compiler/quantization/QuantizedParameters.h"
#include "compiler/quantization/TapConvolution.h"
#include "compiler/reference/Evaluator.h"
#include "passes/lower/Passes.h"
#include "passes/quantize/LayerSettings.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace sdopt {

#define GEN_PASS_DEF_LOWERTONPU
#include "passes/lower/Passes.h.inc"

namespace {

constexpr int64_t kRank = 4; // of every value of the NPU

/// Positions of a value's dimensions in [batch, height, width, channels].
SmallVector<int64_t> positions(int64_t rank) {
  switch (rank) {
  case 1:
    return {3};
  case 2:
    return {0, 3};
  case 3:
    return {0, 2, 3};
  default:
    return {0, 1, 2, 3};
  }
}

/// The 4-D form of a value: dense, channel innermost. Integer inputs [batch] and [batch, tokens]
/// have one channel. Of more dimensions only the bytes count: they are inputs, outputs and steps
/// between reshapes.
RankedTensorType type4d(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  SmallVector<int64_t> shape(4, 1);
  if (tensor.getRank() > kRank) {
    shape.back() = tensor.getNumElements();
    return RankedTensorType::get(shape, tensor.getElementType());
  }
  SmallVector<int64_t> where = positions(tensor.getRank());
  if (isa<IntegerType>(tensor.getElementType()) && tensor.getRank() <= 2)
    where = {0, 2};
  for (auto [position, dim] : llvm::zip(where, tensor.getShape()))
    shape[position] = dim;
  return RankedTensorType::get(shape, tensor.getElementType());
}

class Lowering {
public:
  explicit Lowering(func::FuncOp function)
      : function_(function), builder_(function.getContext()),
        context_(sd::resources(function.getContext()).evaluation) {}

  LogicalResult run() {
    SmallVector<Operation *> old;
    for (Operation &op : function_.getBody().front())
      if (!isConstantExpression(&op) && !isa<sd::QuantizeOp>(op))
        old.push_back(&op);
    viewInputs();
    for (Operation *op : old)
      if (failed(lower(op)))
        return failure();
    for (Operation *op : llvm::reverse(old))
      if (op->use_empty() && !op->hasTrait<OpTrait::IsTerminator>() && !isa<sd::DequantizeOp>(op))
        op->erase();
    return success();
  }

private:
  static Location derivedLoc(Value value, llvm::StringRef suffix) {
    return sd::makeValueLoc(value.getContext(), sd::valueName(value) + suffix.str(), {});
  }

  Value view(Value value, RankedTensorType type, Location loc) {
    return value.getType() == type ? value
                                   : npu::ViewOp::create(builder_, loc, type, value).getResult();
  }

  /// Quantized inputs and integer inputs in their 4-D form.
  void viewInputs() {
    Block &block = function_.getBody().front();
    for (BlockArgument argument : function_.getArguments()) {
      builder_.setInsertionPointToStart(&block);
      Location loc = sd::makeValueLoc(builder_.getContext(), sd::valueName(argument), {});
      auto type = cast<RankedTensorType>(argument.getType());
      if (isa<IntegerType>(type.getElementType())) {
        auto cast = sd::CastOp::create(builder_, loc, type.clone(builder_.getI32Type()), argument);
        map_[argument] = view(cast, type4d(cast.getType()), loc);
        continue;
      }
      for (Operation *user : argument.getUsers())
        if (auto quantize = dyn_cast<sd::QuantizeOp>(user)) {
          builder_.setInsertionPointAfter(quantize);
          map_[quantize] = view(quantize, type4d(quantize.getType()), quantize.getLoc());
        }
    }
  }

  /// The lowered form of a value; codes of the package are brought to the arena first.
  Value at(Value value) {
    Value &lowered = map_[value];
    if (!lowered && isConstantExpression(value.getDefiningOp())) {
      RankedTensorType type = type4d(value.getType());
      Location loc = value.getLoc();
      Value codes = value;
      if (codes.getType() != type)
        codes = sd::ReshapeOp::create(builder_, sd::renamedLoc(loc, ".codes"), type, value);
      lowered = npu::ConstantOp::create(builder_, loc, type, codes);
    }
    return lowered;
  }

  static double scaleOf(Value value) { return codeScale(value.getType()); }

  LogicalResult lower(Operation *op) {
    builder_.setInsertionPoint(op);
    if (failed(checkRanks(op)))
      return failure();
    return TypeSwitch<Operation *, LogicalResult>(op)
        .Case<sd::Conv2dOp, sd::LinearOp, sd::GroupNormOp, sd::LayerNormOp, sd::AttentionOp,
              sd::SiluOp, sd::GeluOp, sd::QuickGeluOp, sd::SigmoidOp, sd::GegluOp, sd::AddOp,
              sd::ConcatOp, sd::UpsampleOp, sd::TimeEmbeddingOp, sd::EmbeddingOp, sd::PoolTokenOp,
              sd::TransposeOp, sd::ReshapeOp, sd::SliceOp, sd::ModulateOp, sd::RmsNormOp,
              sd::GeluTanhOp, sd::RequantizeOp, sd::DequantizeOp>(
            [&](auto typed) { return lowerOp(typed); })
        .Case<func::ReturnOp>([](auto) { return success(); })
        .Default(
            [](Operation *other) { return other->emitOpError("has no npu form; quantize first"); });
  }

  static LogicalResult checkRanks(Operation *op) {
    if (isa<sd::ReshapeOp, sd::DequantizeOp, func::ReturnOp>(op))
      return success();
    for (TypeRange types : {TypeRange(op->getOperandTypes()), TypeRange(op->getResultTypes())})
      for (Type type : types)
        if (int64_t rank = cast<RankedTensorType>(type).getRank(); rank > kRank)
          return op->emitOpError("has a value of ")
                 << rank << " dimensions but the NPU takes at most " << kRank;
    return success();
  }

  LogicalResult done(Operation *op, Value result) {
    map_[op->getResult(0)] = result;
    return success();
  }

  RankedTensorType resultType(Operation *op) { return type4d(op->getResult(0).getType()); }

  /// Codes [co, ci, kh, kw] or [n, k] as [co, kh, kw, ci].
  Value packedCodes(Value codes) {
    // The emitter reads the narrow codes, so that decoding them comes last.
    if (auto decode = codes.getDefiningOp<sd::DecodeWeightOp>()) {
      Value packed = packedCodes(decode.getCodes());
      return sd::DecodeWeightOp::create(builder_, sd::renamedLoc(codes.getLoc(), ".packed"),
                                        packed.getType(), packed, decode.getGroupScales(),
                                        decode.getZeroPoints(), decode.getPalettes(),
                                        /*axis=*/kRank - 1, decode.getBits(), decode.getGroupSize(),
                                        decode.getSharedTaps(), decode.getPaletteOutputs());
    }
    auto type = cast<RankedTensorType>(codes.getType());
    Location loc = sd::renamedLoc(codes.getLoc(), ".packed");
    if (type.getRank() == 2)
      return sd::ReshapeOp::create(
          builder_, loc,
          type.clone({type.getDimSize(0), 1, 1, type.getDimSize(1)}, type.getElementType()), codes);
    SmallVector<int64_t> order = {0, 2, 3, 1};
    return sd::TransposeOp::create(builder_, loc, codes, builder_.getDenseI64ArrayAttr(order));
  }

  /// One matrix layer; checks the accumulator's width first.
  FailureOr<Value> matrix(Operation *op, Value input, Value codes, Value scales, Value bias,
                          ArrayRef<int64_t> strides, ArrayRef<int64_t> dilations,
                          ArrayRef<int64_t> padding, sd::TapShiftsAttr shifts = {}) {
    if (!scales)
      return op->emitOpError("weights have no codes; quantize first");
    Value output = op->getResult(0);
    int64_t channels = cast<RankedTensorType>(scales.getType()).getDimSize(0);
    Location loc = sd::renamedLoc(codes.getLoc(), ".params");
    Value params = npu::ChannelParamsOp::create(
        builder_, loc, RankedTensorType::get({channels, 2}, builder_.getI64Type()), scales, bias,
        builder_.getF64FloatAttr(shifts ? scaleOf(input) / kTapScale : scaleOf(input)),
        builder_.getF64FloatAttr(scaleOf(output)));
    Value packed = packedCodes(codes);
    if (failed(checkAccumulator(op, codeFormat(input.getType()), packed, params, shifts)))
      return failure();
    auto conv = npu::Conv2dOp::create(builder_, op->getLoc(), resultType(op), at(input), packed,
                                      params, strides, dilations, padding, shifts);
    if (Attribute rule = op->getAttr(npu::NpuDialect::kStorageRuleAttr))
      conv->setAttr(npu::NpuDialect::kStorageRuleAttr, rule);
    return conv.getResult();
  }

  /// Large weights are checked when they are emitted: they should be quantized once.
  LogicalResult checkAccumulator(Operation *op, CodeFormat format, Value packed, Value params,
                                 sd::TapShiftsAttr shifts) {
    constexpr int64_t kLarge = 1 << 20;
    if (cast<RankedTensorType>(packed.getType()).getNumElements() >= kLarge)
      return success();
    FailureOr<Tensor> codes = evaluateConstant(packed, context_);
    FailureOr<Tensor> channels = evaluateConstant(params, context_);
    if (failed(codes) || failed(channels))
      return failure();
    std::span<const ChannelParams> span(reinterpret_cast<const ChannelParams *>(channels->bytes()),
                                        channels->dim(0));
    const std::span<const int8_t> weights = codes->values<int8_t>();
    if (shifts) {
      if (auto channel = firstOverflowingTapChannel(
              tapAccumulatorBound(weights, codes->dim(0), format, shifts.getValue()), span))
        return op->emitOpError("accumulator of output channel ")
               << *channel << " can leave " << kTapAccumulatorBits << " bits; leave out tap shifts";
      return success();
    }
    if (auto channel = firstOverflowingChannel(weights, span, format))
      return op->emitOpError("accumulator of output channel ")
             << *channel << " can leave " << accumulatorBits(format) << " bits"
             << (format.type == ElementType::I8 ? "; keep this layer's input at 16 bits" : "");
    return success();
  }

  LogicalResult lowerOp(sd::Conv2dOp op) {
    if (op->hasAttr(kMinSqnrAttribute))
      return op.emitOpError("has '")
             << kMinSqnrAttribute << "', of which nothing was made; run sdopt-quantize-winograd";
    FailureOr<Value> result =
        matrix(op, op.getInput(), op.getWeights(), op.getWeightScales(), op.getBias(),
               op.getStrides(), op.getDilations(), op.getPadding(), op.getTapShiftsAttr());
    return failed(result) ? failure() : done(op, *result);
  }

  LogicalResult lowerOp(sd::LinearOp op) {
    FailureOr<Value> result = matrix(op, op.getInput(), op.getWeights(), op.getWeightScales(),
                                     op.getBias(), {1, 1}, {1, 1}, {0, 0, 0, 0});
    return failed(result) ? failure() : done(op, *result);
  }

  LogicalResult norm(Operation *op, Value input, Value gamma, Value beta, int64_t groups,
                     bool perRow, double epsilon, bool centered = true) {
    Value output = op->getResult(0);
    if (scaleOf(input) < leastNormScale(epsilon))
      return op->emitOpError("reads codes of scale ")
             << scaleOf(input) << " but its epsilon of " << epsilon << " needs at least "
             << static_cast<double>(leastNormScale(epsilon));
    RankedTensorType type = type4d(input.getType());
    int64_t channels = type.getDimSize(3);
    int64_t count =
        perRow ? channels : type.getDimSize(1) * type.getDimSize(2) * (channels / groups);
    FailureOr<Tensor> gammaValue = evaluateConstant(gamma, context_);
    FailureOr<Tensor> betaValue =
        beta ? evaluateConstant(beta, context_) : FailureOr<Tensor>(Tensor());
    if (failed(gammaValue) || failed(betaValue))
      return failure();
    NormParameters parameters = normParameters(
        gammaValue->values<float>(), beta ? betaValue->values<float>() : std::span<const float>(),
        count, epsilon, scaleOf(input), scaleOf(output));
    Value packed = npu::NormChannelsOp::create(
        builder_, sd::renamedLoc(gamma.getLoc(), ".norm"),
        RankedTensorType::get({channels, 2}, builder_.getI64Type()), gamma, beta,
        builder_.getI64IntegerAttr(count), builder_.getF64FloatAttr(epsilon),
        builder_.getF64FloatAttr(scaleOf(input)), builder_.getF64FloatAttr(scaleOf(output)));
    return done(op, npu::NormOp::create(builder_, op->getLoc(), resultType(op), at(input), packed,
                                        groups, perRow, count,
                                        static_cast<int64_t>(parameters.params.epsilon),
                                        parameters.params.shift, !centered));
  }

  LogicalResult lowerOp(sd::GroupNormOp op) {
    return norm(op, op.getInput(), op.getGamma(), op.getBeta(), op.getGroups(), false,
                op.getEpsilon().convertToDouble());
  }

  LogicalResult lowerOp(sd::LayerNormOp op) {
    return norm(op, op.getInput(), op.getGamma(), op.getBeta(), 1, true,
                op.getEpsilon().convertToDouble());
  }

  LogicalResult lowerOp(sd::RmsNormOp op) {
    return norm(op, op.getInput(), op.getGamma(), Value(), 1, true,
                op.getEpsilon().convertToDouble(), /*centered=*/false);
  }

  LogicalResult lowerOp(sd::ModulateOp op) {
    ModulateParams params = modulateParams(
        scaleOf(op.getInput()), scaleOf(op.getScale()), op.getShift() ? scaleOf(op.getShift()) : 0,
        scaleOf(op.getResult()), op.getOffset().convertToDouble());
    return done(op, npu::ModulateOp::create(
                        builder_, op.getLoc(), resultType(op), at(op.getInput()), at(op.getScale()),
                        op.getShift() ? at(op.getShift()) : Value(), params.scaleMultiplier,
                        params.unit, params.shiftMultiplier, params.shift));
  }

  LogicalResult lowerOp(sd::SliceOp op) {
    if (llvm::any_of(op.getSteps(), [](int64_t step) { return step != 1; }))
      return op.emitOpError("takes every other element but the NPU moves blocks");
    SmallVector<int64_t> where = positions(op.getStarts().size()), starts(4, 0);
    for (auto [position, start] : llvm::zip(where, op.getStarts()))
      starts[position] = start;
    return done(
        op, npu::SliceOp::create(builder_, op.getLoc(), resultType(op), at(op.getInput()), starts));
  }

  LogicalResult lowerOp(sd::AttentionOp op) {
    double factor = attentionExponentFactor(scaleOf(op.getQuery()), scaleOf(op.getKey()),
                                            op.getScale().convertToDouble());
    if (!(factor < kMostExponentFactor))
      return op.emitOpError("scores are too coarse: one code of a score is ")
             << factor
             << " / 4096 of an octave, which must be below 64 / 4096; the scales of query "
             << "and key are too large";
    AttentionParams params =
        attentionParams(scaleOf(op.getQuery()), scaleOf(op.getKey()), scaleOf(op.getValue()),
                        scaleOf(op.getResult()), op.getScale().convertToDouble(), op.getCausal());
    return done(op, npu::AttentionOp::create(builder_, op.getLoc(), resultType(op),
                                             at(op.getQuery()), at(op.getKey()), at(op.getValue()),
                                             op.getHeads(), op.getCausal(),
                                             params.exponent.multiplier, params.exponent.shift,
                                             params.output.multiplier, params.output.shift));
  }

  Value activationTable(npu::TableKind kind, Value input, double outputScale) {
    int64_t entries =
        codeFormat(input.getType()).type == ElementType::I8 ? kTableEntries8 : kTableKnots16;
    Type element = cast<RankedTensorType>(input.getType()).getElementType();
    return npu::ActivationTableOp::create(
        builder_, sd::makeValueLoc(builder_.getContext(), sd::valueName(input) + ".table", {}),
        RankedTensorType::get({entries}, builder_.getI32Type()), kind, element,
        llvm::APFloat(outputScale));
  }

  LogicalResult activation(Operation *op, Value input, npu::TableKind kind) {
    Value table = activationTable(kind, input, scaleOf(op->getResult(0)));
    return done(op, npu::TableOp::create(builder_, op->getLoc(), resultType(op), at(input), table));
  }
  LogicalResult lowerOp(sd::SiluOp op) {
    return activation(op, op.getInput(), npu::TableKind::silu);
  }
  LogicalResult lowerOp(sd::GeluOp op) {
    return activation(op, op.getInput(), npu::TableKind::gelu);
  }
  LogicalResult lowerOp(sd::GeluTanhOp op) {
    return activation(op, op.getInput(), npu::TableKind::gelu_tanh);
  }
  LogicalResult lowerOp(sd::QuickGeluOp op) {
    return activation(op, op.getInput(), npu::TableKind::quick_gelu);
  }
  LogicalResult lowerOp(sd::SigmoidOp op) {
    return activation(op, op.getInput(), npu::TableKind::sigmoid);
  }

  LogicalResult lowerOp(sd::GegluOp op) {
    double inputScale = scaleOf(op.getInput());
    GegluParams params = gegluParams(inputScale, scaleOf(op.getResult()));
    Value table = activationTable(npu::TableKind::gelu, op.getInput(), inputScale);
    return done(op, npu::GegluOp::create(builder_, op.getLoc(), resultType(op), at(op.getInput()),
                                         table, params.scaling.multiplier, params.scaling.shift));
  }

  LogicalResult combine(Operation *op, Value lhs, Value rhs) {
    Value output = op->getResult(0);
    bool broadcast = rhs && at(lhs).getType() != at(rhs).getType() &&
                     cast<RankedTensorType>(at(lhs).getType()).getShape() !=
                         cast<RankedTensorType>(at(rhs).getType()).getShape();
    PairScaling scaling =
        rhs ? addParams(scaleOf(lhs), scaleOf(rhs), scaleOf(output), broadcast).scaling
            : requantizeParams(scaleOf(lhs), scaleOf(output)).scaling;
    return done(op, npu::CombineOp::create(builder_, op->getLoc(), resultType(op), at(lhs),
                                           rhs ? at(rhs) : Value(), scaling.multiplierA,
                                           scaling.multiplierB, scaling.shift, broadcast));
  }
  LogicalResult lowerOp(sd::AddOp op) { return combine(op, op.getLhs(), op.getRhs()); }
  LogicalResult lowerOp(sd::RequantizeOp op) { return combine(op, op.getInput(), Value()); }

  LogicalResult lowerOp(sd::ConcatOp op) {
    int64_t rank = cast<RankedTensorType>(op.getType()).getRank();
    auto axis = static_cast<int64_t>(op.getAxis());
    if (axis < 0)
      axis += rank;
    // What lies inside of the joined dimension is one row of channels.
    ArrayRef<int64_t> shape = cast<RankedTensorType>(op.getType()).getShape();
    int64_t outer = 1, inner = 1;
    for (int64_t i = 0; i < axis; ++i)
      outer *= shape[i];
    for (int64_t i = axis + 1; i < rank; ++i)
      inner *= shape[i];
    auto flat = [&](Value value) {
      auto type = cast<RankedTensorType>(value.getType());
      return type.clone(ArrayRef<int64_t>{outer, 1, 1, type.getDimSize(axis) * inner});
    };
    bool flattened = axis != rank - 1;
    SmallVector<Value> parts;
    SmallVector<int32_t> multipliers, shifts;
    for (auto [i, part] : llvm::enumerate(op.getParts())) {
      PairScaling scaling =
          requantizeParams(scaleOf(part) * sd::partFactor(op, i), scaleOf(op.getResult())).scaling;
      parts.push_back(flattened ? view(at(part), flat(part), derivedLoc(part, ".row")) : at(part));
      multipliers.push_back(scaling.multiplierA);
      shifts.push_back(scaling.shift);
    }
    RankedTensorType type = flattened ? flat(op.getResult()) : resultType(op);
    Value joined = npu::ConcatOp::create(builder_, op.getLoc(), type, parts, multipliers, shifts);
    return done(op, view(joined, resultType(op), op.getLoc()));
  }

  LogicalResult lowerOp(sd::UpsampleOp op) {
    if (op.getLayout() != sd::Layout::nhwc)
      return op.emitOpError("needs nhwc layout");
    return done(op, npu::UpsampleOp::create(builder_, op.getLoc(), resultType(op),
                                            at(op.getInput()), op.getFactors()));
  }

  LogicalResult lowerOp(sd::TransposeOp op) {
    SmallVector<int64_t> where = positions(op.getPermutation().size());
    SmallVector<int64_t> permutation = {0, 1, 2, 3};
    for (auto [i, axis] : llvm::enumerate(op.getPermutation()))
      permutation[where[i]] = where[axis];
    return done(op, npu::PermuteOp::create(builder_, op.getLoc(), resultType(op), at(op.getInput()),
                                           permutation));
  }

  LogicalResult lowerOp(sd::ReshapeOp op) {
    return done(op, view(at(op.getInput()), resultType(op), op.getLoc()));
  }

  LogicalResult lowerOp(sd::TimeEmbeddingOp op) {
    int64_t half = cast<RankedTensorType>(op.getType()).getDimSize(1) / 2;
    Location loc = sd::renamedLoc(op.getLoc(), ".steps");
    Value steps = npu::TimeStepsOp::create(builder_, loc,
                                           RankedTensorType::get({half}, builder_.getI32Type()),
                                           op.getFrequencyShift(), op.getMaxPeriod());
    Value sine =
        npu::SineTableOp::create(builder_, sd::renamedLoc(op.getLoc(), ".sine"),
                                 RankedTensorType::get({kTableKnots16}, builder_.getI32Type()),
                                 llvm::APFloat(scaleOf(op.getResult())));
    return done(op,
                npu::TimeEmbeddingOp::create(
                    builder_, op.getLoc(), resultType(op), at(op.getTimesteps()), steps, sine,
                    op.getCosFirst(), sd::fractionBits(op.getTimesteps().getType()).value_or(0)));
  }

  LogicalResult lowerOp(sd::EmbeddingOp op) {
    if (!op.getTokenScales() || !op.getPositionScales())
      return op.emitOpError("tables have no codes; quantize first");
    FailureOr<Tensor> tokens = evaluateConstant(op.getTokenScales(), context_);
    FailureOr<Tensor> positions = evaluateConstant(op.getPositionScales(), context_);
    if (failed(tokens) || failed(positions))
      return failure();
    double outputScale = scaleOf(op.getResult());
    int32_t shift =
        embeddingShift(tokens->values<float>(), positions->values<float>(), outputScale);
    auto multipliers = [&](Value scales) {
      return npu::RowMultipliersOp::create(
          builder_, sd::renamedLoc(scales.getLoc(), ".multipliers"),
          cast<RankedTensorType>(scales.getType()).clone(builder_.getI32Type()), scales,
          llvm::APFloat(outputScale), shift);
    };
    Value tokenMultipliers = multipliers(op.getTokenScales());
    Value positionMultipliers = multipliers(op.getPositionScales());
    return done(op, npu::EmbeddingOp::create(builder_, op.getLoc(), resultType(op), at(op.getIds()),
                                             op.getTokens(), tokenMultipliers, op.getPositions(),
                                             positionMultipliers, shift));
  }

  LogicalResult lowerOp(sd::PoolTokenOp op) {
    return done(op, npu::PoolTokenOp::create(builder_, op.getLoc(), resultType(op),
                                             at(op.getHidden()), at(op.getIds()), op.getToken()));
  }

  LogicalResult lowerOp(sd::DequantizeOp op) {
    auto type = cast<RankedTensorType>(op.getInput().getType());
    Location loc = sd::makeValueLoc(builder_.getContext(), sd::valueName(op.getInput()), {});
    op.getInputMutable().assign(view(at(op.getInput()), type, loc));
    return success();
  }

  func::FuncOp function_;
  OpBuilder builder_;
  const EvaluationContext &context_;
  llvm::DenseMap<Value, Value> map_;
};

struct LowerToNpuPass : impl::LowerToNpuBase<LowerToNpuPass> {
  void runOnOperation() override {
    if (failed(Lowering(getOperation()).run()))
      signalPassFailure();
  }
};

} // namespace
} // namespace sdopt
