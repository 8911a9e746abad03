//===- Evaluator.cpp - runs sd and npu IR ------------------------------------===//

#include "compiler/reference/Evaluator.h"

#include "compiler/reference/EvaluationModels.h"
#include "compiler/weights/WeightStore.h"

#include "llvm/ADT/STLExtras.h"

#include <new>
#include <optional>

using namespace mlir;

namespace sdopt {

namespace {

/// A value of this size or more is an error, not an allocation.
constexpr int64_t kLargestBytes = int64_t(1) << 40;

quant::UniformQuantizedType quantizedElement(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor ? dyn_cast<quant::UniformQuantizedType>(tensor.getElementType()) : nullptr;
}

std::optional<ElementType> integerType(IntegerType type) {
  bool isUnsigned = type.isUnsigned();
  switch (type.getWidth()) {
  case 1:
    return ElementType::Bool;
  case 8:
    return isUnsigned ? ElementType::U8 : ElementType::I8;
  case 16:
    return isUnsigned ? ElementType::U16 : ElementType::I16;
  case 32:
    return isUnsigned ? std::nullopt : std::optional(ElementType::I32);
  case 64:
    return isUnsigned ? std::nullopt : std::optional(ElementType::I64);
  default:
    return std::nullopt;
  }
}

/// Codes use the whole range of i8, i16 or i32; those above 8 bits have no zero point.
std::optional<ElementType> storageType(quant::UniformQuantizedType type) {
  unsigned width = type.getStorageTypeIntegralWidth();
  bool wholeRange = type.isSigned() && type.getStorageTypeMin() == -(int64_t(1) << (width - 1)) &&
                    type.getStorageTypeMax() == (int64_t(1) << (width - 1)) - 1;
  if (!wholeRange || !(type.getScale() > 0))
    return std::nullopt;
  if (width == 8 && type.getZeroPoint() >= -128 && type.getZeroPoint() <= 127)
    return ElementType::I8;
  if (width == 16 && type.getZeroPoint() == 0)
    return ElementType::I16;
  if (width == 32 && type.getZeroPoint() == 0)
    return ElementType::I32;
  return std::nullopt;
}

std::optional<ElementType> evaluable(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || !tensor.hasStaticShape())
    return std::nullopt;
  if (auto quantized = quantizedElement(type))
    return storageType(quantized);
  if (isa<FloatType>(tensor.getElementType()))
    return ElementType::F32;
  if (auto integer = dyn_cast<IntegerType>(tensor.getElementType()))
    return integerType(integer);
  return std::nullopt;
}

bool isTooLarge(Type type, ElementType element) {
  int64_t bytes = byteWidth(element);
  bool empty = false;
  for (int64_t dim : cast<RankedTensorType>(type).getShape()) {
    empty |= dim == 0;
    if (dim != 0 && bytes > kLargestBytes / dim)
      return true;
    bytes *= std::max<int64_t>(dim, 1);
  }
  return !empty && bytes >= kLargestBytes;
}

/// Of a type that can be evaluated and is not too large.
int64_t bytesOf(Type type) {
  return cast<RankedTensorType>(type).getNumElements() * byteWidth(evaluatedType(type));
}

bool fits(const Tensor &tensor, Type type) {
  return tensor.bytes() && tensor.type() == evaluatedType(type) &&
         llvm::equal(tensor.shape(), cast<RankedTensorType>(type).getShape());
}

std::string describe(const Tensor &tensor) {
  return tensor.bytes() ? toString(tensor.shape()) + " " + name(tensor.type()) : "nothing";
}

/// Numbers in fixed point are timesteps on their way to an embedding.
bool takesFixedPoint(Operation *op) {
  return isa<sd::QuantizeOp, sd::DequantizeOp, sd::ReshapeOp, sd::TimeEmbeddingOp, func::FuncOp,
             func::ReturnOp>(op) ||
         op->getName().getStringRef() == "npu.view" ||
         op->getName().getStringRef() == "npu.time_embedding";
}

LogicalResult checkType(Operation *op, Type type) {
  std::optional<ElementType> element = evaluable(type);
  if (!element)
    return op->emitOpError() << "values of type " << type << " cannot be evaluated";
  if (quantizedElement(type) && *element == ElementType::I32 && !takesFixedPoint(op))
    return op->emitOpError() << "has no form for fixed point: " << type;
  if (isTooLarge(type, *element))
    return op->emitOpError() << "a value of type " << type << " is too large to be evaluated";
  return success();
}

/// The operations that `value` is made of, each after its operands, without what gives values that
/// are known; an error if one depends on an argument. Iterative, since expressions may be deep.
LogicalResult collectExpression(Value value, SmallVectorImpl<Operation *> &order,
                                const ConstantCache *known = nullptr) {
  llvm::DenseMap<Operation *, bool> finished;
  SmallVector<Operation *> stack;
  // Another thread may have made `value` itself known by now: it is evaluated all the same.
  auto visit = [&](Value operand) -> LogicalResult {
    Operation *producer = operand.getDefiningOp();
    if (!producer)
      return emitError(operand.getLoc(), "an expression over weights depends on an input");
    if (!finished.contains(producer) && (operand == value || !known || !known->find(operand)))
      stack.push_back(producer);
    return success();
  };
  if (failed(visit(value)))
    return failure();
  while (!stack.empty()) {
    Operation *op = stack.back();
    bool seen = finished.contains(op);
    if (seen) {
      stack.pop_back();
      if (!std::exchange(finished[op], true))
        order.push_back(op);
      continue;
    }
    finished[op] = false;
    for (Value operand : op->getOperands())
      if (failed(visit(operand)))
        return failure();
  }
  return success();
}

/// Lets the pages of large weights go that an expression is made of. Those of small models stay:
/// they would be read in again for each sample.
void releaseWeights(ArrayRef<Operation *> expression, const EvaluationContext &context) {
  constexpr int64_t kLarge = 1 << 17;
  for (Operation *op : expression)
    if (auto weight = dyn_cast<sd::WeightOp>(op); weight && context.weights)
      if (cast<RankedTensorType>(weight.getType()).getNumElements() >= kLarge)
        context.weights->release(weight.getKey().str());
}

/// Results of this size are kept for other expressions over the same weight: its scales.
constexpr int64_t kSmallResult = 1 << 16;

/// Values of the operands of `op`, made or kept.
SmallVector<Tensor> operandsOf(Operation *op, const llvm::DenseMap<Value, Tensor> &values,
                               const ConstantCache &cache) {
  SmallVector<Tensor> operands;
  for (Value operand : op->getOperands()) {
    auto made = values.find(operand);
    operands.push_back(made != values.end() ? made->second : *cache.find(operand));
  }
  return operands;
}

/// Evaluates an expression and hands on the results of its last operation, or its operands.
FailureOr<SmallVector<Tensor>> evaluateExpression(Value value, const EvaluationContext &context,
                                                  ConstantCache &cache, bool onlyOperands = false) {
  SmallVector<Operation *> order;
  if (failed(collectExpression(value, order, &cache)))
    return failure();
  llvm::DenseMap<Value, Tensor> values;
  SmallVector<Tensor> results;
  for (Operation *op : order) {
    SmallVector<Tensor> operands = operandsOf(op, values, cache);
    if (onlyOperands && op == value.getDefiningOp()) {
      releaseWeights(order, context);
      return operands;
    }
    results.clear();
    if (failed(evaluateOperation(op, operands, results, context)))
      return failure();
    for (auto [result, tensor] : llvm::zip(op->getResults(), results)) {
      values[result] = tensor;
      if (tensor.byteSize() <= kSmallResult && !isa<sd::WeightOp>(op))
        cache.keep(result, tensor);
    }
  }
  releaseWeights(order, context);
  return results;
}

/// A linear layer whose weights are given as [inputs][outputs].
LogicalResult multiplyColumns(sd::LinearOp op, ArrayRef<Tensor> operands,
                              SmallVectorImpl<Tensor> &results) {
  if (operands[0].size() == 0)
    return op.emitOpError() << "operand 0 of shape " << toString(operands[0].shape())
                            << " is empty";
  try {
    results.push_back(linear(operands[0], operands[1], op.getBias() ? operands[2] : Tensor(),
                             /*weightIsNK=*/false));
  } catch (const std::bad_alloc &) {
    return op.emitOpError("does not fit into memory");
  }
  return success();
}

Tensor resultOf(Value value, ArrayRef<Tensor> results) {
  return results[cast<OpResult>(value).getResultNumber()];
}

} // namespace

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

