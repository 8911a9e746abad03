//===- EvaluateWeights.cpp - weights, constants and expressions on them ------===//

#include "compiler/prune/Masks.h"
#include "compiler/quantization/NarrowWeights.h"
#include "compiler/quantization/SharedWeights.h"
#include "compiler/reference/EvaluationModels.h"
#include "compiler/reference/Evaluator.h"
#include "compiler/weights/ScaleCache.h"
#include "compiler/weights/WeightStore.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace sdopt {

namespace {

LogicalResult failWith(Operation *op, const absl::Status &status) {
  absl::string_view message = status.message();
  return op->emitOpError() << llvm::StringRef(message.data(), message.size());
}

struct WeightModel : Model<WeightModel, sd::WeightOp> {
  static LogicalResult compute(sd::WeightOp op, Operands, Results &results,
                               const EvaluationContext &context) {
    std::string key = op.getKey().str();
    if (!context.weights)
      return op.emitOpError() << "reads weight '" << key << "' but there is no weight store";
    // The store hashes an entry once and remembers it.
    absl::StatusOr<std::string> digest = context.weights->digest(key);
    if (!digest.ok())
      return failWith(op, digest.status());
    if (*digest != op.getDigest())
      return op.emitOpError() << "digest is " << op.getDigest() << " but weight '" << key
                              << "' of the store has " << *digest;
    absl::StatusOr<Tensor> value = context.weights->get(key);
    if (!value.ok())
      return failWith(op, value.status());
    if (value->shape() != tensorShape(op.getResult()))
      return op.emitOpError() << "weight '" << key << "' has shape " << toString(value->shape())
                              << " but the result needs " << toString(tensorShape(op.getResult()));
    return give(results, value->converted(evaluatedType(op.getType())));
  }
};

template <typename T, typename Values> Tensor filled(Shape shape, Values values) {
  Tensor tensor(elementTypeOf<T>(), std::move(shape));
  std::span<T> elements = tensor.mutableValues<T>();
  size_t i = 0;
  for (const auto &value : values) {
    if constexpr (std::is_floating_point_v<T>) {
      llvm::APFloat converted = value;
      bool losesInfo = false;
      converted.convert(llvm::APFloat::IEEEsingle(), llvm::APFloat::rmNearestTiesToEven,
                        &losesInfo);
      elements[i++] = converted.convertToFloat();
    } else {
      elements[i++] = value.getBitWidth() == 1 ? value.getZExtValue() : value.getSExtValue();
    }
  }
  return tensor;
}

struct ConstantModel : Model<ConstantModel, sd::ConstantOp> {
  static LogicalResult compute(sd::ConstantOp op, Operands, Results &results,
                               const EvaluationContext &) {
    auto dense = dyn_cast<DenseElementsAttr>(op.getValue());
    if (!dense)
      return op.emitOpError("needs a dense value");
    Shape shape = tensorShape(op.getResult());
    if (isa<FloatType>(dense.getElementType()))
      return give(results, filled<float>(shape, dense.getValues<llvm::APFloat>()));
    if (!isa<IntegerType>(dense.getElementType()))
      return op.emitOpError() << "element type " << dense.getElementType()
                              << " is neither float nor integer";
    // Sign extension is undone by the conversion to a narrower or unsigned type.
    Tensor wide = filled<int64_t>(shape, dense.getValues<llvm::APInt>());
    return give(results, wide.converted(evaluatedType(op.getType())));
  }
};

/// What an expression over weights computes: operations, attributes, digests of the weights.
void writeExpression(Operation *op, llvm::raw_ostream &stream) {
  stream << op->getName().getStringRef();
  op->getAttrDictionary().print(stream);
  stream << '(';
  for (Value operand : op->getOperands())
    writeExpression(operand.getDefiningOp(), stream);
  stream << ')';
}

struct PruneWeightModel : Model<PruneWeightModel, sd::PruneWeightOp> {
  static LogicalResult compute(sd::PruneWeightOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    const Tensor &kept = op.getValues() ? operands[2] : operands[0];
    return give(results, prunedWeights(kept, operands[1]));
  }
};

struct QuantizeWeightModel : Model<QuantizeWeightModel, sd::QuantizeWeightOp> {
  static LogicalResult compute(sd::QuantizeWeightOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    auto estimator = static_cast<RangeEstimator>(op.getRange());
    std::string key;
    std::optional<Tensor> scales;
    if (context.scales && estimator != RangeEstimator::MinMax && isConstantExpression(op)) {
      llvm::raw_string_ostream stream(key);
      writeExpression(op, stream);
      scales = context.scales->find(key);
    }
    const Tensor *means = op.getMeans() ? &operands[1] : nullptr;
    QuantizedWeights weights;
    // quantizeWeights() looks for them itself.
    if (op.getBits() < 8 || op.getOneScale())
      weights.firstNonFinite = firstNonFiniteWeight(operands[0]);
    if (weights.firstNonFinite < 0 && op.getBits() == 8) {
      if (op.getOneScale() && !scales)
        scales = commonWeightScale(operands[0], op.getAxis(), estimator);
      weights =
          quantizeWeights(operands[0], op.getAxis(), estimator, scales ? &*scales : nullptr, means);
    } else if (weights.firstNonFinite < 0) {
      WeightForm form{WeightCoding::Grouped, static_cast<int64_t>(op.getBits()),
                      static_cast<int64_t>(op.getGroupSize()), op.getSymmetric(),
                      op.getSharedTaps()};
      weights = quantizeNarrowWeights(operands[0], form, op.getOneScale(), estimator,
                                      scales ? &*scales : nullptr, means);
    }
    if (weights.firstNonFinite >= 0)
      return op.emitOpError() << "weight element " << weights.firstNonFinite << " is not finite";
    if (!key.empty())
      context.scales->keep(key, weights.scales);
    results.push_back(std::move(weights.codes));
    results.push_back(std::move(weights.scales));
    if (op.getGroupScales())
      results.push_back(weights.groupScales.reshaped(tensorShape(op.getGroupScales())));
    if (op.getZeroPoints())
      results.push_back(weights.zeroPoints.reshaped(tensorShape(op.getZeroPoints())));
    if (op.getCorrection())
      results.push_back(std::move(weights.correction));
    return success();
  }
};

struct ShareWeightModel : Model<ShareWeightModel, sd::ShareWeightOp> {
  static LogicalResult compute(sd::ShareWeightOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (int64_t at = firstNonFiniteWeight(operands[0]); at >= 0)
      return op.emitOpError() << "weight element " << at << " is not finite";
    std::string key;
    std::optional<Tensor> scales, palettes;
    if (context.scales && isConstantExpression(op)) {
      llvm::raw_string_ostream stream(key);
      writeExpression(op, stream);
      scales = context.scales->find(key);
      palettes = context.scales->find(key + kPalettes);
    }
    const WeightForm form{.coding = WeightCoding::Palette,
                          .bits = static_cast<int64_t>(op.getBits()),
                          .paletteOutputs = static_cast<int64_t>(op.getPaletteOutputs())};
    size_t next = 1;
    SharingOptions options{.withZero = op.getWithZero(),
                           .oneScale = op.getOneScale(),
                           .codedBits = op.getCodedBits().convertToDouble()};
    if (op.getImportance())
      options.importance = &operands[next++];
    if (op.getMeans())
      options.means = &operands[next++];
    if (scales && palettes) {
      options.knownScales = &*scales;
      options.knownPalettes = &*palettes;
    }
    if (options.importance)
      for (float importance : options.importance->values<float>())
        if (!(importance >= 0) || !std::isfinite(importance))
          return op.emitOpError("importance is negative or not finite");
    QuantizedWeights weights = shareWeights(operands[0], form, options);
    if (!key.empty()) {
      context.scales->keep(key, weights.scales);
      context.scales->keep(key + kPalettes, weights.palettes);
    }
    results.push_back(std::move(weights.codes));
    results.push_back(std::move(weights.scales));
    results.push_back(std::move(weights.palettes));
    if (op.getCorrection())
      results.push_back(std::move(weights.correction));
    return success();
  }

