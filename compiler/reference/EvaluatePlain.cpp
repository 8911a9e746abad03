//===- EvaluatePlain.cpp - the operators of ONNX -----------------------------===//

#include "compiler/reference/EvaluateQuantized.h"
#include "compiler/reference/EvaluationModels.h"

using namespace mlir;

namespace sdopt {

namespace {

LogicalResult rejectQuantized(Operation *op) {
  return hasQuantizedValues(op) ? op->emitOpError("has no quantized form") : success();
}

/// Moves elements only: codes are moved like numbers, as long as they keep their meaning.
LogicalResult requireSameElement(Operation *op) {
  if (!hasQuantizedValues(op))
    return success();
  Type input = cast<RankedTensorType>(op->getOperand(0).getType()).getElementType();
  Type result = cast<RankedTensorType>(op->getResult(0).getType()).getElementType();
  if (input != result)
    return op->emitOpError() << "moves codes of " << input << " but the result is " << result;
  return success();
}

struct UnaryModel : Model<UnaryModel, sd::UnaryOp> {
  static LogicalResult compute(sd::UnaryOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    ElementType type = operands[0].type();
    bool integerFunction =
        op.getFunction() == sd::UnaryKind::neg || op.getFunction() == sd::UnaryKind::abs;
    bool fits =
        op.getFunction() == sd::UnaryKind::logical_not
            ? type == ElementType::Bool
            : type == ElementType::F32 ||
                  (integerFunction && (type == ElementType::I32 || type == ElementType::I64));
    if (failed(rejectQuantized(op)))
      return failure();
    if (!fits)
      return op.emitOpError() << sd::stringifyUnaryKind(op.getFunction())
                              << " is not defined for elements of type " << name(type);
    return give(results, unary(static_cast<UnaryFunction>(op.getFunction()), operands[0]));
  }
};

bool isLogical(sd::BinaryKind kind) {
  return kind == sd::BinaryKind::logical_and || kind == sd::BinaryKind::logical_or;
}

struct BinaryModel : Model<BinaryModel, sd::BinaryOp> {
  static LogicalResult compute(sd::BinaryOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(rejectQuantized(op)))
      return failure();
    ElementType type = operands[0].type();
    bool number = type == ElementType::F32 || type == ElementType::I32 || type == ElementType::I64;
    bool fits = type == ElementType::Bool
                    ? isLogical(op.getFunction()) || op.getFunction() == sd::BinaryKind::equal
                    : number && !isLogical(op.getFunction());
    if (!fits)
      return op.emitOpError() << sd::stringifyBinaryKind(op.getFunction())
                              << " is not defined for elements of type " << name(type);
    return give(results,
                binary(static_cast<BinaryFunction>(op.getFunction()), operands[0], operands[1]));
  }
};

struct WhereModel : Model<WhereModel, sd::WhereOp> {
  static LogicalResult compute(sd::WhereOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(rejectQuantized(op)))
      return failure();
    return give(results, where(operands[0], operands[1], operands[2]));
  }
};

struct CastModel : Model<CastModel, sd::CastOp> {
  static LogicalResult compute(sd::CastOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(rejectQuantized(op)))
      return failure();
    return give(results, operands[0].converted(evaluatedType(op.getType())));
  }
};

struct ReshapeModel : Model<ReshapeModel, sd::ReshapeOp> {
  static LogicalResult compute(sd::ReshapeOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    return give(results, operands[0].reshaped(tensorShape(op.getResult())));
  }
};

struct TransposeModel : Model<TransposeModel, sd::TransposeOp> {
  static LogicalResult compute(sd::TransposeOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(requireSameElement(op)))
      return failure();
    return give(results, transpose(operands[0], spanOf(op.getPermutation())));
  }
};

struct ConcatModel : Model<ConcatModel, sd::ConcatOp> {
  static LogicalResult compute(sd::ConcatOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (hasQuantizedValues(op))
      return computeQuantized(op, operands, results, context);
    int64_t axis = normalizedAxis(op.getAxis(), operands[0].rank());
    SmallVector<Tensor> parts(operands.begin(), operands.end());
    for (auto [i, part] : llvm::enumerate(parts))
      if (double factor = sd::partFactor(op, i); factor != 1)
        part = multiplied(part, static_cast<float>(factor));
    return give(results, concat(std::span(parts.data(), parts.size()), axis));
  }

  static Tensor multiplied(const Tensor &part, float factor) {
    Tensor result(ElementType::F32, part.shape());
    std::ranges::transform(part.values<float>(), result.mutableValues<float>().begin(),
                           [&](float x) { return x * factor; });
    return result;
  }
};