bool isQuantized(Type tensorType) { return static_cast<bool>(quantizedElement(tensorType)); }

CodeFormat codeFormat(Type tensorType) {
  quant::UniformQuantizedType type = quantizedElement(tensorType);
  return {.type = evaluatedType(tensorType),
          .zeroPoint = type ? static_cast<int32_t>(type.getZeroPoint()) : 0};
}

double codeScale(Type tensorType) {
  quant::UniformQuantizedType type = quantizedElement(tensorType);
  return type ? type.getScale() : 1.0;
}

ElementType evaluatedType(Type tensorType) {
  return evaluable(tensorType).value_or(ElementType::F32);
}

bool hasQuantizedValues(Operation *op) {
  return llvm::any_of(op->getOperandTypes(), isQuantized) ||
         llvm::any_of(op->getResultTypes(), isQuantized);
}

//===----------------------------------------------------------------------===//
// Evaluation
//===----------------------------------------------------------------------===//

void registerEvaluationModels(DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, sd::SdDialect *) {
    attachWeightModels(*context);
    attachPlainModels(*context);
    attachNamedModels(*context);
    attachConversionModels(*context);
  });
}

LogicalResult evaluateOperation(Operation *op, ArrayRef<Tensor> operands,
                                SmallVectorImpl<Tensor> &results,
                                const EvaluationContext &context) {
  auto model = dyn_cast<sd::EvaluationInterface>(op);
  if (!model)
    return op->emitOpError("has no evaluation model");
  for (auto [i, value] : llvm::enumerate(op->getOperands())) {
    if (failed(checkType(op, value.getType())))
      return failure();
    if (!fits(operands[i], value.getType()))
      return op->emitOpError() << "operand " << i << " is " << describe(operands[i])
                               << " but must be " << value.getType();
  }
  int64_t bytes = 0;
  for (Type type : op->getResultTypes()) {
    if (failed(checkType(op, type)))
      return failure();
    bytes += bytesOf(type);
  }
  constexpr int64_t kMuch = 1 << 20;
  if (bytes >= kMuch)
    trimMemory();
  if (!fitsMemory(bytes))
    return op->emitOpError("does not fit into the memory limit");
  try {
    if (failed(model.evaluate(operands, results, context)))
      return failure();
  } catch (const std::bad_alloc &) {
    return op->emitOpError("does not fit into memory");
  }
  for (auto [i, type] : llvm::enumerate(op->getResultTypes()))
    if (i >= results.size() || !fits(results[i], type))
      return op->emitOpError() << "result " << i << " is "
                               << (i < results.size() ? describe(results[i]) : "missing")
                               << " but must be " << type;
  return success();
}

