//===- ExpressionBuilder.cpp - sd operations, folded when constant -----------===//

#include "compiler/import/ExpressionBuilder.h"

#include "compiler/reference/Evaluator.h"
#include "compiler/weights/WeightStore.h"

#include "absl/strings/str_cat.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cstring>
#include <functional>

using namespace mlir;

namespace sdopt {

namespace {

/// sd.constant holds no more.
constexpr int64_t kMostConstantElements = 64;
/// Larger results of constant operations stay expressions, evaluated when they are needed.
constexpr int64_t kMostFoldedBytes = int64_t(64) << 20;
/// Expressions on expressions, at most; a bound on the recursion.
constexpr int kDeepestExpression = 1000;

/// Turns the errors that MLIR emits while it lives into text.
class DiagnosticText {
public:
  explicit DiagnosticText(MLIRContext *context)
      : handler_(context, [this](Diagnostic &diagnostic) {
          if (diagnostic.getSeverity() == DiagnosticSeverity::Error && text_.empty())
            text_ = diagnostic.str();
          return success();
        }) {}
  const std::string &text() const { return text_; }

private:
  std::string text_;
  ScopedDiagnosticHandler handler_;
};

/// A copy if the elements are not aligned, as tensors inside a protobuf file may be.
Tensor aligned(const Tensor &tensor) {
  if (reinterpret_cast<uintptr_t>(tensor.bytes()) % byteWidth(tensor.type()) == 0)
    return tensor;
  Tensor copy(tensor.type(), tensor.shape());
  std::memcpy(copy.mutableBytes(), tensor.bytes(), tensor.byteSize());
  return copy;
}

DenseElementsAttr denseAttribute(RankedTensorType type, const Tensor &tensor) {
  switch (tensor.type()) {
  case ElementType::F32: {
    auto values = tensor.values<float>();
    return DenseElementsAttr::get(type, ArrayRef<float>(values.data(), values.size()));
  }
  case ElementType::Bool: {
    SmallVector<bool> values;
    for (uint8_t value : tensor.values<uint8_t>())
      values.push_back(value != 0);
    return DenseElementsAttr::get(type, ArrayRef<bool>(values));
  }
  default: {
    unsigned width = type.getElementTypeBitWidth();
    Tensor wide = tensor.converted(ElementType::I64);
    SmallVector<APInt> values;
    for (int64_t value : wide.values<int64_t>())
      values.push_back(APInt(64, static_cast<uint64_t>(value)).trunc(width));
    return DenseElementsAttr::get(type, ArrayRef<APInt>(values));
  }
  }
}

bool isPlainLayoutChange(Operation *op) { return isa<sd::ReshapeOp, sd::TransposeOp>(op); }

} // namespace

Type mlirElementType(MLIRContext *context, ElementType type) {
  switch (type) {
  case ElementType::F32:
  case ElementType::F16:
  case ElementType::BF16:
  case ElementType::F64:
    return Float32Type::get(context);
  case ElementType::I8:
    return IntegerType::get(context, 8);
  case ElementType::U8:
    return IntegerType::get(context, 8, IntegerType::Unsigned);
  case ElementType::I16:
    return IntegerType::get(context, 16);
  case ElementType::U16:
    return IntegerType::get(context, 16, IntegerType::Unsigned);
  case ElementType::I32:
    return IntegerType::get(context, 32);
  case ElementType::I64:
    return IntegerType::get(context, 64);
  case ElementType::Bool:
    return IntegerType::get(context, 1);
  }
  return {};
}

//===----------------------------------------------------------------------===//
// Nodes and errors
//===----------------------------------------------------------------------===//

void ExpressionBuilder::fail(absl::Status status) {
  if (status_.ok())
    status_ = std::move(status);
}

void ExpressionBuilder::startNode(const std::string &name, std::vector<std::string> nodes) {
  nodeValue_ = name;
  nodeNames_ = std::move(nodes);
  made_ = 0;
  unnamed_.clear();
}

void ExpressionBuilder::rename(Value value, const std::string &name) {
  Operation *op = value.getDefiningOp();
  if (op && unnamed_.erase(op))
    op->setLoc(sd::makeValueLoc(context(), name, nodeNames_));
}

Location ExpressionBuilder::nextLocation() {
  return sd::makeValueLoc(context(), absl::StrCat(nodeValue_, ".", ++made_), nodeNames_);
}

Type ExpressionBuilder::placeholderType() { return RankedTensorType::get({}, f32()); }

bool ExpressionBuilder::checkSize(ArrayRef<int64_t> shape) {
  if (checkedElementCount(shape.vec()))
    return true;
  std::string text;
  for (int64_t dim : shape)
    absl::StrAppend(&text, text.empty() ? "" : "x", dim);
  fail(absl::InvalidArgumentError(
      absl::StrCat("a value of shape ", text, " is impossible or has more than 2^40 elements")));
  return false;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

Value ExpressionBuilder::constant(ConstantData data, bool isInitializer) {
  if (!ok())
    return {};
  auto type =
      RankedTensorType::get(data.value.shape(), mlirElementType(context(), data.value.type()));
  auto op = sd::WeightOp::create(builder_, nextLocation(), type, "", "");
  unnamed_.insert(op);
  constants_.try_emplace(op.getResult(), Constant{std::move(data), isInitializer});
  return op.getResult();
}

Value ExpressionBuilder::scalarLike(Value like, double value) {
  if (!ok() || !like)
    return {};
  ElementType type = evaluatedType(like.getType());
  return constant(Tensor::scalar(value).converted(type));
}

bool ExpressionBuilder::isConstant(Value value) const {
  return value && (constants_.contains(value) ||
                   (value.getDefiningOp() && expressions_.contains(value.getDefiningOp())));
}

Tensor ExpressionBuilder::evaluate(Value value) {
  return ok() && value ? evaluate(value, 0) : Tensor();
}

Tensor ExpressionBuilder::evaluate(Value value, int depth) {
  if (auto found = constants_.find(value); found != constants_.end())
    return aligned(found->second.data.value).converted(evaluatedType(value.getType()));
  Operation *op = value.getDefiningOp();
  if (depth == kDeepestExpression) {
    fail(absl::UnimplementedError(
        absl::StrCat("more than ", kDeepestExpression, " operations on large constants in a row")));
    return {};
  }
  SmallVector<Tensor> operands, results;
  for (Value operand : op->getOperands()) {
    operands.push_back(evaluate(operand, depth + 1));
    if (!ok())
      return {};
  }
  DiagnosticText diagnostics(context());
  if (failed(evaluateOperation(op, operands, results, EvaluationContext{}))) {
    fail(absl::InvalidArgumentError(diagnostics.text()));
    return {};
  }
  return results[cast<OpResult>(value).getResultNumber()];
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

Value ExpressionBuilder::insertInferred(
    OperationState &state, llvm::function_ref<LogicalResult(SmallVectorImpl<Type> &)> infer) {
  DiagnosticText diagnostics(context());
  SmallVector<Type> types;
  if (failed(infer(types))) {
    fail(absl::InvalidArgumentError(diagnostics.text()));
    return {};
  }
  for (Type type : types)
    if (!checkSize(cast<RankedTensorType>(type).getShape()))
      return {};
  state.types.assign(types.begin(), types.end());
  return insert(state);
}

Value ExpressionBuilder::insert(const OperationState &state) {
  Operation *op = builder_.create(state);
  unnamed_.insert(op);
  if (op->getNumOperands() == 0 ||
      !llvm::all_of(op->getOperands(), [&](Value value) { return isConstant(value); }))
    return op->getResult(0);
  expressions_.insert(op);
  if (staysExpression(op))
    return op->getResult(0);
  Tensor folded = evaluate(op->getResult(0));
  expressions_.erase(op);
  unnamed_.erase(op);
  op->erase();
  --made_;
  return constant(folded);
}

bool ExpressionBuilder::staysExpression(Operation *op) const {
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  if (type.getNumElements() <= kMostConstantElements)
    return false;
  if (type.getNumElements() * byteWidth(evaluatedType(type)) > kMostFoldedBytes)
    return true;
  if (!isPlainLayoutChange(op))
    return false;
  Operation *root = op;
  while (isPlainLayoutChange(root))
    root = root->getOperand(0).getDefiningOp();
  auto found = constants_.find(root->getResult(0));
  return found == constants_.end() || found->second.isInitializer;
}

Value ExpressionBuilder::reshape(Value input, const Shape &shape) {
  if (!ok() || !input || shapeOfValue(input) == shape)
    return input;
  if (!checkSize(shape))
    return {};
  if (elementCount(shape) != elementCount(shapeOfValue(input))) {
    fail(absl::InvalidArgumentError(absl::StrCat("a value of shape ", toString(shapeOfValue(input)),
                                                 " cannot be reshaped to ", toString(shape))));
    return {};
  }
  // Only the last of a chain of reshapes counts.
  if (auto producer = input.getDefiningOp<sd::ReshapeOp>())
    return reshape(producer.getInput(), shape);
  return createAs<sd::ReshapeOp>(shape, elementOfValue(input), input);
}

Value ExpressionBuilder::transpose(Value input, ArrayRef<int64_t> permutation) {
  if (llvm::equal(permutation, llvm::seq<int64_t>(0, permutation.size())))
    return input;
  return create<sd::TransposeOp>(input, permutation);
}

Value ExpressionBuilder::expand(Value input, const Shape &shape) {
  if (!ok() || !input || shapeOfValue(input) == shape)
    return input;
  FailureOr<SmallVector<int64_t>> broadcast = sd::broadcastShapes(shapeOfValue(input), shape);
  if (failed(broadcast) || Shape(broadcast->begin(), broadcast->end()) != shape) {
    fail(absl::InvalidArgumentError(absl::StrCat("a value of shape ", toString(shapeOfValue(input)),
                                                 " does not broadcast to ", toString(shape))));
    return {};
  }
  return createAs<sd::ExpandOp>(shape, elementOfValue(input), input);
}

Value ExpressionBuilder::castTo(Type element, Value input) {
  if (!ok() || !input || elementOfValue(input) == element)
    return input;
  return createAs<sd::CastOp>(shapeOfValue(input), element, input);
}

Value ExpressionBuilder::unary(sd::UnaryKind kind, Value input) {
  return create<sd::UnaryOp>(kind, input);
}

Value ExpressionBuilder::binary(sd::BinaryKind kind, Value lhs, Value rhs) {
  return create<sd::BinaryOp>(kind, lhs, rhs);
}

Value ExpressionBuilder::sliceAxis(Value input, int64_t axis, int64_t start, int64_t end) {
  if (!ok() || !input)
    return {};
  Shape ends = shapeOfValue(input);
  if (start == 0 && end == ends[axis])
    return input;
  Shape starts(ends.size(), 0), steps(ends.size(), 1);
  starts[axis] = start;
  ends[axis] = end;
  return create<sd::SliceOp>(input, ArrayRef<int64_t>(starts), ArrayRef<int64_t>(ends),
                             ArrayRef<int64_t>(steps));
}

//===----------------------------------------------------------------------===//
// The end
//===----------------------------------------------------------------------===//

bool ExpressionBuilder::isParameter(const Constant &constant) const {
  const Tensor &value = constant.data.value;
  if (!constant.isInitializer || value.rank() == 0 ||
      !isa<FloatType>(mlirElementType(context(), value.type())))
    return false;
  if (value.size() > kMostConstantElements)
    return true;
  Tensor small = aligned(value).converted(ElementType::F32);
  std::span<const float> values = small.values<float>();
  return std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) != values.end();
}

absl::Status ExpressionBuilder::storeConstant(sd::WeightOp op, const Constant &constant,
                                              WeightStore &weights) {
  const ConstantData &data = constant.data;
  std::string stem = absl::StrCat(module_, "/", sd::valueName(op.getResult())), key = stem;
  for (int i = 2; !keys_.insert(key).second; ++i)
    key = absl::StrCat(stem, "~", i);
  absl::Status status = data.file ? weights.addFile(key, data.value.type(), data.value.shape(),
                                                    data.file, data.offset)
                                  : weights.addOverlay(key, data.value);
  if (!status.ok())
    return status;
  absl::StatusOr<std::string> digest = weights.digest(key);
  if (!digest.ok())
    return digest.status();
  weights.release(key);
  op.setKey(key);
  op.setDigest(*digest);
  return absl::OkStatus();
}

absl::StatusOr<WeightTotals> ExpressionBuilder::finish(func::FuncOp function,
                                                       WeightStore &weights) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (op.use_empty() && op.getNumResults() > 0)
      op.erase();
  SmallVector<sd::WeightOp> ops(function.getOps<sd::WeightOp>());
  WeightTotals totals;
  for (sd::WeightOp op : ops) {
    const Constant &constant = constants_.find(op.getResult())->second;
    auto type = cast<RankedTensorType>(op.getType());
    bool trained = isParameter(constant);
    if (trained)
      totals.parameters += type.getNumElements();
    // What was trained stays out of printed IR, however small.
    if (trained || type.getNumElements() > kMostConstantElements) {
      if (absl::Status status = storeConstant(op, constant, weights); !status.ok())
        return status;
      continue;
    }
    Tensor value = aligned(constant.data.value).converted(evaluatedType(type));
    OpBuilder builder(op);
    auto small = sd::ConstantOp::create(builder, op.getLoc(), type, denseAttribute(type, value));
    op.replaceAllUsesWith(small.getResult());
    op.erase();
  }
  return totals;
}

} // namespace sdopt