  static constexpr const char *kPalettes = " palettes";
};

struct DecodeWeightModel : Model<DecodeWeightModel, sd::DecodeWeightOp> {
  static LogicalResult compute(sd::DecodeWeightOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    return give(results, decodedWeights(op, operands));
  }
};

} // namespace

Tensor decodedWeights(sd::DecodeWeightOp op, ArrayRef<Tensor> operands) {
  const WeightForm form = weightForm(op);
  if (op.getPalettes())
    return decodeSharedWeights(form, operands[0], operands[1]);
  return decodeWeightTensor(form, operands[0], op.getGroupScales() ? &operands[1] : nullptr,
                            op.getZeroPoints() ? &operands[2] : nullptr,
                            static_cast<int64_t>(op.getAxis()) != 1);
}

WeightForm weightForm(sd::DecodeWeightOp op) {
  if (op.getPalettes())
    return {.coding = WeightCoding::Palette,
            .bits = static_cast<int64_t>(op.getBits()),
            .paletteOutputs = static_cast<int64_t>(op.getPaletteOutputs())};
  return {WeightCoding::Grouped, static_cast<int64_t>(op.getBits()),
          static_cast<int64_t>(op.getGroupSize()), !op.getZeroPoints(), op.getSharedTaps()};
}

void attachWeightModels(MLIRContext &context) {
  attach<WeightModel, ConstantModel, PruneWeightModel, QuantizeWeightModel, ShareWeightModel,
         DecodeWeightModel>(context);
}

} // namespace sdopt