struct SliceModel : Model<SliceModel, sd::SliceOp> {
  static LogicalResult compute(sd::SliceOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(requireSameElement(op)))
      return failure();
    return give(results, slice(operands[0], spanOf(op.getStarts()), spanOf(op.getEnds()),
                               spanOf(op.getSteps())));
  }
};

/// Positions must be integers.
LogicalResult requireIndices(Operation *op, const Tensor &indices) {
  if (indices.type() == ElementType::I32 || indices.type() == ElementType::I64)
    return success();
  return op->emitOpError() << "indices are " << name(indices.type()) << " but must be i32 or i64";
}

struct GatherModel : Model<GatherModel, sd::GatherOp> {
  static LogicalResult compute(sd::GatherOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(requireSameElement(op)) || failed(requireIndices(op, operands[1])))
      return failure();
    int64_t axis = normalizedAxis(op.getAxis(), operands[0].rank());
    if (operands[0].dim(axis) == 0 && operands[1].size() > 0)
      return op.emitOpError() << "gathers from an empty dimension " << axis;
    return give(results, gather(operands[0], operands[1], axis));
  }
};

struct GatherNdModel : Model<GatherNdModel, sd::GatherNdOp> {
  static LogicalResult compute(sd::GatherNdOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(requireSameElement(op)) || failed(requireIndices(op, operands[1])))
      return failure();
    if (operands[0].size() == 0)
      return op.emitOpError("gathers from an empty tensor");
    return give(results, gatherNd(operands[0], operands[1], op.getBatchDims()));
  }
};

struct ExpandModel : Model<ExpandModel, sd::ExpandOp> {
  static LogicalResult compute(sd::ExpandOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    return give(results, expand(operands[0], tensorShape(op.getResult())));
  }
};

struct PadModel : Model<PadModel, sd::PadOp> {
  static LogicalResult compute(sd::PadOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(rejectQuantized(op)))
      return failure();
    return give(results, pad(operands[0], spanOf(op.getBefore()), spanOf(op.getAfter()),
                             op.getValue().convertToDouble()));
  }
};

/// Functions of real numbers.
LogicalResult requireFloat(Operation *op, const Tensor &input) {
  if (failed(rejectQuantized(op)))
    return failure();
  if (input.type() == ElementType::F32)
    return success();
  return op->emitOpError() << "is not defined for elements of type " << name(input.type());
}

struct SoftmaxModel : Model<SoftmaxModel, sd::SoftmaxOp> {
  static LogicalResult compute(sd::SoftmaxOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(requireFloat(op, operands[0])))
      return failure();
    return give(results, softmax(operands[0], normalizedAxis(op.getAxis(), operands[0].rank())));
  }
};

/// Functions defined for numbers, but not for truth values and narrow integers.
LogicalResult requireNumbers(Operation *op, const Tensor &input) {
  if (failed(rejectQuantized(op)))
    return failure();
  ElementType type = input.type();
  if (type == ElementType::F32 || type == ElementType::I32 || type == ElementType::I64)
    return success();
  return op->emitOpError() << "is not defined for elements of type " << name(type);
}

struct ArgMaxModel : Model<ArgMaxModel, sd::ArgMaxOp> {
  static LogicalResult compute(sd::ArgMaxOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(requireNumbers(op, operands[0])))
      return failure();
    return give(results, argMax(operands[0], normalizedAxis(op.getAxis(), operands[0].rank()),
                                op.getKeepDims(), op.getSelectLast()));
  }
};

struct ReduceModel : Model<ReduceModel, sd::ReduceOp> {
  static LogicalResult compute(sd::ReduceOp op, Operands operands, Results &results,
                               const EvaluationContext &) {
    if (failed(requireNumbers(op, operands[0])))
      return failure();
    SmallVector<int64_t> axes;
    for (int64_t axis : op.getAxes())
      axes.push_back(normalizedAxis(axis, operands[0].rank()));
    return give(results, reduce(static_cast<Reduction>(op.getFunction()), operands[0], spanOf(axes),
                                op.getKeepDims()));
  }
};

struct MatmulModel : Model<MatmulModel, sd::MatmulOp> {
  static LogicalResult compute(sd::MatmulOp op, Operands operands, Results &results,
                               const EvaluationContext &context) {
    if (failed(requireFloat(op, operands[0])) || failed(requireFloat(op, operands[1])))
      return failure();
    return give(results, context.naiveFloat ? naive::matmul(operands[0], operands[1])
                                            : matmul(operands[0], operands[1]));
  }
};

} // namespace

void attachPlainModels(MLIRContext &context) {
  attach<UnaryModel, BinaryModel, WhereModel, CastModel, ReshapeModel, TransposeModel, ConcatModel,
         SliceModel, GatherModel, GatherNdModel, ExpandModel, PadModel, SoftmaxModel, ArgMaxModel,
         ReduceModel, MatmulModel>(context);
}

} // namespace sdopt