bool isConstantExpression(Operation *op) {
  SmallVector<Operation *> stack{op};
  llvm::DenseMap<Operation *, bool> seen;
  while (!stack.empty()) {
    Operation *current = stack.pop_back_val();
    if (!seen.try_emplace(current, true).second)
      continue;
    if (current->getNumResults() == 0)
      return false;
    for (Value operand : current->getOperands()) {
      Operation *producer = operand.getDefiningOp();
      if (!producer)
        return false;
      stack.push_back(producer);
    }
  }
  return true;
}

FailureOr<Tensor> evaluateConstant(Value value, const EvaluationContext &context) {
  ConstantCache nothing(0);
  return evaluateConstant(value, context, nothing);
}

FailureOr<Tensor> evaluateConstant(Value value, const EvaluationContext &context,
                                   ConstantCache &cache) {
  if (std::optional<Tensor> known = cache.find(value))
    return *known;
  FailureOr<SmallVector<Tensor>> results = evaluateExpression(value, context, cache);
  if (failed(results))
    return failure();
  return resultOf(value, *results);
}

FailureOr<SmallVector<Tensor>> evaluateOperands(Operation *op, const EvaluationContext &context,
                                                ConstantCache &cache) {
  return evaluateExpression(op->getResult(0), context, cache, /*onlyOperands=*/true);
}

std::optional<Tensor> ConstantCache::find(Value value) const {
  std::lock_guard lock(mutex_);
  auto found = values_.find(value);
  return found == values_.end() ? std::nullopt : std::optional<Tensor>(found->second);
}

Tensor ConstantCache::keep(Value value, const Tensor &tensor) {
  std::lock_guard lock(mutex_);
  if (auto found = values_.find(value); found != values_.end())
    return found->second;
  if (tensor.byteSize() <= left_) {
    left_ -= tensor.byteSize();
    values_[value] = tensor;
  }
  return tensor;
}

Evaluator::Evaluator(func::FuncOp function, const EvaluationContext &context,
                     std::shared_ptr<ConstantCache> constants)
    : function_(function), context_(context), constants_(std::move(constants)) {
  for (Operation &op : function.getBody().getOps()) {
    bool constant = op.getNumResults() > 0 && llvm::all_of(op.getOperands(), [&](Value operand) {
                      return isConstant_.lookup(operand.getDefiningOp());
                    });
    isConstant_[&op] = constant;
    if (!constant)
      for (Value operand : op.getOperands())
        ++useCounts_[operand];
  }
}

LogicalResult Evaluator::checkInputs(ArrayRef<Tensor> inputs) {
  if (!llvm::hasSingleElement(function_.getBody()))
    return function_.emitOpError("needs a body of one block to be evaluated");
  if (inputs.size() != function_.getNumArguments())
    return function_.emitOpError() << "has " << function_.getNumArguments() << " inputs but "
                                   << inputs.size() << " are given";
  for (auto [argument, input] : llvm::zip(function_.getArguments(), inputs)) {
    if (failed(checkType(function_, argument.getType())))
      return failure();
    if (!fits(input, argument.getType()))
      return function_.emitOpError()
             << "input " << argument.getArgNumber() << " '" << sd::valueName(argument) << "' is "
             << describe(input) << " but must be " << argument.getType();
  }
  return success();
}

FailureOr<Tensor> Evaluator::constant(Value value) {
  if (std::optional<Tensor> known = constants_->find(value))
    return *known;
  FailureOr<SmallVector<Tensor>> results = evaluateExpression(value, context_, *constants_);
  if (failed(results))
    return failure();
  Operation *op = value.getDefiningOp();
  if (!isa<sd::WeightOp>(op))
    for (auto [result, tensor] : llvm::zip(op->getResults(), *results))
      tensor = constants_->keep(result, tensor);
  return resultOf(value, *results);
}

FailureOr<Tensor> Evaluator::operand(Value value, const llvm::DenseMap<Value, Tensor> &live) {
  if (isConstant_.lookup(value.getDefiningOp()))
    return constant(value);
  return live.lookup(value);
}

FailureOr<SmallVector<Tensor>> Evaluator::run(ArrayRef<Tensor> inputs, const Observer &observer) {
  Steps steps(*this, observer);
  if (failed(steps.start(inputs)))
    return failure();
  while (steps.next())
    if (failed(steps.step()))
      return failure();
  return steps.takeResults();
}

void Evaluator::Steps::define(Value value, const Tensor &tensor) {
  if (observer_)
    observer_(value, tensor);
  if (uses_.lookup(value) > 0)
    live_[value] = tensor;
}

void Evaluator::Steps::advance(Operation *from) {
  while (from && evaluator_.isConstant_.lookup(from))
    from = from->getNextNode();
  next_ = from;
}

LogicalResult Evaluator::Steps::start(ArrayRef<Tensor> inputs) {
  if (failed(evaluator_.checkInputs(inputs)))
    return failure();
  Block &body = evaluator_.function_.getBody().front();
  if (body.empty() || !isa<func::ReturnOp>(body.back()))
    return evaluator_.function_.emitOpError("has no return");
  uses_ = evaluator_.useCounts_;
  for (auto [argument, input] : llvm::zip(body.getArguments(), inputs))
    define(argument, input);
  advance(&body.front());
  return success();
}

Value Evaluator::untransposedWeights(Operation *op) const {
  auto linear = dyn_cast<sd::LinearOp>(op);
  if (!linear || context_.naiveFloat || linear.getWeightScales() || hasQuantizedValues(op))
    return nullptr;
  auto transpose = linear.getWeights().getDefiningOp<sd::TransposeOp>();
  bool swaps = transpose && isConstant_.lookup(transpose) &&
               transpose.getPermutation() == ArrayRef<int64_t>{1, 0};
  return swaps ? transpose.getInput() : nullptr;
}

LogicalResult Evaluator::Steps::step() {
  Operation *op = next_;
  SmallVector<Tensor> operands, results;
  Value columns = evaluator_.untransposedWeights(op);
  for (OpOperand &use : op->getOpOperands()) {
    FailureOr<Tensor> tensor =
        evaluator_.operand(columns && use.getOperandNumber() == 1 ? columns : use.get(), live_);
    if (failed(tensor))
      return failure();
    operands.push_back(*tensor);
  }
  if (isa<func::ReturnOp>(op)) {
    results_ = std::move(operands);
    next_ = nullptr;
    return success();
  }
  if (failed(columns ? multiplyColumns(cast<sd::LinearOp>(op), operands, results)
                     : evaluateOperation(op, operands, results, evaluator_.context_)))
    return failure();
  operands.clear();
  for (Value value : op->getOperands())
    if (Operation *source = value.getDefiningOp(); evaluator_.isConstant_.lookup(source)) {
      SmallVector<Operation *> expression;
      if (succeeded(collectExpression(value, expression)))
        releaseWeights(expression, evaluator_.context_);
    }
  for (Value value : op->getOperands())
    if (auto use = uses_.find(value); use != uses_.end() && --use->second == 0)
      live_.erase(value);
  for (auto [result, tensor] : llvm::zip(op->getResults(), results))
    define(result, tensor);
  advance(op->getNextNode());
  return success();
}

} // namespace sdopt
